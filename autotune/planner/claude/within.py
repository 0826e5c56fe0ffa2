# SPDX-License-Identifier: MIT
"""Waits for a call no longer than a deadline, whatever it waits for itself: a name that does not resolve, a server that
sends one byte a second, a library that sleeps. Timeouts of a socket bound one read, not their sum."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Late(Exception):
    """The call was not done in time."""


class Call:
    """One call in a thread of its own. A thread cannot be ended from outside: the call is to look at `given_up` as
    often as it can, and nobody waits for it any more."""

    def __init__(self) -> None:
        self._given_up = threading.Event()

    @property
    def given_up(self) -> bool:
        return self._given_up.is_set()

    def within(self, seconds: float, function: Callable[[], T]) -> T:
        """What the function returns or raises. Raises Late when that takes longer; Ctrl-C ends the waiting too."""
        done: list[T] = []
        failed: list[BaseException] = []

        def work() -> None:
            try:
                done.append(function())
            except BaseException as error:  # it is raised where somebody waits for it
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
