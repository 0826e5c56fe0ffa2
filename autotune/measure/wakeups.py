# SPDX-License-Identifier: MIT
"""Wake-up latency: a thread that sleeps, and notes how late it wakes. Standard library only."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import deque
from typing import NamedTuple

from autotune.errors import AutotuneError

PROBE_PERIOD_S = 0.02
"""Pause between two wake-ups of the probe. Half of it would cost twice as much: over 1 % of a CPU where a wake-up is
expensive (a cloud VM)."""
SCHED_EXT = 7  # enum in the kernel's include/uapi/linux/sched.h; Python has no name for it
_JOIN_S = 5.0


class Wake(NamedTuple):
    """One wake-up of the probe: when it ran, and how late that was, on the monotonic clock."""

    at_s: float
    late_s: float


class WakeProbe:
    """A thread that sleeps and notes how late it wakes. `partial`: under SCHED_EXT, since a scheduler attached in
    partial mode has no other tasks. `cpu_s`: its CPU time, known once it has ended. Lateness is from the deadline to
    the thread's next step, so it includes waiting for Python's lock, some ms at most."""

    def __init__(self, partial: bool, period_s: float = PROBE_PERIOD_S) -> None:
        self._partial = partial
        self._period_s = period_s
        self._due_s: float | None = None
        self._wakes: deque[Wake] = deque()
        self._stopping = False
        self._started = threading.Event()
        self._error: OSError | None = None
        self._thread = threading.Thread(target=self._run, name="at-probe", daemon=True)
        self.cpu_s = 0.0

    @property
    def due_s(self) -> float | None:
        return self._due_s

    def start(self) -> None:
        """Start the thread. Raises AutotuneError when it needs SCHED_EXT and the kernel has none."""
        self._thread.start()
        self._started.wait()
        if self._error is not None:
            raise AutotuneError(
                f"the watch cannot be under SCHED_EXT: {self._error.strerror}",
                hint="partial mode needs a kernel with sched_ext (Linux 6.14 or later)",
                stage="canary",
            )

    def cpu_so_far_s(self) -> float:
        """Return the CPU time of the thread while it runs, its start included; 0 once it has ended."""
        with contextlib.suppress(OSError):
            if self._thread.ident is not None and self._thread.is_alive():
                return time.clock_gettime(time.pthread_getcpuclockid(self._thread.ident))
        return 0.0

    def stop(self, *, wait: bool = True) -> None:
        """End with the next wake-up; `wait` for it where nothing delays it any more."""
        self._stopping = True
        if wait and self._thread.ident is not None:
            self._thread.join(_JOIN_S)

    def take(self) -> list[Wake]:
        """Return the wake-ups since the last call."""
        taken = []
        with contextlib.suppress(IndexError):
            while True:
                taken.append(self._wakes.popleft())
        return taken

    def _run(self) -> None:
        try:
            if self._partial:
                os.sched_setscheduler(0, SCHED_EXT, os.sched_param(0))
        except OSError as error:
            self._error = error
            return
        finally:
            self._started.set()
        period_s, wakes = self._period_s, self._wakes
        while not self._stopping:
            self._due_s = due_s = time.monotonic() + period_s
            time.sleep(period_s)
            now_s = time.monotonic()
            wakes.append(Wake(now_s, max(0.0, now_s - due_s)))
        self.cpu_s = time.thread_time()
