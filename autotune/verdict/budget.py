# SPDX-License-Identifier: MIT
"""Division of a budget's runs between the race and the confirmation. Pure; counts are runs.

What always holds here:
- the race comes first: only what the first look at the leader needs is kept back, and less where less fits;
- a candidate is never left untried while there is room for one run of it, one of EEVDF and a confirmation;
- the pairs of a confirmation are fixed before its first pair, by the budget alone: so its looks keep their risk.
"""

from __future__ import annotations

import math

from autotune.records import Allotment

FIRST_LOOK_RUNS = 10
"""Runs that the first look of a confirmation takes: five pairs."""

LEAST_CONFIRM_RUNS = 4
"""Two pairs: one has no interval."""

LEAST_RACE_RUNS = 2
"""One candidate beside EEVDF, once."""

TWO_LOOKS_FROM = 10
"""Pairs from which on a confirmation looks twice: with fewer, one look that may spend all of the risk finds more."""

MOST_PAIRS = 20
"""Pairs of a confirmation at most. Simulated: a gain of 2 % at 2 % noise is found twice as often as with ten."""

FULL_SET = 6
"""Candidates that a planner usually proposes first."""


def reserve(runs: int) -> int:
    """Runs kept back for the confirmation, of those that fit after the baseline: those of a first look, of fewer
    runs about half; none where a candidate could not run besides."""
    if runs < LEAST_RACE_RUNS + LEAST_CONFIRM_RUNS:
        return 0
    half = 2 * (runs // 4)
    return max(LEAST_CONFIRM_RUNS, min(FIRST_LOOK_RUNS, half))


def candidates_that_run(runs: int) -> int:
    """Candidates that get at least one round beside EEVDF. Where nothing can be confirmed a single one gets all
    rounds, since two make an interval."""
    if runs < LEAST_RACE_RUNS:
        return 0
    return max(1, runs - reserve(runs) - 1) if reserve(runs) else 1


def candidates_worth_proposing(runs: int, rounds: int) -> int:
    """Candidates that a planner should propose first: as many as get all rounds; at most a usual set of those that
    get fewer."""
    in_full = (runs - reserve(runs)) // rounds - 1
    return max(in_full, min(FULL_SET, candidates_that_run(runs)))


def more_candidates(runs: int, rounds: int) -> int:
    """Candidates of a further set that get all rounds, beside EEVDF and the leader."""
    return max(0, (runs - FIRST_LOOK_RUNS) // rounds - 2)


def looks(pairs: int) -> tuple[int, ...]:
    """After how many pairs a confirmation looks, where so many fit; empty where none can be made."""
    if pairs < LEAST_CONFIRM_RUNS // 2:
        return ()
    most = min(pairs, MOST_PAIRS)
    if most < TWO_LOOKS_FROM:
        return (most,)
    half = math.ceil(most / 2)
    early = (half // 2,) if most == MOST_PAIRS else ()  # what is clear needs no more runs than it did with ten pairs
    return (*early, half, most)


def allot(*, proposed: int, runs: int, most_rounds: int, spent_s: float, run_s: float) -> Allotment:
    """Share out `runs`, those that fit after the baseline, which took `spent_s` together with all before it."""
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
    """A time as people would write it in `--budget`: whole minutes, below five of them steps of ten seconds."""
    step_s = 10.0 if seconds < 300.0 else 60.0
    return step_s * math.ceil(seconds / step_s)
