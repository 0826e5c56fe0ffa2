# SPDX-License-Identifier: MIT
"""What the caller gave to the command, byte for byte: arguments, environment, signals.

Both the launcher, a shell, and Python change them on the way here: a shell sets PWD and drops variables with odd names
(exported functions of bash), Python decodes arguments, sets LC_CTYPE in the C locale, and ignores SIGPIPE. So the
launcher hands on, in a variable, what it was given itself; without it what this process was given is used.
"""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]  # `signal` takes long: it makes enumerations
import os

GIVEN = "AUTOTUNE_GIVEN"
"""Set by the launchers for `autotune run`: blocked and ignored signals (masks in hexadecimal) and the environment
(base64; - where it is too large), with colons between."""
_OURS = (b"AUTOTUNE_GIVEN", b"AUTOTUNE_LAUNCHER")
_PYTHON_IGNORES = (signal.SIGPIPE, signal.SIGXFSZ)


class Given:
    """What the command is to find. `blocked` and `ignored` are masks of signals, bit 0 for signal 1."""

    def __init__(self, environ: dict[bytes, bytes], blocked: int | None, ignored: int) -> None:
        self.environ = environ
        self.blocked = blocked
        """None when it is not known: then those of this process are."""
        self.ignored = ignored
        self._closed = [number for number in (0, 1, 2) if not _is_open(number)]

    def restore_streams(self) -> None:
        """Close the standard streams that were closed: SQLite opens something in their place, and leaves it."""
        for number in self._closed:
            if _is_open(number):
                os.close(number)

    def restore_signals(self) -> None:
        """Give this process the signals that it was started with. A Ctrl-C that was waiting ends it here."""
        if signal.getsignal(signal.SIGINT) not in (signal.SIG_IGN, signal.SIG_DFL):
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        for number in _PYTHON_IGNORES:
            is_ignored = self.ignored >> (number - 1) & 1
            signal.signal(number, signal.SIG_IGN if is_ignored else signal.SIG_DFL)
        if self.blocked is not None:
            numbers = {number for number in range(1, signal.NSIG) if self.blocked >> (number - 1) & 1}
            signal.pthread_sigmask(signal.SIG_SETMASK, numbers)


def read(handed: str | None) -> Given:
    """Return what was given; `handed` is what the launcher put into GIVEN."""
    blocked, ignored, environ = None, 0, None
    if handed:
        import binascii

        words = handed.split(":")
        try:
            blocked, ignored = int(words[0], 16), int(words[1], 16)
            environ = None if words[2] == "-" else _pairs(binascii.a2b_base64(words[2]))
        except (ValueError, IndexError):
            pass
    if environ is None:
        environ = _pairs(_bytes_of("/proc/self/environ")) or dict(os.environb)
    for name in _OURS:
        environ.pop(name, None)
    return Given(environ, blocked, ignored)


def arguments(words: list[str]) -> list[bytes]:
    """Return the last arguments of this process, as many as `words`, as they were given."""
    whole = _bytes_of("/proc/self/cmdline").split(b"\0")[:-1]
    return whole[-len(words) :] if words and len(whole) > len(words) else [os.fsencode(word) for word in words]


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _pairs(text: bytes) -> dict[bytes, bytes]:
    pairs = (entry.partition(b"=") for entry in text.split(b"\0") if b"=" in entry)
    return {name: value for name, _, value in pairs}


def _bytes_of(path: str) -> bytes:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.readall()
    except OSError:
        return b""
