# SPDX-License-Identifier: MIT
"""How runs are shared between race and confirmation: laws that hold for every number of runs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotune.records import Allotment
from autotune.verdict import budget
from autotune.verdict.confirm import LEAST_PAIRS

RUNS = st.integers(0, 5000)
ROUNDS = st.integers(2, 20)
PROPOSED = st.integers(1, 30)


def allot(runs: int, proposed: int = 6, most_rounds: int = 4) -> Allotment:
    return budget.allot(proposed=proposed, runs=runs, most_rounds=most_rounds, spent_s=100.0, run_s=25.0)


@given(RUNS)
def test_half_of_the_runs_are_for_the_confirmation_and_never_more_than_one_can_take(runs: int) -> None:
    kept = budget.reserve(runs)
    assert kept % 2 == 0
    assert 0 <= kept <= max(budget.LEAST_CONFIRM_RUNS, min(runs // 2, budget.MOST_RESERVED_RUNS))


@given(st.integers(6, 5000))
def test_where_six_runs_fit_a_candidate_runs_and_can_be_confirmed(runs: int) -> None:
    kept = budget.reserve(runs)
    assert runs - kept >= 2
    assert kept // 2 >= LEAST_PAIRS


@given(st.integers(2, 5000), PROPOSED)
def test_what_is_said_to_fit_does_fit(runs: int, proposed: int) -> None:
    shared = allot(runs, proposed)
    assert 1 <= shared.fitting <= proposed
    assert 1 <= shared.rounds <= shared.most_rounds
    assert shared.rounds * (shared.fitting + 1) + budget.reserve(runs) <= runs


@given(RUNS, ROUNDS)
def test_a_larger_budget_never_has_room_for_less(runs: int, rounds: int) -> None:
    for room in (budget.reserve, lambda count: budget.more_candidates(count, rounds, reserved=10)):
        assert room(runs) <= room(runs + 1)
    assert budget.candidates_that_run(runs) <= budget.candidates_that_run(runs + 2)


def test_the_budget_that_is_named_has_room_for_all_in_all_rounds() -> None:
    short = allot(20)
    assert (short.fitting, short.rounds, short.is_complete) == (6, 1, False)
    runs_then = int((short.wanted_s - 100.0) / 25.0)
    assert allot(runs_then).is_complete


@pytest.mark.parametrize(("runs", "fitting"), [(0, 0), (1, 0), (2, 1), (5, 1), (6, 1), (10, 5), (13, 6), (400, 6)])
def test_a_small_budget_tries_the_first_candidates(runs: int, fitting: int) -> None:
    assert allot(runs).fitting == fitting
