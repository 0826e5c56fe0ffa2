# SPDX-License-Identifier: MIT
"""Serves one client by standard input and output, or several by HTTP, until they are gone or a signal comes; then ends
all that was started."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import anyio
import anyio.to_thread
from mcp.server.stdio import stdio_server

from autotune.frozen import dataclass
from autotune.mcp.bench import ClientBench
from autotune.mcp.desk import Desk
from autotune.mcp.jobs import Allowance, Works
from autotune.mcp.questions import Effect
from autotune.mcp.server import Consents, Door
from autotune.mcp.streams import claimed
from autotune.mcp.web import Address, listening, serve

ENDS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
LOOK_EVERY_S = 5.0
SILENCE_S = 900.0
"""A client over HTTP that calls no tool for so long has vanished: the newest protocol has no session that closes."""


@dataclass(frozen=True)
class ServerOptions:
    """What the person who starts the server decides."""

    directory: Path
    allowance: Allowance
    allowed: frozenset[Effect] = frozenset()
    address: Address | None = None
    """Where to listen for HTTP; None: standard input and output."""


def run(options: ServerOptions, works: Works | None = None) -> None:
    """Serve until the client is gone or a signal comes. `works` is for tests. Raises AutotuneError when the address
    cannot be used, and DetachError when a scheduler is still attached."""
    logging.getLogger("mcp").setLevel(logging.ERROR)  # it would tell what clients send
    desk = Desk(ClientBench(options.directory), works or Works(options.allowance))
    door = Door(desk, Consents(options.allowed))
    try:
        if options.address is None:
            with claimed() as (incoming, outgoing):
                anyio.run(_until_signal, lambda: _by_lines(door, incoming, outgoing))
                _close(desk)
        else:
            address, listener = options.address, listening(options.address)
            anyio.run(_until_signal, lambda: _by_http(door, desk, address, listener))
    finally:
        _close(desk)


def _close(desk: Desk) -> None:
    """Close the desk; a second call does nothing. Signals have to wait: the machine is given back first."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in ENDS}
    try:
        desk.close()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


async def _by_lines(door: Door, incoming: Any, outgoing: Any) -> None:
    server = door.server()
    with contextlib.suppress(BrokenPipeError):
        async with stdio_server(cast(Any, incoming), cast(Any, outgoing)) as (reads, writes):
            await server.run(reads, writes, server.create_initialization_options())


async def _by_http(door: Door, desk: Desk, address: Address, listener: socket.socket) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(_watch_silence, desk)
        await serve(door.server(), address, listener)
        group.cancel_scope.cancel()


async def _watch_silence(desk: Desk) -> None:
    while True:
        await anyio.sleep(LOOK_EVERY_S)
        desk.works.stop_forgotten(SILENCE_S)


async def _until_signal(work: Callable[[], Awaitable[None]]) -> None:
    async with anyio.create_task_group() as group:
        await group.start(_cancel_at_signal, group.cancel_scope)
        await work()
        group.cancel_scope.cancel()


async def _cancel_at_signal(scope: anyio.CancelScope, *, task_status: anyio.abc.TaskStatus[None]) -> None:
    with anyio.open_signal_receiver(*ENDS) as signals:
        task_status.started()
        async for _ in signals:
            scope.cancel()
            return


def leave() -> None:
    """End the process at once, when all is closed: a thread that waits for a silent client would hold it."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(0)
