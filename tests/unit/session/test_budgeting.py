# SPDX-License-Identifier: MIT
"""What fits into a session's budget, and that the budget which is advised has room for what was missing."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotune.deadline import Deadline
from autotune.errors import UsageError
from autotune.quantities import parse_duration
from autotune.records import BASELINE, Candidate
from autotune.session.baselines import Baselines
from autotune.session.budgeting import Budgeting
from autotune.session.options import SessionOptions
from autotune.session.spending import BudgetClock, OutOfBudget
from autotune.verdict.statistic import Statistic

RUN_S = st.floats(0.1, 300.0)
BUDGET_S = st.floats(30.0, 36000.0)


class Time:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def budgeting(run_s: float, budget_s: float, *, runs: int = 1, statistic: str = "typical", **more: object) -> Budgeting:
    """The budget of a session after so many runs of its baseline."""
    time = Time()
    clock = BudgetClock(Deadline(budget_s, time), time)

    def run() -> None:
        time.now_s += run_s

    for _ in range(runs):
        clock.timed(run)
    options = SessionOptions(budget_s=budget_s, **more)  # type: ignore[arg-type]
    baselines = Baselines({BASELINE: ()}, "min", random.Random(1), rounds=3)
    return Budgeting(clock, options, baselines, Statistic.named(statistic))


def named_s(text: str) -> float:
    return parse_duration(re.findall(r"--budget (\w+)", text)[0])


@given(RUN_S, BUDGET_S)
def test_the_budget_that_a_warning_names_is_not_warned_of(run_s: float, budget_s: float) -> None:
    said = budgeting(run_s, budget_s).small_budget_text()

    if said is not None:
        assert budgeting(run_s, named_s(said)).small_budget_text() is None


@given(RUN_S, BUDGET_S, st.integers(1, 12))
def test_the_confirmation_keeps_its_share_while_runs_take_what_they_took(
    run_s: float, budget_s: float, proposed: int
) -> None:
    shared = budgeting(run_s, budget_s, runs=4)

    allotted = shared.first_set(proposed)

    left = shared.clock.runs_left()
    assert 0 <= shared.reserved() <= max(shared.most_reserved, left)
    if allotted.fitting:
        assert allotted.rounds * (allotted.fitting + 1) + shared.reserved() <= left


@given(RUN_S, BUDGET_S)
def test_there_is_room_for_the_pairs_that_are_promised(run_s: float, budget_s: float) -> None:
    shared = budgeting(run_s, budget_s, runs=4)

    assert shared.pairs_to_confirm() <= shared.pairs_left()


def test_a_user_who_asks_for_pairs_gets_no_more() -> None:
    assert budgeting(1.0, 3600.0, most_pairs=5).pairs_left() == 5
    assert budgeting(1.0, 3600.0, most_pairs=5).most_reserved == 10


@pytest.mark.parametrize("during", ["", "the prepare command"])
@pytest.mark.parametrize("runs", [0, 1])
def test_a_workload_that_is_too_slow_is_told_what_would_be_enough(during: str, runs: int) -> None:
    error = budgeting(40.0, 60.0, runs=runs).too_slow(OutOfBudget(during))

    assert error.message.startswith(during or "the baseline was not measured")
    assert error.hint is not None
    assert "--budget" in error.hint
    if runs:
        assert named_s(error.hint) > 60.0


def test_a_statistic_that_needs_more_pairs_names_a_budget_that_has_them() -> None:
    def refused(budget_s: float) -> Callable[[], None]:
        shared = budgeting(10.0, budget_s, runs=4, statistic="p99")
        return lambda: shared.refuse_too_few_for_statistic(shared.pairs_to_confirm())

    with pytest.raises(UsageError, match="--statistic p99 needs") as error:
        refused(120.0)()
    assert error.value.hint is not None
    refused(named_s(error.value.hint))()


def test_candidates_of_the_user_set_what_a_verdict_takes() -> None:
    one, six = ((*map(Candidate, "abcdef"[:count]),) for count in (1, 6))

    assert budgeting(10.0, 60.0, user_candidates=one).wanted_s() < budgeting(10.0, 60.0, user_candidates=six).wanted_s()
