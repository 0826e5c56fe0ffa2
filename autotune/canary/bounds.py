# SPDX-License-Identifier: MIT
"""Compares what a watch sees with bounds. Pure. docs/verification-canary.md explains each bound."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Literal

from autotune.frozen import dataclass
from autotune.measure.wakeups import Wake
from autotune.records import KernelState
from autotune.schedext.kernel import ops_matches

_LEAST_WAKES = 3

BoundName = Literal["wake-up latency", "wake-up latency p99", "CPU pressure", "sched_ext state", "watch"]
Mode = Literal["partial", "whole"]
GuardKind = Literal["real-time", "ordinary"]


@dataclass(frozen=True)
class Bounds:
    """A scheduler past any of these is detached. Those with a factor are relative to the look before, so that a slow or
    emulated machine is compared with itself."""

    late_s: float = 0.25
    """A single wake-up this late is noticed by whoever uses the machine, and may miss a watchdog or a heartbeat."""
    late_factor: float = 20.0
    """A late wake-up must also exceed the earlier p99 by this factor: on a busy machine the worst of 500 is several
    times the p99."""
    late_worst_factor: float = 2.0
    """It must also exceed the worst wake-up of the look before by this factor: what the kernel's own scheduler did too
    is no fault."""
    p99_s: float = 0.05
    """Wake-ups late by this again and again, within one second, make a machine feel stuck. A queue of two behind time
    slices of 20 ms, the longest of our own schedulers, stays below."""
    p99_factor: float = 10.0
    window_s: float = 1.0
    pressure_rise: float | None = 0.5
    """How much the share of time (0 to 1) in which some task waits for a CPU may grow over that of the look before.
    None: not judged, as in measured runs, whose workload causes pressure. Not judged either where that share was above
    half before."""
    pressure_for_s: float = 3.0
    """How long that pressure must last without a pause: a build or an update that starts makes a peak, an idle CPU
    lasts."""
    probe_period_s: float = 0.02
    """How long the probe sleeps; nearly all of its cost is waking up."""
    guard_period_s: float = 0.1
    """How soon a missing wake-up is noticed: a tenth of the second within which the scheduler must be detached."""
    busy_p99_s: float = 0.1
    """Where the kernel's own scheduler is this late already, nothing can be judged, and no canary begins."""


RUN_BOUNDS = Bounds(late_s=1.0, p99_s=0.5, pressure_rise=None, probe_period_s=0.05, guard_period_s=0.2)
"""Bounds for measured runs, whose workload fills the queues. Eight tasks a CPU with time slices of 20 ms keep each one
waiting for 160 ms, and that is no fault; but a machine whose wake-ups take half a second again and again is stuck. For
that the probe and the guard may sleep longer than in a canary, and so cost less beside what is measured."""


@dataclass(frozen=True)
class Look:
    """The machine before the scheduler: bounds are relative to it. `pressure_share` is None where the kernel does not
    count it."""

    wakes: int = 0
    p99_s: float = 0.0
    worst_s: float = 0.0
    pressure_share: float | None = None


@dataclass(frozen=True)
class Breach:
    """A bound that was exceeded at `since_s`, as the guard noticed at `noticed_s`."""

    bound: BoundName
    value: float | str
    limit: float | str
    since_s: float
    noticed_s: float
    stood_still: bool = False
    """The guard, which no scheduler delays, was late as well: the machine paused, and the scheduler is not to blame."""

    def text(self) -> str:
        """Describe it: `wake-up latency: 412 ms, limit 250 ms`."""
        unit = "%" if self.bound == "CPU pressure" else "ms"
        return f"{self.bound}: {shown(self.value, unit)}, limit {shown(self.limit, unit)}"


def shown(value: float | str, unit: str) -> str:
    if isinstance(value, str):
        return value
    return f"{value * (100 if unit == '%' else 1000):.0f} {unit}"


def high_percentile(values: Sequence[float], share: float = 0.99) -> float:
    """Return the percentile by nearest rank. The largest value is set aside where there are others: of fewer than 100
    it would be the p99, and a single late wake-up has a bound of its own. Raises ValueError without values."""
    if not values:
        raise ValueError("no values")
    rank = max(1, min(math.ceil(share * len(values)), len(values) - 1))
    return sorted(values)[rank - 1]


class LateWindow:
    """The wake-ups of the last `window_s`."""

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._wakes: deque[Wake] = deque()

    def add(self, wake: Wake) -> None:
        self._wakes.append(wake)
        while self._wakes[0].at_s <= wake.at_s - self._window_s:
            self._wakes.popleft()

    def p99_s(self) -> float | None:
        """Return the p99; None while there are too few wake-ups."""
        return None if len(self._wakes) < _LEAST_WAKES else high_percentile([wake.late_s for wake in self._wakes])


class Judge:
    """Compares readings with the bounds. Each method returns a breach or None, and keeps the worst for the report.
    `ops` is None under the kernel's own scheduler, which no bound applies to."""

    def __init__(self, bounds: Bounds, before: Look, ops: str | None) -> None:
        self._bounds = bounds
        self._ops = ops
        self._window = LateWindow(bounds.window_s)
        self._totals: deque[tuple[float, float]] = deque()
        self._pressed_since_s: float | None = None
        self.seq_before = -1
        self.enable_seq: int | None = None
        self.late_limit_s = max(
            bounds.late_s, bounds.late_factor * before.p99_s, bounds.late_worst_factor * before.worst_s
        )
        self.p99_limit_s = max(bounds.p99_s, bounds.p99_factor * before.p99_s)
        rise, share = bounds.pressure_rise, before.pressure_share
        self.pressure_limit = None if rise is None or share is None else share + rise
        self.count = 0
        self.worst_s = 0.0
        self.worst_p99_s = 0.0
        self.worst_pressure: float | None = None

    def wakes(self, now_s: float, wakes: Iterable[Wake]) -> Breach | None:
        found: Breach | None = None
        for wake in wakes:
            self.count += 1
            self.worst_s = max(self.worst_s, wake.late_s)
            self._window.add(wake)
            if wake.late_s > self.late_limit_s:
                found = found or self._late(now_s, wake.at_s - wake.late_s, wake.late_s)
        p99_s = self._window.p99_s() or 0.0
        self.worst_p99_s = max(self.worst_p99_s, p99_s)
        if found is None and self._ops is not None and p99_s > self.p99_limit_s:
            return Breach("wake-up latency p99", p99_s, self.p99_limit_s, now_s, now_s)
        return found

    def overdue(self, now_s: float, due_s: float) -> Breach | None:
        """Judge a wake-up that was due at `due_s` and has not come."""
        late_s = now_s - due_s
        self.worst_s = max(self.worst_s, late_s)
        return self._late(now_s, due_s, late_s) if late_s > self.late_limit_s else None

    def _late(self, now_s: float, due_s: float, late_s: float) -> Breach | None:
        limit_s = self.late_limit_s
        return None if self._ops is None else Breach("wake-up latency", late_s, limit_s, due_s + limit_s, now_s)

    def pressure(self, now_s: float, total_s: float | None) -> Breach | None:
        """Judge the pressure. `total_s` is how long some task has waited for a CPU; None where it is not counted."""
        if total_s is None:
            return None
        self._totals.append((now_s, total_s))
        while len(self._totals) > 2 and self._totals[1][0] <= now_s - self._bounds.window_s:
            self._totals.popleft()
        first_s, first_total_s = self._totals[0]
        if now_s - first_s < self._bounds.window_s / 2:
            return None
        share = max(0.0, total_s - first_total_s) / (now_s - first_s)
        self.worst_pressure = max(self.worst_pressure or 0.0, share)
        if self.pressure_limit is None or self._ops is None or share <= self.pressure_limit:
            self._pressed_since_s = None
            return None
        if self._pressed_since_s is None:
            self._pressed_since_s = now_s
        since_s = self._pressed_since_s + self._bounds.pressure_for_s
        return None if now_s < since_s else Breach("CPU pressure", share, self.pressure_limit, since_s, now_s)

    def state(self, now_s: float, seen: KernelState) -> Breach | None:
        """Judge whether the expected scheduler is in charge, and has been since it was first seen to be."""
        if self._ops is None or self.in_charge(seen):
            return None
        shown = f"{seen.state} ({seen.ops})" if seen.ops else seen.state
        if seen.state == "enabled" and ops_matches(self._ops, seen.ops):
            shown += ", attached again"
        return Breach("sched_ext state", shown, f"enabled ({self._ops})", now_s, now_s)

    def in_charge(self, seen: KernelState) -> bool:
        if seen.state != "enabled" or self._ops is None or not ops_matches(self._ops, seen.ops):
            return False
        # The kernel shows `enabled` a moment before it counts: an unchanged number is not yet that of ours.
        return seen.enable_seq > self.seq_before if self.enable_seq is None else seen.enable_seq == self.enable_seq
