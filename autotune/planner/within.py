# SPDX-License-Identifier: MIT
"""A time limit for a call, whatever it waits for: a name that does not resolve, a server that sends one byte a
second, a library that sleeps. A socket's timeout bounds one read, not their sum."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Late(Exception):
    """The call did not return in time."""


class ThreadedCall:
    """One call in a thread of its own. A thread cannot be killed, so the call should check `given_up` often; after
    that, nobody waits for it."""

    def __init__(self) -> None:
        self._given_up = threading.Event()

    @property
    def given_up(self) -> bool:
        return self._given_up.is_set()

    def within(self, seconds: float, function: Callable[[], T]) -> T:
        """Return what the function returns or raise what it raises. Raises Late after `seconds`; Ctrl-C ends the wait
        too."""
        done: list[T] = []
        failed: list[BaseException] = []

        def work() -> None:
            try:
                done.append(function())
            except BaseException as error:  # raised again by the waiting thread
                failed.append(error)

        thread = threading.Thread(target=work, name="autotune-service", daemon=True)
        try:
            thread.start()
            thread.join(min(seconds, threading.TIMEOUT_MAX))
        finally:
            self._given_up.set()
        if failed:
            raise failed[0]
        if not done:
            raise Late
        return done[0]
