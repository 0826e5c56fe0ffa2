# SPDX-License-Identifier: MIT
"""Standard input and output as the protocol's wire.

What always holds here:
- nothing else in this process, and no child of it, can write to the wire: descriptor 1 becomes that of standard error;
- a line has a bound, so that a client cannot fill the memory;
- whoever reads or writes can be cancelled, so that SIGTERM ends the server also while a client is silent.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import AsyncIterator, Iterator

import anyio

MOST_LINE_BYTES = 4 << 20
_PIECE_BYTES = 1 << 16
_PIPE_BYTES = 4096
"""A pipe that is ready takes as many without blocking (PIPE_BUF)."""
TOO_LONG = "this line is too long"
"""Stands for a line beyond the bound: no JSON, so that it is refused as such."""


@contextlib.contextmanager
def claimed() -> Iterator[tuple[Incoming, Outgoing]]:
    """Yield the wire, while descriptor 0 is empty and descriptor 1 that of standard error."""
    wire_in, wire_out = os.dup(0), os.dup(1)
    empty = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    os.dup2(empty, 0)
    os.dup2(2, 1)
    os.close(empty)
    try:
        yield Incoming(wire_in), Outgoing(wire_out)
    finally:
        os.dup2(wire_in, 0)
        os.dup2(wire_out, 1)
        os.close(wire_in)
        os.close(wire_out)


class Incoming:
    """Lines from a descriptor, as text."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._waits = not stat.S_ISREG(os.fstat(fd).st_mode)

    async def __aiter__(self) -> AsyncIterator[str]:
        rest, skips = bytearray(), False
        while piece := await self._piece():
            *lines, last = piece.split(b"\n")
            for line in lines:
                whole = bytes(rest) + line
                yield TOO_LONG if skips else whole.decode("utf-8", "replace")
                rest, skips = bytearray(), False
            rest += last
            if len(rest) > MOST_LINE_BYTES:
                rest, skips = bytearray(), True

    async def _piece(self) -> bytes:
        if self._waits:
            await anyio.wait_readable(self._fd)
        else:
            await anyio.lowlevel.checkpoint()
        try:
            return os.read(self._fd, _PIECE_BYTES)
        except ConnectionResetError:
            return b""


class Outgoing:
    """Writes text to a descriptor, in pieces that do not block."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._waits = not stat.S_ISREG(os.fstat(fd).st_mode)

    async def write(self, text: str) -> None:
        data = memoryview(text.encode("utf-8", "replace"))
        while data:
            if self._waits:
                await anyio.wait_writable(self._fd)
            data = data[os.write(self._fd, data[:_PIPE_BYTES]) :]

    async def flush(self) -> None:
        """Nothing is kept back."""
