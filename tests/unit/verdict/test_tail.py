# SPDX-License-Identifier: MIT
"""Rare stalls: what runs show of them, and that they count into the mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotune.verdict.tail import Tail, unseen_share


def test_a_candidate_that_stalls_once_in_ten_has_no_better_mean() -> None:
    tail = Tail(compared=[(10.0, 9.5)] * 9 + [(10.0, 19.0)])
    assert (tail.stalls, tail.runs) == (1, 10)
    assert tail.slowest == pytest.approx(2.0)
    assert not tail.mean_is_better
    assert "1 of 10 runs took far longer" in tail.problem


def test_a_stall_in_a_run_alone_counts_too() -> None:
    tail = Tail(compared=[(10.0, 9.5)] * 9, alone=[19.0])
    assert not tail.mean_is_better


def test_one_stall_counts_for_two() -> None:
    """Once in 24 runs it costs 4 % of a gain of 5 %; but so few runs show one stall where there may well be two."""
    assert not Tail(compared=[(10.0, 9.5)] * 23, alone=[19.0]).mean_is_better


def test_a_stall_that_costs_less_than_the_gain_is_forgiven() -> None:
    assert Tail(compared=[(10.0, 8.0)] * 20, alone=[16.0]).mean_is_better


@given(st.floats(0.5, 0.99), st.lists(st.floats(0.8, 1.2), max_size=20))
def test_runs_alone_without_a_stall_say_nothing_of_the_mean(gain: float, alone: list[float]) -> None:
    """The machine may have become slower since: only what is far above the median is the candidate's own doing."""
    tail = Tail(compared=[(10.0, 10.0 * gain)] * 30, alone=[10.0 * gain * level for level in alone])
    assert tail.mean_is_better


def test_stalls_rarer_than_the_rule_of_three_shows_are_named_as_unseen() -> None:
    assert [unseen_share(runs) for runs in (24, 25, 6, 4, 3, 1)] == [
        "1 of 8",
        "1 of 8",
        "1 of 2",
        "3 of 4",
        "3 of 3",
        "1 of 1",
    ]
