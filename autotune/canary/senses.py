# SPDX-License-Identifier: MIT
"""Inputs of a watch: a probe of wake-up latency (`measure.wakeups`), the kernel's pressure and its sched_ext state; and
the kernel's own way to eject a scheduler. Standard library only."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import field
from pathlib import Path
from typing import Protocol

from autotune.canary.bounds import Look, high_percentile
from autotune.frozen import dataclass
from autotune.measure.wakeups import PROBE_PERIOD_S, Wake, WakeProbe
from autotune.records import KernelState
from autotune.schedext.kernel import SYSFS, eject, read_state

LOOK_S = 2.0
"""How long the kernel's own scheduler is watched beforehand: 100 wake-ups."""
DETACH_S = 5.0
"""How long detaching may take; after that the scheduler is reported as still attached."""

HOLDER_PRIORITY, GUARD_PRIORITY = 1, 2
"""Real-time priorities, the lowest: the guard must not wait for a holder that loads a scheduler."""


def lift(tid: int = 0, priority: int = GUARD_PRIORITY) -> bool:
    """Make a thread (0: this one; a process: its main thread) real-time, so that no sched_ext scheduler can delay it.
    Not inherited by what it starts. False where that is not allowed; root may."""
    try:
        os.sched_setscheduler(tid, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(priority))
    except OSError:
        return False
    return True


class Probe(Protocol):
    """Measures wake-up latency. `due_s` is when its next wake-up is due; None before the first."""

    cpu_s: float

    @property
    def due_s(self) -> float | None: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...
    def take(self) -> list[Wake]: ...


class Pressure:
    """How long some task has waited for a CPU since boot, in s; None where the kernel does not count it."""

    def __init__(self, path: str = "/proc/pressure/cpu") -> None:
        self._fd = -1
        with contextlib.suppress(OSError):
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def read(self) -> float | None:
        try:
            line = os.pread(self._fd, 256, 0).partition(b"\n")[0]
            return int(line.rpartition(b"total=")[2]) / 1e6
        except (OSError, ValueError):
            return None

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


class KeptState:
    """The kernel's state, cheap to read repeatedly: three files that stay open show whether anything has changed since
    the last complete reading."""

    def __init__(self, sysfs: Path) -> None:
        self._sysfs = sysfs
        self._paths = tuple(str(sysfs / name) for name in ("state", "enable_seq", "root/ops"))
        self._fds: list[int] = []
        self._shown: list[bytes] | None = None
        self._state: KernelState | None = None

    def read(self) -> KernelState:
        """Read the state, as `read_state` does. When a file is gone or new, as when a scheduler comes or goes,
        everything is read again."""
        shown = self._look()
        if self._state is None or shown is None or shown != self._shown:
            self.close()
            self._open()
            before = self._look()
            self._state = read_state(self._sysfs)
            self._shown = before if before == self._look() else None
        return self._state

    def _open(self) -> None:
        with contextlib.suppress(OSError):
            for path in self._paths:
                self._fds.append(os.open(path, os.O_RDONLY | os.O_CLOEXEC))

    def _look(self) -> list[bytes] | None:
        """Return the contents; None where a file is missing: the kernel removes `ops` with its scheduler."""
        try:
            shown = [os.pread(fd, 256, 0) for fd in self._fds]
        except OSError:
            return None
        return shown if len(shown) == len(self._paths) else None

    def close(self) -> None:
        fds, self._fds = self._fds, []
        for fd in fds:
            os.close(fd)


@dataclass(frozen=True)
class Senses:
    """Inputs of the watch: the kernel's files, its clock, and the probe. Tests give others."""

    sysfs: Path = SYSFS
    pressure_path: str = "/proc/pressure/cpu"
    now: Callable[[], float] = time.monotonic
    probe: Callable[[bool, float], Probe] = WakeProbe
    last_resort: Callable[[str, Path], bool] = field(default_factory=lambda: eject)

    def state(self) -> KernelState:
        return read_state(self.sysfs)


def look(seconds: float = LOOK_S, *, partial: bool = False, senses: Senses | None = None) -> Look:
    """Measure the machine under the kernel's own scheduler, with the load that the scheduler will have."""
    senses = senses or Senses()
    probe, pressure = senses.probe(partial, PROBE_PERIOD_S), Pressure(senses.pressure_path)
    try:
        started_s, before_s = senses.now(), pressure.read()
        probe.start()
        time.sleep(seconds)
        wakes = [wake.late_s for wake in probe.take()]
        after_s, elapsed_s = pressure.read(), senses.now() - started_s
    finally:
        probe.stop()
        pressure.close()
    share = None if before_s is None or after_s is None else max(0.0, after_s - before_s) / max(elapsed_s, 1e-9)
    if not wakes:  # none in all that time: nothing can be judged here, and `run` reports that
        return Look(0, seconds, seconds, share)
    return Look(len(wakes), high_percentile(wakes), max(wakes), share)
