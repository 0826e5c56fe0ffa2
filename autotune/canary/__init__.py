# SPDX-License-Identifier: MIT
"""The canary: a generated scheduler's first, short time on a host, watched, and detached at once past a bound.

What always holds here:
- the guard watches before the scheduler can be in charge: it arms itself once the kernel reports the scheduler;
- the guard and the thread that detaches are real-time threads where that is allowed, so no sched_ext scheduler can
  delay them; the probe is an ordinary thread (SCHED_EXT in partial mode), since it must feel the delays of others;
- a wake-up that is still missing counts as late as it is by now, so a probe that never wakes again is noticed;
- past a bound, and when the watch itself fails, the scheduler is detached; where that takes too long, root makes the
  kernel eject it (SysRq-S), which needs no other process to get the CPU;
- whatever is raised, what was attached is detached.

docs/verification-canary.md explains the bounds and what this cannot see. Standard library only, since it runs beside
what runs as root.
"""

from __future__ import annotations

from autotune.canary.bounds import RUN_BOUNDS, Bounds, Breach, Judge, LateWindow, Look, high_percentile
from autotune.canary.senses import (
    DETACH_S,
    GUARD_PRIORITY,
    HOLDER_PRIORITY,
    LOOK_S,
    Pressure,
    Probe,
    Senses,
    lift,
    look,
)
from autotune.canary.stages import WATCH_S, CanaryOutcome, CanaryPlan, Hogs, is_fault, run
from autotune.canary.watch import LAST_RESORT_AFTER_S, Breaker, Reaction, Watch, WatchResult
from autotune.measure.wakeups import PROBE_PERIOD_S, Wake, WakeProbe

__all__ = [
    "DETACH_S",
    "GUARD_PRIORITY",
    "HOLDER_PRIORITY",
    "LAST_RESORT_AFTER_S",
    "LOOK_S",
    "PROBE_PERIOD_S",
    "RUN_BOUNDS",
    "WATCH_S",
    "Bounds",
    "Breach",
    "Breaker",
    "CanaryOutcome",
    "CanaryPlan",
    "Hogs",
    "Judge",
    "LateWindow",
    "Look",
    "Pressure",
    "Probe",
    "Reaction",
    "Senses",
    "Wake",
    "WakeProbe",
    "Watch",
    "WatchResult",
    "high_percentile",
    "is_fault",
    "lift",
    "look",
    "run",
]
