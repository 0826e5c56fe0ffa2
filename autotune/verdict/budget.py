# SPDX-License-Identifier: MIT
"""Division of a budget between the race and the confirmation, counted in runs. Pure.

What always holds here:
- the race comes first: only the runs of the first look at the leader are reserved, fewer where fewer fit;
- no candidate is left untried while there is room for one run of it, one of EEVDF and a confirmation;
- the looks of a confirmation are fixed before its first pair, by the budget alone; they must not depend on its data.
"""

from __future__ import annotations

import math

from autotune.records import Allotment

FIRST_LOOK_RUNS = 10
"""Runs that the first look of a confirmation takes: five pairs."""

LEAST_CONFIRM_RUNS = 4
"""Two pairs: a single pair has no interval."""

LEAST_RACE_RUNS = 2
"""One run of a candidate and one of EEVDF."""

TWO_LOOKS_FROM = 10
"""Pairs from which a confirmation looks twice. With fewer, a single look that spends all of alpha finds more."""

MOST_PAIRS = 20
"""Most pairs of a confirmation. In simulation, a gain of 2 % at 2 % noise is found twice as often as with ten."""

FULL_SET = 6
"""Candidates that a planner usually proposes first."""


def reserve(runs: int) -> int:
    """Return the runs to reserve for the confirmation, of those that fit after the baseline: a first look's, or about
    half of the runs if that is less. 0 when no candidate could run besides."""
    if runs < LEAST_RACE_RUNS + LEAST_CONFIRM_RUNS:
        return 0
    half = 2 * (runs // 4)
    return max(LEAST_CONFIRM_RUNS, min(FIRST_LOOK_RUNS, half))


def candidates_that_run(runs: int) -> int:
    """Return how many candidates get at least one round. Without room for a confirmation, one candidate gets all
    rounds: two rounds make an interval."""
    if runs < LEAST_RACE_RUNS:
        return 0
    return max(1, runs - reserve(runs) - 1) if reserve(runs) else 1


def candidates_worth_proposing(runs: int, rounds: int) -> int:
    """Return how many candidates a planner should propose first: as many as get all rounds, or a usual set with fewer
    rounds if that is more."""
    in_full = (runs - reserve(runs)) // rounds - 1
    return max(in_full, min(FULL_SET, candidates_that_run(runs)))


def more_candidates(runs: int, rounds: int) -> int:
    """Return how many candidates of a further set get all rounds, beside EEVDF and the leader."""
    return max(0, (runs - FIRST_LOOK_RUNS) // rounds - 2)


def looks(pairs: int) -> tuple[int, ...]:
    """Return after how many pairs a confirmation looks, when `pairs` fit; empty when there is no room for one."""
    if pairs < LEAST_CONFIRM_RUNS // 2:
        return ()
    most = min(pairs, MOST_PAIRS)
    if most < TWO_LOOKS_FROM:
        return (most,)
    half = math.ceil(most / 2)
    early = (half // 2,) if most == MOST_PAIRS else ()  # so that a clear case takes no more runs than with ten pairs
    return (*early, half, most)


def allot(*, proposed: int, runs: int, most_rounds: int, spent_s: float, run_s: float) -> Allotment:
    """Divide the `runs` that fit after the baseline. `spent_s` is the time of the session so far."""
    fitting = min(proposed, candidates_that_run(runs))
    rounds = (runs - reserve(runs)) // (fitting + 1) if fitting else 0
    wanted_runs = most_rounds * (proposed + 1) + FIRST_LOOK_RUNS
    return Allotment(
        proposed=proposed,
        fitting=fitting,
        rounds=min(rounds, most_rounds),
        most_rounds=most_rounds,
        run_s=run_s,
        wanted_s=_rounded_up(spent_s + wanted_runs * run_s),
    )


def _rounded_up(seconds: float) -> float:
    """Round up to what people write in `--budget`: whole minutes, or steps of ten seconds below five minutes."""
    step_s = 10.0 if seconds < 300.0 else 60.0
    return step_s * math.ceil(seconds / step_s)
