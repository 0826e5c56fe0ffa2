# SPDX-License-Identifier: MIT
"""Who is at the other end of a connection, and that who may not connect cannot keep others away."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from autotune.mcp import peers


def test_a_socket_of_another_user_is_not_ours(tmp_path: Path) -> None:
    table = tmp_path / "tcp"

    def owned_by(uid: int, inode: int = 1) -> bool:
        line = f"0: 0100007F:C350 0100007F:1F90 01 0:0 0:0 0 {uid} 0 {inode}"
        table.write_text(f"  sl  local_address rem_address\n   {line}\n")
        return peers.is_ours(("127.0.0.1", 0xC350), ("127.0.0.1", 0x1F90), (str(table),))

    assert owned_by(os.geteuid())
    assert not owned_by(os.geteuid() + 1)
    assert not owned_by(0, inode=0)
    assert not peers.is_ours(("127.0.0.1", 1), ("127.0.0.1", 0x1F90), (str(table),))
    assert not peers.is_ours(None, None)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.9", "::1", "::ffff:127.0.0.1"])
def test_a_client_of_ours_is_found_and_once_it_hung_up_nobody_is(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listens = host.removeprefix("::ffff:")
    here = socket.AF_INET6 if ":" in listens else socket.AF_INET
    with socket.create_server((listens, 0), family=here) as listener, socket.socket(family) as client:
        client.connect((host, listener.getsockname()[1]))
        with listener.accept()[0] as connection:
            ends = (connection.getpeername(), connection.getsockname())
            assert peers.is_ours(*ends)
            client.close()  # the kernel now shows a socket of root's, whoever this was
            assert not peers.is_ours(*ends)


def test_another_address_with_the_port_of_a_client_of_ours_is_not_ours() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as ours:
        assert peers.is_ours(ours.getsockname(), listener.getsockname())
        assert not peers.is_ours(("127.0.0.2", ours.getsockname()[1]), listener.getsockname())


# --- how many, and for how long --------------------------------------------------------------------------


async def _yes(scope: Any, receive: Any, send: Any) -> None:
    del scope, receive
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


@contextlib.asynccontextmanager
async def served(protocol: type[peers.Bounded]) -> AsyncIterator[int]:
    """A web server with these connections; its port."""
    config = uvicorn.Config(_yes, http=protocol, lifespan="off", log_config=None, proxy_headers=False)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        task = asyncio.create_task(server._serve([listener]))
        while not server.started:
            await asyncio.sleep(0.01)
        yield listener.getsockname()[1]
        server.should_exit = server.force_exit = True
        await task


async def is_closed(reader: asyncio.StreamReader, within_s: float) -> bool:
    """Whether the server closes a connection in time."""
    try:
        return await asyncio.wait_for(reader.read(1), within_s) == b""
    except ConnectionError:
        return True
    except TimeoutError:
        return False


async def answer(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    try:
        return (await reader.readline()).strip()
    finally:
        writer.close()


def test_who_may_not_connect_is_gone_at_once_however_many(monkeypatch: pytest.MonkeyPatch) -> None:
    strangers: set[int] = set()
    monkeypatch.setattr(peers, "MOST_CONNECTIONS", 5)
    monkeypatch.setattr(peers, "is_ours", lambda client, _server: client[1] not in strangers)

    async def work() -> None:
        async with served(peers.OursOnly) as port:
            for _ in range(20):
                with socket.socket() as free:
                    free.bind(("127.0.0.1", 0))
                    here = free.getsockname()
                strangers.add(here[1])
                reader, _ = await asyncio.open_connection("127.0.0.1", port, local_addr=here)
                assert await is_closed(reader, 30.0)
            assert await answer(port) == b"HTTP/1.1 200 OK"

    asyncio.run(work())


def test_who_asks_nothing_ends_soon_and_there_are_only_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "MOST_CONNECTIONS", 3)
    monkeypatch.setattr(peers, "FIRST_REQUEST_S", 0.5)

    async def work() -> None:
        async with served(peers.Bounded) as port:
            silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
            for _, writer in silent:
                writer.write(b"POST /mcp HTTP/1.1\r\n")  # and no more
            assert await answer(port) == b""
            assert [await is_closed(reader, 30.0) for reader, _ in silent] == [True] * 3
            assert await answer(port) == b"HTTP/1.1 200 OK"

    asyncio.run(work())
