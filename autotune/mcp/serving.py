# SPDX-License-Identifier: MIT
"""Serves one client by standard input and output, or several by HTTP, until they are gone or a signal comes; then ends
all that was started."""

from __future__ import annotations

import asyncio
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
    """Serve until the client is gone or a signal comes; signals do nothing from then on, since the process ends.
    `works` is for tests. Raises AutotuneError when the address or a standard stream cannot be used, and DetachError
    when a scheduler is still attached."""
    for name in ("mcp", "uvicorn"):  # they would tell what clients send, or that one went
        logging.getLogger(name).setLevel(logging.CRITICAL)
    desk = Desk(ClientBench(options.directory), works or Works(options.allowance))
    door = Door(desk, Consents(options.allowed))
    try:
        if options.address is None:
            with claimed() as (incoming, outgoing):
                _served(lambda: _by_lines(door, incoming, outgoing))
                _close(desk)
        else:
            address, listener = options.address, listening(options.address)
            _served(lambda: _by_http(door, desk, address, listener))
    finally:
        _close(desk)


def _served(work: Callable[[], Awaitable[None]]) -> None:
    """Do the work until it ends or a signal comes. A client that is gone is an end like any other. Raises what the work
    raises, without the groups that anyio puts it into."""
    try:
        anyio.run(_until_signal, work)
    except BaseException as error:
        cause = error
        while inner := getattr(cause, "exceptions", ()):
            cause = inner[0]
        if not isinstance(cause, BrokenPipeError):
            raise cause from None


def _close(desk: Desk) -> None:
    """Close the desk; a second call does nothing. Signals are over: the machine is given back whatever comes."""
    for number in ENDS:
        signal.signal(number, signal.SIG_IGN)
    desk.close()


async def _by_lines(door: Door, incoming: Any, outgoing: Any) -> None:
    server = door.server()
    async with stdio_server(cast(Any, incoming), cast(Any, outgoing)) as (reads, writes):
        await server.run(reads, writes, server.create_initialization_options())


async def _by_http(door: Door, desk: Desk, address: Address, listener: socket.socket) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(_watch_silence, desk)
        await serve(door.server(), address, listener, desk.works.stop_of)
        group.cancel_scope.cancel()


async def _watch_silence(desk: Desk) -> None:
    while True:
        await anyio.sleep(LOOK_EVERY_S)
        desk.works.stop_forgotten(SILENCE_S)


async def _until_signal(work: Callable[[], Awaitable[None]]) -> None:
    async with anyio.create_task_group() as group:
        _cancel_at_signals(group.cancel_scope)
        await work()
        group.cancel_scope.cancel()


def _cancel_at_signals(scope: anyio.CancelScope) -> None:
    """Cancel at the first signal; further ones change nothing, until `_close` has the last word. A signal that is
    ignored (SIGHUP under nohup) stays ignored."""
    loop = asyncio.get_running_loop()

    def heed(_number: int, _frame: Any) -> None:
        with contextlib.suppress(RuntimeError):  # it is over
            loop.call_soon_threadsafe(scope.cancel)

    for number in ENDS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, heed)


def leave() -> None:
    """End the process at once, when all is closed: a thread that waits for a silent client would hold it."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(0)
