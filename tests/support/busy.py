# SPDX-License-Identifier: MIT
"""How busy the machine is with what is not this test run: what a failure is to be read with."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

SPARE = 0.25
"""Of the CPUs, used by others: from here on there is less than a test run may expect of a machine."""
LEAST_S = 0.2
"""Of shorter spans, the kernel's counters (in 10 ms) say too little: the load average is asked instead."""

RECENT_S = 1.0


@dataclass(frozen=True)
class Reading:
    """Counters now, in s."""

    at_s: float
    busy_s: float
    own_s: float
    pressure_s: float | None


@dataclass(frozen=True)
class Load:
    """What a span of time was like."""

    load_average: float
    cpus: int
    others_cpus: float | None
    """How many CPUs others used; None for a span too short to say."""
    pressure: float | None
    """The share of the time that some task, ours too, waited for a CPU."""

    @property
    def is_foreign(self) -> bool:
        """Others took what the tests needed: they used much, and the CPUs were all asked for."""
        if self.others_cpus is None:
            return self.load_average > self.cpus
        return self.others_cpus > SPARE * self.cpus

    def text(self) -> str:
        said = f"load average {self.load_average:.1f} on {self.cpus} CPU{'' if self.cpus == 1 else 's'}"
        if self.others_cpus is not None:
            said += f", {self.others_cpus:.1f} of them used by others than this test run"
        if self.pressure is not None:
            said += f", CPU pressure {100 * self.pressure:.0f} %"
        return said


_last: Reading | None = None


def recent() -> Reading:
    """A reading of at most a second ago, since each looks at all processes: before a test, which may be short, it is
    as good as one of now."""
    global _last
    if _last is None or time.monotonic() - _last.at_s > RECENT_S:
        _last = read()
    return _last


def read() -> Reading:
    times = psutil.cpu_times()
    idle_s = times.idle + getattr(times, "iowait", 0.0)
    guests_s = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)  # counted in user and nice too
    return Reading(time.monotonic(), sum(times) - guests_s - idle_s, _own_s(), _pressure_s())


def between(before: Reading, after: Reading) -> Load:
    span_s = after.at_s - before.at_s
    cpus = len(os.sched_getaffinity(0))
    average = os.getloadavg()[0]
    if span_s < LEAST_S:
        return Load(average, cpus, None, None)
    others_s = (after.busy_s - before.busy_s) - (after.own_s - before.own_s)
    pressure = None
    if before.pressure_s is not None and after.pressure_s is not None:
        pressure = min(1.0, max(0.0, after.pressure_s - before.pressure_s) / span_s)
    return Load(average, cpus, max(0.0, others_s / span_s), pressure)


def _own_s() -> float:
    """CPU time of this test run: of its first process, of its descendants that live, and of the children of each that
    ended."""
    process = psutil.Process()
    first = process.parent() or process if "PYTEST_XDIST_WORKER" in os.environ else process
    total = 0.0
    for one in (first, *first.children(recursive=True)):
        try:
            times = one.cpu_times()
        except psutil.Error:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def _pressure_s() -> float | None:
    try:
        line = Path("/proc/pressure/cpu").read_text().partition("\n")[0]
        return int(line.rpartition("total=")[2]) / 1e6
    except (OSError, ValueError):
        return None
