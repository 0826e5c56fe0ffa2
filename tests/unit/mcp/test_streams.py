# SPDX-License-Identifier: MIT
"""Lines of the protocol by standard input and output, between a client and a server that is slower than it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import anyio
import pytest

from autotune.mcp.streams import MOST_AHEAD, Incoming, Outgoing

LIST = b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}\n'
LONG = "x" * (1 << 20)
"""More than a pipe takes at once."""


@pytest.fixture
def wires() -> Iterator[tuple[int, int, int, int]]:
    """Both ends of what the client writes and of what it reads."""
    ends = (*os.pipe(), *os.pipe())
    yield ends
    for end in ends:
        os.close(end)


def test_a_client_that_never_reads_is_not_read_from_for_ever_and_goes_on_once_it_reads(
    wires: tuple[int, int, int, int],
) -> None:
    asks_out, asks_in, answers_out, answers_in = wires
    everything, taken = 4 * MOST_AHEAD, 0
    writer = threading.Thread(target=lambda: _write(asks_in, LIST * everything))

    async def work() -> None:
        nonlocal taken
        outgoing = Outgoing(answers_in)
        async with anyio.create_task_group() as group:
            group.start_soon(outgoing.write, LONG)
            await anyio.sleep(0.05)
            group.start_soon(_take_all, Incoming(asks_out, outgoing), group.cancel_scope)
            await anyio.sleep(0.5)
            assert MOST_AHEAD <= taken <= MOST_AHEAD + 2
            await anyio.to_thread.run_sync(_read, answers_out, len(LONG))

    async def _take_all(incoming: Incoming, scope: anyio.CancelScope) -> None:
        nonlocal taken
        async for _ in incoming:
            taken += 1
            if taken == everything:
                scope.cancel()

    writer.start()
    anyio.run(work)
    writer.join()
    assert taken == everything


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


def _read(fd: int, amount: int) -> None:
    while amount > 0:
        amount -= len(os.read(fd, 1 << 16))
