# SPDX-License-Identifier: MIT
"""Whether a session may end before any candidate was tried, since no scheduler can win anything. Pure.

The bound alone does not allow that: it takes the work as it was, and a scheduler that switches and moves tasks less may
need less of it. With two tasks or more at a time that happens (a long time slice, a warm cache), and with many tasks it
is what most gains are made of. So both must hold:

- the bound leaves next to nothing;
- there was one task at a time, which hardly ever waited for its CPU. Then no scheduler had anything to decide but where
  that task runs, which matters only where CPUs differ.
"""

from __future__ import annotations

from autotune.records import Baseline, MachineInfo, Profile
from autotune.report import bound
from autotune.verdict.stats import percent_text

LEAST_GAIN = 0.02
"""A smaller gain is within what a watched run, or a probe, adds by itself."""
MOST_NOISE = 0.05
"""Noise of a few runs is known badly: no more of it counts."""
LEAST_SERIAL = 0.95
"""Share of the run in which the tasks wanted one CPU at most."""
MOST_WAITING = 0.02
"""Time waited for a CPU, as a share of the run."""


def nothing_to_win(seen: Profile, baseline: Baseline, machine: MachineInfo, min_effect: float) -> str | None:
    """Return the finding that nothing can be won in wall time, in sentences; None where something may be."""
    if seen.unseen_tasks or not seen.tasks or "core_types" in (machine.traits or ()):
        return None
    least = max(LEAST_GAIN, min_effect, min(MOST_NOISE, baseline.noise))
    is_alone = seen.serial_s >= LEAST_SERIAL * seen.wall_s and seen.wait_s <= MOST_WAITING * seen.wall_s
    if seen.possible > least or not is_alone:
        return None
    return (
        "Keep EEVDF: no scheduler can make this command faster here. It runs one task at a time, which hardly waits "
        f"for a CPU, and at most {percent_text(seen.possible)} less time is possible ({bound.bases(seen)})."
    )
