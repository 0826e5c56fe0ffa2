# SPDX-License-Identifier: MIT
"""The server as a process: by standard input and output, with hostile clients, and when its client vanishes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters

from tests.support.mcp_client import data, server_program
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

HELLO = {
    "protocolVersion": "2024-11-05",
    "capabilities": {},
    "clientInfo": {"name": "an old one", "version": "1"},
}
TUNE = {"workload": {"command": "sleep 1"}}


class RawClient:
    """Writes lines to a server and reads its lines, as a client that need not keep the protocol."""

    def __init__(self, directory: Path) -> None:
        self.process = subprocess.Popen(
            server_program(directory), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self._number = 0

    def send(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def request(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a request, and return its answer; what else comes must be lines of the protocol too."""
        self._number += 1
        message = {"jsonrpc": "2.0", "id": self._number, "method": method, "params": params}
        self.send(json.dumps(message).encode() + b"\n")
        return self.answer_to(self._number)

    def answer_to(self, number: int | str | None) -> dict[str, Any]:
        assert self.process.stdout is not None
        while True:
            answer: dict[str, Any] = json.loads(self.process.stdout.readline())
            assert answer["jsonrpc"] == "2.0"
            if answer.get("id", "") == number:
                return answer

    def hello(self) -> dict[str, Any]:
        answer = self.request("initialize", **HELLO)
        self.send(b'{"jsonrpc": "2.0", "method": "notifications/initialized"}\n')
        return answer

    def call(self, name: str, /, **arguments: Any) -> dict[str, Any]:
        result: dict[str, Any] = self.request("tools/call", name=name, arguments=arguments)["result"]
        return result


@pytest.fixture
def client(tmp_path: Path) -> Iterator[RawClient]:
    one = RawClient(tmp_path)
    try:
        yield one
    finally:
        one.process.kill()
        one.process.wait()
        for stream in (one.process.stdin, one.process.stdout, one.process.stderr):
            if stream is not None:
                stream.close()


def test_a_hostile_client_gets_errors_and_the_server_goes_on(client: RawClient) -> None:
    assert client.hello()["result"]["protocolVersion"] == "2024-11-05"
    client.send(b"garbage\n\xff\xfe\x00\n{}\n[]\n" + b"{" * 20_000 + b"\n")
    client.send(b'{"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": "' + b"x" * (5 << 20) + b'"}\n')
    assert client.answer_to(None)["error"]["code"] == -32700
    assert "4 MiB" in client.answer_to(7)["error"]["message"]
    assert "error" in client.request("no/such/method")
    assert "error" in client.request("tools/call", name=3)
    assert client.call("no_such")["isError"]
    assert client.call("describe_scheduler", name={"a": [1]})["isError"]
    for _ in range(1000):
        assert client.call("tuning_status", id="tune-9")["isError"]
    assert len(client.request("tools/list")["result"]["tools"]) > 10
    kept_kib = int(Path(f"/proc/{client.process.pid}/statm").read_text().split()[1]) * 4
    assert kept_kib < 400 << 10


NO_MESSAGES = {
    "deep": b'"params": {"name": "best_known", "arguments": ' + b'{"a": ' * 300 + b"1" + b"}" * 300 + b"}}",
    "half a character": b'"params": {"name": "best_known", "arguments": {"command": "\\ud800"}}}',
    "a NUL": b'"params": {"name": "best_known", "arguments": {"command": "\0"}}}',
    "of a wrong type": b'"params": 5}',
    "cut off": b'"params": {"name": ',
    "too long": b'"params": {"id": 1, "x": "' + b"x" * (9 << 20) + b'"}}',
}


def test_nobody_waits_for_the_answer_to_what_is_no_message(client: RawClient) -> None:
    client.send(b"\xef\xbb\xbf")  # as some write before their first line
    client.hello()
    for what, rest in NO_MESSAGES.items():
        for number in (json.dumps(f"the call with {what}"), str(1000 + len(what))):
            client.send(b'{"jsonrpc": "2.0", "id": %b, "method": "tools/call", %b\n' % (number.encode(), rest))
            assert client.answer_to(json.loads(number))["error"]["code"] in (-32700, -32602), what
    assert "result" in client.request("ping")


@pytest.mark.parametrize("how", ["end of input", "SIGTERM", "SIGINT", "SIGHUP", "SIGKILL"])
def test_when_the_client_vanishes_its_work_ends_in_order(client: RawClient, tmp_path: Path, how: str) -> None:
    client.hello()
    started = client.call("tuning_start", **TUNE)
    assert json.loads(started["content"][0]["text"])["status"] == "running"
    if how == "end of input":
        assert client.process.stdin is not None
        client.process.stdin.close()
    for _ in range(0 if how == "end of input" else 1 if how == "SIGKILL" else 20):  # a key is held down
        os.kill(client.process.pid, getattr(signal, how))
        time.sleep(0.002)
    code = client.process.wait(30)
    assert code == (-signal.SIGKILL if how == "SIGKILL" else 0)
    assert client.process.stderr is not None
    assert client.process.stderr.read() == b""
    wait_until(lambda: (tmp_path / "ended").exists())
    wait_until(lambda: (tmp_path / "ended").read_text() != "")
    assert (tmp_path / "ended").read_text() == "ended in order"


def test_a_client_that_stops_reading_and_goes_is_an_end_like_any_other(client: RawClient, tmp_path: Path) -> None:
    client.hello()
    client.call("tuning_start", **TUNE)
    assert client.process.stdout is not None
    assert client.process.stderr is not None
    client.process.stdout.close()
    client.send(b'{"jsonrpc": "2.0", "id": 8, "method": "tools/list"}\n')
    assert client.process.wait(30) == 0
    assert client.process.stderr.read() == b""
    assert (tmp_path / "ended").read_text() == "ended in order"


def test_the_package_s_own_client_by_standard_input_and_output(tmp_path: Path) -> None:
    command, *arguments = server_program(tmp_path)

    async def work() -> None:
        server = StdioServerParameters(command=command, args=arguments)
        async with Client(server) as client:
            seen = data(await client.call_tool("tuning_start", TUNE))
            seen = data(await client.call_tool("tuning_status", {"id": seen["id"], "wait_s": 0.6}))
            assert (seen["status"], seen["output"]) == ("running", ["a line"])
            await client.call_tool("tuning_stop", {"id": seen["id"]})
            seen = data(await client.call_tool("tuning_status", {"id": seen["id"], "wait_s": 20}))
            assert seen["status"] == "stopped"

    anyio.run(work)
