# SPDX-License-Identifier: MIT
"""Decides which runs were disturbed from outside. Pure.

A disturbed run is marked and counts all the same. Leaving it out would select data by something that depends on the
result: a slow run lasts longer, so more may happen to it, and a scheduler whose slow runs are left out looks faster.
The rounds are interleaved, so what disturbs them falls on EEVDF and the candidates alike and widens the intervals.

What others use of the CPUs in every run alike is not marked unless they did so before the session too: it may be the
workload's own (a container engine, a compile server), and it disturbs all runs evenly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from autotune.records import Surroundings

MOST_OTHERS = 0.05
"""Share of the CPUs that others may use beyond the usual."""
MOST_STOLEN = 0.05
"""Share of CPU time that the hypervisor may give to others."""
LEAST_S = 0.1
"""Less CPU time of others cannot be told from the errors of counters that count in steps of 10 ms."""
USUAL_SHARE = 0.25
"""The usual is what a quarter of the runs do not exceed: most of a session may be disturbed."""
_SAME_CAP = 0.01


def marks(runs: Sequence[Surroundings | None], others_before: float = 0.0) -> list[str]:
    """Return for each run what disturbed it, in words; empty for nothing. `others_before` is how many CPUs others used
    before the session."""
    usual = _usual([one for one in runs if one is not None], others_before)
    caps = [one.frequency_cap for one in runs if one is not None and one.frequency_cap is not None]
    highest = max(caps, default=None)
    return ["" if one is None else "; ".join(_reasons(one, usual, highest)) for one in runs]


def _usual(runs: Sequence[Surroundings], others_before: float) -> float:
    """Return how many CPUs others use in any run, beyond those that they used before the session."""
    levels = sorted(one.others_s / one.elapsed_s for one in runs if one.others_s is not None and one.elapsed_s > 0)
    if not levels:
        return 0.0
    return max(0.0, levels[math.ceil(USUAL_SHARE * len(levels)) - 1] - others_before)


def _reasons(run: Surroundings, usual: float, highest_cap: float | None) -> list[str]:
    found = []
    room_s = run.elapsed_s * run.cpus
    if run.others_s is not None and run.others_s - usual * run.elapsed_s > max(LEAST_S, MOST_OTHERS * room_s):
        found.append(f"others used {run.others_s / run.elapsed_s:.1f} of {run.cpus} CPUs")
    if run.stolen_s is not None and run.stolen_s > max(LEAST_S, MOST_STOLEN * room_s):
        found.append(f"{run.stolen_s / room_s:.0%} of CPU time went to other virtual machines")
    if run.throttled:
        found.append("CPUs were too hot and slowed down")
    if run.frequency_cap is not None and highest_cap is not None and run.frequency_cap < highest_cap - _SAME_CAP:
        found.append(f"CPUs were capped at {run.frequency_cap:.0%} of their frequency")
    return found
