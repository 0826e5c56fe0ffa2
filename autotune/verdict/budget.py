# SPDX-License-Identifier: MIT
"""Division of a budget between the race and the confirmation, counted in runs. Pure.

What always holds here:
- all sets of the race together get half of the runs, the confirmation the rest: in simulation, a longer race chooses no
  better than the confirmation judges worse;
- no candidate is left untried while there is room for one run of it, one of EEVDF and a confirmation;
- the pairs of a confirmation are fixed before the first of them, by the budget alone; they must not depend on its data.
"""

from __future__ import annotations

import math

from autotune.records import Allotment, Phase
from autotune.verdict.confirm import LEAST_PAIRS, MOST_PAIRS

CONFIRM_SHARE = 0.5
"""Share of the runs after the baseline that is reserved for the confirmation."""

MOST_RESERVED_RUNS = 2 * MOST_PAIRS
"""More runs than one confirmation takes are not reserved."""

LEAST_CONFIRM_RUNS = 2 * LEAST_PAIRS

LEAST_RACE_RUNS = 2
"""One run of a candidate and one of EEVDF."""

VERDICT_RUNS = LEAST_RACE_RUNS + LEAST_CONFIRM_RUNS
"""Fewest runs after the baseline that make a verdict on one candidate."""

FULL_SET = 6
"""Candidates that a planner usually proposes first."""


def reserve(runs: int, most: int = MOST_RESERVED_RUNS) -> int:
    """Return the runs to reserve for the confirmation, of those that fit after the baseline: an even number, at most
    `most`. 0 when no candidate could run besides."""
    if runs < VERDICT_RUNS:
        return 0
    half = 2 * int(runs * CONFIRM_SHARE / 2)
    return max(LEAST_CONFIRM_RUNS, min(most, half))


def candidates_that_run(runs: int, most: int = MOST_RESERVED_RUNS) -> int:
    """Return how many candidates get at least one round. Without room for a confirmation, one candidate gets all
    rounds: two rounds make an interval."""
    if runs < LEAST_RACE_RUNS:
        return 0
    reserved = reserve(runs, most)
    return max(1, runs - reserved - 1) if reserved else 1


def candidates_worth_proposing(runs: int, rounds: int, most: int = MOST_RESERVED_RUNS) -> int:
    """Return how many candidates a planner should propose first: as many as get all rounds, or a usual set with fewer
    rounds if that is more."""
    in_full = (runs - reserve(runs, most)) // rounds - 1
    return max(in_full, min(FULL_SET, candidates_that_run(runs, most)))


def more_candidates(runs: int, rounds: int, reserved: int) -> int:
    """Return how many candidates of a further set get all rounds, beside EEVDF and the leader, when `reserved` runs are
    for the confirmation."""
    return max(0, (runs - reserved) // rounds - 2)


def allot(
    *,
    proposed: int,
    runs: int,
    most_rounds: int,
    spent_s: float,
    run_s: float,
    most: int = MOST_RESERVED_RUNS,
    likely: int | None = None,
) -> Allotment:
    """Divide the `runs` that fit after the baseline, at most `most` of them for the confirmation. `spent_s` is the time
    of the session so far. Of the proposed, those after the first `likely` ones (None: all are likely) run only where
    all get all rounds: at a value with which EEVDF is slow, few schedulers win."""
    fitting = min(proposed, candidates_that_run(runs, most))
    if likely is not None:
        fitting = min(fitting, max(likely, (runs - reserve(runs, most)) // most_rounds - 1))
    rounds = (runs - reserve(runs, most)) // (fitting + 1) if fitting else 0
    race_runs = most_rounds * (proposed + 1)
    wanted_runs = race_runs + min(most, math.ceil(race_runs * CONFIRM_SHARE / (1.0 - CONFIRM_SHARE)))
    return Allotment(
        proposed=proposed,
        fitting=fitting,
        rounds=min(rounds, most_rounds),
        most_rounds=most_rounds,
        run_s=run_s,
        wanted_s=rounded_up(spent_s + wanted_runs * run_s),
    )


def runs_to_come(
    phase: Phase,
    rounds: int,
    each: int,
    *,
    sets: int = 0,
    most_rounds: int = 0,
    most: int = MOST_RESERVED_RUNS,
    next_best: int = 0,
) -> int:
    """Return how many runs a session has at most, from a round on: `rounds` of `each` runs are left of its phase.
    `sets` as large as this one may follow it in the race, and then a confirmation of `most` runs. In it one leader
    runs all its pairs; the `next_best` may follow others that were given up after a quarter of theirs, as most are."""
    runs = rounds * each
    looks = next_best * math.ceil(most / 4)
    if phase == "race":
        return runs + sets * most_rounds * each + most + looks
    return runs + looks if phase == "confirm" else runs


def rounded_up(seconds: float) -> float:
    """Round up to what people write in `--budget`: whole minutes, or steps of ten seconds below five minutes."""
    step_s = 10.0 if seconds < 300.0 else 60.0
    return step_s * math.ceil(seconds / step_s)
