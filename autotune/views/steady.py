# SPDX-License-Identifier: MIT
"""A stream whose writes never fail: once its reader, terminal or disk is gone, text is discarded.

So no view can end a session. The first error is kept, so that the program can report that output is missing.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from typing import Any, TextIO, cast


class Steady:
    """Wraps a text stream; `lost` is the first write error, None without one."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.lost: OSError | ValueError | None = None

    def write(self, text: str) -> int:
        if self.lost is None:
            try:
                return self._stream.write(text)
            except (OSError, ValueError) as error:
                self._lose(error)
        return len(text)

    def flush(self) -> None:
        if self.lost is None:
            try:
                self._stream.flush()
            except (OSError, ValueError) as error:
                self._lose(error)

    def as_stream(self) -> TextIO:
        """Return itself, typed as a text stream; other attributes come from the stream itself."""
        return cast("TextIO", self)

    def _lose(self, error: OSError | ValueError) -> None:
        self.lost = error
        silence(self._stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def silence(stream: TextIO) -> None:
    """Redirect the stream to /dev/null, so that flushing it does not fail again when the process ends."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.dup2(null, stream.fileno())
        finally:
            os.close(null)
    with contextlib.suppress(OSError, ValueError):
        stream.flush()


def reader_left(error: BaseException | None) -> bool:
    """Return whether the reader of a pipe has gone (`| head`), which needs no message."""
    return isinstance(error, OSError) and error.errno == errno.EPIPE


_stdout_was_closed = False


def stdout_was_closed() -> bool:
    """Return whether standard output was closed before autotune started, so that a document on it is lost."""
    return _stdout_was_closed


def open_standard_streams() -> None:
    """Open /dev/null on each of the descriptors 0, 1 and 2 that is closed. Otherwise the next file opened would take
    its number and receive what is printed there."""
    global _stdout_was_closed
    _stdout_was_closed = sys.stdout is None
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(fd, True)
    os.close(fd)
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115 - for as long as the process lives
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115
