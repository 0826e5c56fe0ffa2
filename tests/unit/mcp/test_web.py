# SPDX-License-Identifier: MIT
"""Who may connect by HTTP, and that who may is served."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest
from mcp import Client

from autotune.errors import AutotuneError, UsageError
from autotune.mcp import web
from tests.support.mcp_client import MODES, AtTheClient, data, server_program

TOKEN = "0123456789abcdef0123456789abcdef"


@contextmanager
def served(directory: Path, token: str | None = None) -> Iterator[str]:
    """A server by HTTP; its address."""
    argv = server_program(directory, "127.0.0.1:0", token)
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().split()[-1]
        finally:
            for _ in range(5):  # a key is held down
                process.send_signal(signal.SIGINT)
                time.sleep(0.01)
            _out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")


def status_of(url: str, **headers: str) -> int:
    body = b'{"jsonrpc": "2.0", "id": 1, "method": "ping"}'
    sent = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream", **headers}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, sent), timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.slow
def test_clients_of_this_user_are_served_and_web_pages_are_not(tmp_path: Path) -> None:
    async def work(url: str, mode: str) -> None:
        async with Client(url, mode=mode, elicitation_callback=AtTheClient().answer) as client:
            assert data(await client.call_tool("list_schedulers", {"name": "at_fifo"}))["total"] == 1

    with served(tmp_path) as url:
        for mode in MODES:
            anyio.run(work, url, mode)
        assert status_of(url, Host="evil.example") == 421
        assert status_of(url, Origin="http://evil.example") == 403
        assert status_of(url, Origin=url.removesuffix("/mcp")) not in (401, 403, 421)
        assert status_of(url, **{"X-Forwarded-For": "127.0.0.1:1"}) not in (401, 403, 421)  # it names nobody
        stranger = connected(url)
    stranger.close()


@pytest.mark.slow
def test_what_a_client_started_ends_when_it_closes_its_session(tmp_path: Path) -> None:
    async def start(client: Client) -> str:
        return str(data(await client.call_tool("tuning_start", {"workload": {"command": "sleep 1"}}))["id"])

    async def work(url: str) -> None:
        async with Client(url, mode="legacy") as watcher:
            async with Client(url, mode="legacy") as starter:
                name = await start(starter)
                async with Client(url, mode="legacy") as another:
                    seen = data(await another.call_tool("tuning_status", {"id": name}))
                assert seen["status"] == "running"
                seen = data(await watcher.call_tool("tuning_status", {"id": name, "wait_s": 1}))
                assert seen["status"] == "running", "ended with the session of another"
            seen = data(await watcher.call_tool("tuning_status", {"id": name, "wait_s": 25}))
            assert seen["status"] not in ("running", "stopping")
            assert (tmp_path / "ended").exists()
            assert await start(watcher) != name

    with served(tmp_path) as url:
        anyio.run(work, url)


def connected(url: str) -> socket.socket:
    """A client that sends what is no request, and stays: it does not keep the server from its end."""
    host, port = url.split("/")[2].split(":")
    found = socket.create_connection((host, int(port)), 20)
    found.sendall(b"\0\xff no request\r\n\r\n")
    return found


@pytest.mark.slow
def test_with_a_token_only_who_has_it_is_served(tmp_path: Path) -> None:
    with served(tmp_path, TOKEN) as url:
        assert status_of(url) == 401
        assert status_of(url, Authorization="Bearer nonsense") == 401
        assert status_of(url, Authorization=f"Bearer {TOKEN}") not in (401, 403, 421)


@pytest.mark.parametrize("address", ["0.0.0.0:80", "[::]:8000", "192.0.2.1:1"])
def test_other_machines_need_a_token(address: str) -> None:
    with pytest.raises(UsageError, match="takes a token"):
        web.address_of(address, None)
    assert web.address_of(address, TOKEN).token == TOKEN


@pytest.mark.parametrize("address", ["", "80", "localhost:80", "127.0.0.1:x", "127.0.0.1:70000"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="--http"):
        web.address_of(address, None)


def test_an_address_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(AutotuneError, match=f"127.0.0.1:{port} cannot be listened on"):
            web.listening(web.Address("127.0.0.1", port))


def test_the_token_comes_from_the_file_or_the_environment(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    (tmp_path / "token").chmod(0o640)
    assert web.token_of(None, {}) is None
    assert web.token_of(None, {web.TOKEN: TOKEN}) == web.token_of(tmp_path / "token", {}) == TOKEN
    (tmp_path / "token").write_bytes(b"\xef\xbb\xbf" + TOKEN.encode() + b"\r\n")
    assert web.token_of(tmp_path / "token", {}) == TOKEN
    for wrong in ("short", "x" * 2000, "two words, of letters enough", "\u00fcber" * 8, ""):
        with pytest.raises(UsageError, match="16"):
            web.token_of(None, {web.TOKEN: wrong})
    with pytest.raises(UsageError, match="cannot be read"):
        web.token_of(tmp_path / "none", {})


@pytest.mark.parametrize("mode", [0o644, 0o602, 0o660])
def test_a_token_that_others_may_read_or_choose_is_none(tmp_path: Path, mode: int) -> None:
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "token").chmod(mode)
    with pytest.raises(UsageError, match="others may read or change"):
        web.token_of(tmp_path / "token", {})
