# SPDX-License-Identifier: MIT
"""Standard input and output as the protocol's wire.

What always holds here:
- nothing else in this process, and no child of it, can write to the wire: descriptor 1 becomes that of standard error;
- a line has a bound, so that a client cannot fill the memory, and what has no lines at all (/dev/zero) is an error;
- a client that does not read what it asked for is not read from for ever: answers would fill the memory;
- a line that is no message is answered, so that nobody waits for its answer: with its number where it begins with it;
- a client that is gone is a BrokenPipeError or the end of the input; what else fails is an error about the stream;
- whoever reads or writes can be cancelled, so that SIGTERM ends the server also while a client is silent.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import json
import os
import re
import select
from collections.abc import AsyncIterator, Iterator

import anyio
import mcp_types as types

from autotune.errors import AutotuneError, UsageError

MOST_LINE_BYTES = 4 << 20
MOST_SKIPPED_BYTES = 64 << 20
"""Of one line. No client sends that; an endless file does."""
MOST_AHEAD, MOST_AHEAD_BYTES = 500, 16 << 20
"""Messages, and bytes of them, that are taken while nobody reads an answer. A client that writes all it has to ask
before it reads has as much room."""
_PIECE_BYTES = 1 << 16
_PIPE_BYTES = 4096
"""A pipe that is ready takes as many without blocking (PIPE_BUF)."""
_HEAD_BYTES = 512
_NUMBER = re.compile(r'\s*\{\s*"jsonrpc"\s*:\s*"2\.0"\s*,\s*"id"\s*:\s*(-?[0-9]{1,15}|"[ !#-\[\]-~]{1,200}")\s*,')
"""How a request begins; a number further within could be another's."""


@contextlib.contextmanager
def claimed() -> Iterator[tuple[Incoming, Outgoing]]:
    """Yield the wire, while descriptor 0 is empty and descriptor 1 that of standard error."""
    wire_in, wire_out = os.dup(0), os.dup(1)
    empty = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    os.dup2(empty, 0)
    os.dup2(2, 1)
    os.close(empty)
    outgoing = Outgoing(wire_out)
    try:
        yield Incoming(wire_in, outgoing), outgoing
    finally:
        os.dup2(wire_in, 0)
        os.dup2(wire_out, 1)
        os.close(wire_in)
        os.close(wire_out)


class Incoming:
    """Messages from a descriptor, a line each, as text. Lines that are none are refused by `outgoing`. Raises
    AutotuneError for what no client could be."""

    def __init__(self, fd: int, outgoing: Outgoing) -> None:
        self._fd = fd
        self._outgoing = outgoing
        self._waits = _can_be_waited_for(fd)
        self._ahead = self._ahead_bytes = 0

    async def __aiter__(self) -> AsyncIterator[str]:
        async for line in self._lines():
            await self._not_far_ahead(len(line))
            problem = _problem(line)
            if problem is None:
                yield line.decode("utf-8", "replace")
            else:
                await self._outgoing.write(_refusal(line, problem))

    async def _not_far_ahead(self, taken_bytes: int) -> None:
        """Count what is taken while an answer waits for its reader, and wait too once that is much."""
        if not self._outgoing.is_stuck:
            self._ahead = self._ahead_bytes = 0
            return
        self._ahead += 1
        self._ahead_bytes += taken_bytes
        if self._ahead > MOST_AHEAD or self._ahead_bytes > MOST_AHEAD_BYTES:
            await self._outgoing.moved()

    async def _lines(self) -> AsyncIterator[bytes]:
        """Yield lines that are not empty, without the byte order mark of the first; of one beyond the bound, more than
        the bound."""
        rest, skipped_bytes = bytearray(), 0
        is_first = True
        while piece := await self._piece():
            *lines, last = piece.split(b"\n")
            for line in lines:
                whole = bytes(rest) if skipped_bytes else bytes(rest) + line
                whole = whole.removeprefix(codecs.BOM_UTF8) if is_first else whole
                rest, skipped_bytes, is_first = bytearray(), 0, False
                if whole.strip():
                    yield whole
            if len(rest) <= MOST_LINE_BYTES:
                rest += last
            else:
                skipped_bytes += len(last)
            if skipped_bytes > MOST_SKIPPED_BYTES:
                raise UsageError("standard input is no client: it has no lines", hint="see 'autotune mcp --help'")

    async def _piece(self) -> bytes:
        if self._waits:
            await anyio.wait_readable(self._fd)
        else:
            await anyio.lowlevel.checkpoint()
        try:
            return os.read(self._fd, _PIECE_BYTES)
        except OSError as error:
            if error.errno in _GONE:
                return b""
            raise AutotuneError(f"standard input cannot be read: {error.strerror}") from error


class Outgoing:
    """Writes text to a descriptor, in pieces that do not block. Raises BrokenPipeError when the client is gone,
    AutotuneError when it cannot be written otherwise."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._waits = _can_be_waited_for(fd)
        self._whole = anyio.Lock()
        """No line may come within another."""
        self._read = anyio.Event()
        self.is_stuck = False
        """Whether a line waits for somebody to read it."""

    async def moved(self) -> None:
        """Wait until something more of what waits is read."""
        await self._read.wait()

    async def write(self, text: str) -> None:
        data = memoryview(text.encode("utf-8", "replace"))
        async with self._whole:
            while data:
                if self._waits:
                    self.is_stuck = True
                    await anyio.wait_writable(self._fd)
                    self.is_stuck = False
                    self._read.set()
                    self._read = anyio.Event()
                data = data[self._written(data[:_PIPE_BYTES]) :]

    def _written(self, data: memoryview) -> int:
        try:
            return os.write(self._fd, data)
        except OSError as error:
            if error.errno in _GONE:
                raise BrokenPipeError(error.errno, error.strerror) from None
            raise AutotuneError(f"standard output cannot be written: {error.strerror}") from error

    async def flush(self) -> None:
        """Nothing is kept back."""


def _problem(line: bytes) -> str | None:
    """Return why a line is no message, for its sender; None for one that is."""
    if len(line) > MOST_LINE_BYTES:
        return f"a message has at most {MOST_LINE_BYTES >> 20} MiB"
    try:
        types.jsonrpc_message_adapter.validate_json(line.decode("utf-8", "replace"), by_name=False)
    except ValueError:
        return "this is no message of JSON-RPC"
    return None


def _refusal(line: bytes, problem: str) -> str:
    """Return the answer to what is no message."""
    found = _NUMBER.match(line[:_HEAD_BYTES].decode("utf-8", "replace"))
    number = json.loads(found[1]) if found else None
    error = {"code": types.PARSE_ERROR, "message": problem}
    return json.dumps({"jsonrpc": "2.0", "id": number, "error": error}) + "\n"


_GONE = frozenset({errno.EPIPE, errno.ECONNRESET, errno.EIO})
"""How a pipe, a socket and a terminal say that nobody is at their other end."""


def _can_be_waited_for(fd: int) -> bool:
    """Return whether a descriptor tells when it is ready. A regular file and many devices (/dev/null) always are, and
    cannot be asked."""
    with select.epoll() as poll:
        try:
            poll.register(fd, 0)
        except PermissionError:
            return False
    return True
