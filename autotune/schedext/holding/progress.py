# SPDX-License-Identifier: MIT
"""Progress of a program that is to attach its scheduler: whether waiting for it still makes sense.

Loading takes as long as the kernel's verifier needs: milliseconds for one program, half a minute for another under
emulation. So no flat limit fits. Meanwhile the verifier uses CPU time in the kernel, on behalf of the program; one that
neither runs nor wants to will not attach. Part of the holder: standard library only.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

IDLE_S = 10.0
"""How long a program may do nothing at all."""
USER_S = 30.0
"""How long a program may compute by itself, while the kernel does nothing for it."""
LOOK_S = 0.5
ACTIVE_TICKS = 4
"""Clock ticks (10 ms) of CPU time between two looks that are work: a program that only wakes up to wait uses less."""


class Used(NamedTuple):
    """CPU time of some processes in clock ticks, and whether one of them runs, wants to, or waits inside the kernel."""

    user: int
    system: int
    running: bool


class Progress:
    """Looks at the processes of a program every so often. `problem` says why waiting makes no sense any more."""

    def __init__(
        self,
        pids: Callable[[], Iterable[int]],
        *,
        clock: Callable[[], float] = time.monotonic,
        used: Callable[[Iterable[int]], Used] | None = None,
    ) -> None:
        self._pids = pids
        self._clock = clock
        self._used = used or used_by
        self._seen = Used(0, 0, False)
        self._looked_s = self._active_s = self._kernel_s = clock()

    def problem(self) -> str | None:
        """Return why it will not attach, as a phrase that follows the program's name; None while it may."""
        now_s = self._clock()
        if now_s - self._looked_s >= LOOK_S:
            self._look(now_s)
        if now_s - self._active_s >= IDLE_S:
            return f"was not attached, and did nothing for {IDLE_S:g} s"
        if now_s - self._kernel_s >= USER_S:
            return f"was not attached, and computed for {USER_S:g} s without loading anything"
        return None

    def _look(self, now_s: float) -> None:
        used = self._used(self._pids())
        user, system = used.user - self._seen.user, used.system - self._seen.system
        waits_for_cpu = used.running and self._seen.running  # once may be chance
        if user + system >= ACTIVE_TICKS or waits_for_cpu:
            self._active_s = now_s
        if system >= ACTIVE_TICKS or user < ACTIVE_TICKS:
            self._kernel_s = now_s  # while it does nothing, the other limit counts
        self._seen, self._looked_s = used, now_s


def used_by(pids: Iterable[int]) -> Used:
    """Read the CPU time of processes; those that ended meanwhile are left out."""
    user = system = 0
    running = False
    for pid in pids:
        with contextlib.suppress(OSError, ValueError, IndexError), open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
            user, system = user + int(fields[11]), system + int(fields[12])
            running = running or fields[0] in (b"R", b"D")
    return Used(user, system, running)
