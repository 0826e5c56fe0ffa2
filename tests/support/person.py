# SPDX-License-Identifier: MIT
"""A person at a real pseudo-terminal, who sees what a terminal emulator shows of a program, and types."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import pyte

HISTORY_LINES = 2000
PATIENCE_S = 120.0
"""Keeps a test that hangs from hanging for ever."""


class Person:
    """Sees the terminal's lines, those that scrolled off included, and types."""

    def __init__(self, master: int, child: subprocess.Popen[bytes], columns: int, lines: int) -> None:
        self._master, self._child = master, child
        self._screen = pyte.HistoryScreen(columns, lines, history=HISTORY_LINES, ratio=1.0)
        self._stream = pyte.ByteStream(self._screen)

    def seen(self) -> list[str]:
        """The lines as they can be read now, scrolled-off ones first."""
        width = self._screen.columns
        gone = ["".join(row[column].data for column in range(width)).rstrip() for row in self._screen.history.top]
        return gone + [line.rstrip() for line in self._screen.display]

    def waits_for(self, text: str, times: int = 1) -> None:
        """Look until as many lines end in the text."""
        end = time.monotonic() + PATIENCE_S
        while sum(line.endswith(text) for line in self.seen()) < times:
            is_over = self._child.poll() is not None
            shown = f"no {text!r}:\n" + "\n".join(self.seen())
            assert self._look(1.0) or not is_over, shown
            assert time.monotonic() < end, shown

    def types(self, text: str) -> None:
        os.write(self._master, text.encode())

    def resizes(self, columns: int, lines: int) -> None:
        """Make the terminal's window another size, which its foreground programs are told."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self._screen.resize(lines, columns)

    def leaves(self) -> int:
        """Look until the program ends; return its exit code."""
        end = time.monotonic() + PATIENCE_S
        while self._child.poll() is None:
            assert time.monotonic() < end, "\n".join(self.seen())
            self._look(0.2)
        while self._look(0.1):
            pass
        return self._child.returncode

    def _look(self, seconds: float) -> bool:
        """Take in what comes within this time; False when nothing did."""
        ready, _, _ = select.select([self._master], [], [], seconds)
        if not ready:
            return False
        try:
            data = os.read(self._master, 1 << 16)
        except OSError:  # the other side has gone
            return False
        self._stream.feed(data)
        return bool(data)


@contextmanager
def at_terminal(
    argv: Sequence[str],
    *,
    environ: Mapping[str, str] | None = None,
    columns: int = 100,
    lines: int = 30,
    cwd: str | os.PathLike[str] | None = None,
) -> Iterator[Person]:
    """Start the program at a terminal of this size; end it afterwards."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    surroundings = {**os.environ, "TERM": "xterm-256color", **(environ or {})}
    for name in ("COLUMNS", "LINES", "NO_COLOR"):
        surroundings.pop(name, None)

    def take_terminal() -> None:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    child = subprocess.Popen(
        argv,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=surroundings,
        cwd=cwd,
        start_new_session=True,
        preexec_fn=take_terminal,
    )
    os.close(slave)
    try:
        yield Person(master, child, columns, lines)
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        child.wait()
        os.close(master)
