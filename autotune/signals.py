# SPDX-License-Identifier: MIT
"""Signals that end programs: what Ctrl-C does when, what counts as Ctrl-C, and how to delay it.

What always holds in a program (`program`):
- outside of a command, Ctrl-C does what it did before the program began: it ends the process;
- inside (`interruptible`) it raises KeyboardInterrupt, once for a key that is held down or pressed again at once, so
  that what is being cleaned up is cleaned up;
- a KeyboardInterrupt that Python could only print, in a finalizer, is raised again a moment later;
- one that a library made its own error of (pydantic's core does, while it builds a model) is still known
  (`is_interruption`);
- once all is done, Ctrl-C does nothing: the exit code is decided.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from autotune.errors import Interrupted, as_ours

AGAIN_S = 0.5
"""Ctrl-C within this time after another one means the same."""
_RETRY_S = 0.01


class CtrlC:
    """Handler of SIGINT for a whole program. `outside` handles what comes while no command runs."""

    def __init__(self, outside: Callable[[int, Any], Any]) -> None:
        self.inside = False
        self._outside = outside
        self.raised = False
        self._last_s = float("-inf")

    def __call__(self, number: int, frame: Any) -> None:
        again = time.monotonic() - self._last_s < AGAIN_S
        self._last_s = time.monotonic()
        if self.inside and not again:
            self.raised = True
            raise KeyboardInterrupt
        if not self.inside and not (again and self.raised):
            self._outside(number, frame)

    def retry(self) -> None:
        """Raise a lost KeyboardInterrupt again, after what runs now has ended: that would lose it once more."""
        self._last_s = float("-inf")
        later = threading.Timer(_RETRY_S, os.kill, (os.getpid(), signal.SIGINT))
        later.daemon = True
        later.start()


@contextlib.contextmanager
def program() -> Iterator[None]:
    """Handle Ctrl-C as a program does, from its first command until its process ends. Where Ctrl-C is ignored, as in
    what a shell starts in the background, it stays ignored."""
    before = signal.getsignal(signal.SIGINT)
    if not callable(before):
        yield
        return
    handler, others = CtrlC(before), sys.unraisablehook

    def unraisable(lost: Any) -> None:
        if issubclass(lost.exc_type, KeyboardInterrupt):
            handler.retry()
        else:
            others(lost)

    sys.unraisablehook = unraisable
    signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError, AttributeError):
                stream.flush()  # it may wait for a reader, and can be interrupted
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def is_interruption(error: BaseException) -> bool:
    """Return whether an exception is a Ctrl-C, or what a library made of one: an error that would be a bug, after
    Ctrl-C has interrupted a command of this `program`."""
    known, handler = as_ours(error), signal.getsignal(signal.SIGINT)
    was_pressed = isinstance(handler, CtrlC) and handler.raised
    return isinstance(known, Interrupted) or (known.stage == "internal" and was_pressed)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C raise KeyboardInterrupt while a command of a `program` runs."""
    handler = signal.getsignal(signal.SIGINT)
    if not isinstance(handler, CtrlC):
        yield
        return
    try:
        handler.inside = True
        yield
    finally:
        handler.inside = False


@contextlib.contextmanager
def as_interrupts() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into KeyboardInterrupt, so that they end a session as Ctrl-C does. A signal that is
    ignored (SIGHUP under nohup) stays ignored."""
    handler = signal.getsignal(signal.SIGINT)
    interrupt = handler if isinstance(handler, CtrlC) else signal.default_int_handler
    heeded = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, interrupt) for number in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def delayed() -> Iterator[None]:
    """Deliver Ctrl-C and the like only after the block. Does nothing outside the main thread, which alone gets
    signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    for number in numbers:
        if before[number] not in (signal.SIG_IGN, None):
            signal.signal(number, lambda came_now, _frame: came.append(came_now))
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:
                signal.signal(number, handler)
    for late in dict.fromkeys(came):
        signal.raise_signal(late)
