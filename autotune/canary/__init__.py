# SPDX-License-Identifier: MIT
"""A generated scheduler's first time on a host: for a bounded time, watched, and let go at once past a bound.

What always holds here:
- the guard is watching before the scheduler can be in charge: it arms itself when the kernel says that it is;
- the guard and who lets go are real-time threads where that is allowed, which no sched_ext scheduler can delay; the
  probe is an ordinary thread (SCHED_EXT in partial mode), since it is to be delayed like everybody else;
- a wake-up that has not come yet counts as late as it is by now: a probe that never wakes again is noticed;
- past a bound, and when the watch itself fails, the scheduler is let go; where that takes long, as root, by the kernel
  itself (SysRq-S), which needs no other process to be given the CPU;
- whatever is raised, what was attached is let go.

docs/verification-canary.md tells the bounds with their reasons, and what this cannot see. Standard library only, since
it runs beside what runs as root.
"""

from __future__ import annotations

from autotune.canary.bounds import RUN_BOUNDS, Bounds, Breach, Judge, LateWindow, Look, Wake, high_percentile
from autotune.canary.senses import (
    GIVE_UP_S,
    GUARD_PRIORITY,
    HOLDER_PRIORITY,
    LOOK_S,
    PROBE_PERIOD_S,
    Pressure,
    Probe,
    Senses,
    WakeProbe,
    lift,
    look,
)
from autotune.canary.stages import WATCH_S, CanaryOutcome, Load, Plan, is_fault, run
from autotune.canary.watch import LAST_RESORT_AFTER_S, Breaker, Reaction, Watch, Watched

__all__ = [
    "GIVE_UP_S",
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
    "Judge",
    "LateWindow",
    "Load",
    "Look",
    "Plan",
    "Pressure",
    "Probe",
    "Reaction",
    "Senses",
    "Wake",
    "WakeProbe",
    "Watch",
    "Watched",
    "high_percentile",
    "is_fault",
    "lift",
    "look",
    "run",
]
