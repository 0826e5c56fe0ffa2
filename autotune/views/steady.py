# SPDX-License-Identifier: MIT
"""A stream that takes every write: once its reader, its terminal or its disk is gone, what is written goes nowhere.

A session is worth more than the lines about it, so a view must not be able to end one. The first error is kept, for
whoever has to say that not all was shown.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from typing import Any, TextIO, cast


class Steady:
    """Stands for a text stream; `lost` is the first error of writing, None while all is well."""

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
        """For those who want a text stream; what is not written is asked of the stream itself."""
        return cast("TextIO", self)

    def _lose(self, error: OSError | ValueError) -> None:
        self.lost = error
        silence(self._stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def silence(stream: TextIO) -> None:
    """Let the stream lead nowhere, so that what its buffers hold does not fail once more when the process ends."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.dup2(null, stream.fileno())
        finally:
            os.close(null)
    with contextlib.suppress(OSError, ValueError):
        stream.flush()


def reader_left(error: BaseException | None) -> bool:
    """Whether it is the reader of a pipe who had seen enough (`| head`), of which nothing needs to be said."""
    return isinstance(error, OSError) and error.errno == errno.EPIPE


def open_standard_streams() -> None:
    """Lead those of the descriptors 0, 1 and 2 nowhere that are closed: the next file that is opened would otherwise
    take the place, and get what a program of ours prints there."""
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(fd, True)
    os.close(fd)
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115 - for as long as the process lives
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115
