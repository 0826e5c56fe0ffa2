# SPDX-License-Identifier: MIT
"""Which candidates are behind the best by more than noise explains."""

from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from autotune.records import BASELINE
from autotune.verdict.outpaced import LEAST_IN_A_ROUND, outpaced, outpaced_at_once
from autotune.verdict.stats import student_t_quantile


def test_columns_behind_the_best_by_more_than_noise() -> None:
    columns = {"x": [1.0, 1.1, 0.9], "y": [0.99, 1.12, 0.9], "z": [0.5, 0.62, 0.41]}
    best, behind = outpaced(columns, 0.01)
    assert best == "y"
    assert behind == {"z": pytest.approx(0.4933, abs=1e-3)}


def test_drift_from_round_to_round_hides_no_difference() -> None:
    best, behind = outpaced({"x": [1.0, 5.0, 9.01], "y": [0.9, 4.9, 8.9]}, 0.01)
    assert best == "x"
    assert behind.keys() == {"y"}


@given(st.lists(st.floats(-0.2, 0.5), min_size=3, max_size=8, unique=True), st.floats(0.001, 0.2))
def test_between_two_columns_it_is_the_paired_t_test(gaps: list[float], alpha: float) -> None:
    gain = statistics.fmean(gaps)
    least = student_t_quantile(1 - alpha, len(gaps) - 1) * statistics.stdev(gaps) / math.sqrt(len(gaps))
    assume(abs(abs(gain) - least) > 1e-6)
    _, behind = outpaced({"x": gaps, BASELINE: [0.0] * len(gaps)}, alpha)
    assert bool(behind) == (abs(gain) > least)


def test_more_columns_show_a_difference_in_fewer_rounds() -> None:
    """The gap of x is beyond the noise of seven columns together, not beyond what two alone tell of theirs."""
    two = {"x": [0.05, 0.04, 0.10], BASELINE: [0.0, 0.0, 0.0]}
    others = {key: [(place * 7 % 5 - 2) / 100, (place * 3 % 5 - 2) / 100, 0.0] for place, key in enumerate("abcde")}
    assert outpaced(two, 0.01)[1] == {}
    assert outpaced(two | others, 0.01)[1].keys() >= {BASELINE}


def test_noise_keeps_candidates_in() -> None:
    _, behind = outpaced({"x": [1.0, 1.4, 0.8], "y": [1.2, 0.7, 1.0]}, 0.01)
    assert behind == {}


def test_in_a_single_round_only_what_is_far_behind_all_noise_is_behind() -> None:
    row = {"a": 0.02, "b": -0.01, "c": 0.0, "d": 0.01, "e": -0.02, "x": 0.12}
    best, behind = outpaced_at_once(row, 0.05)
    assert best == "x"
    assert behind == pytest.approx({key: 0.12 - row[key] for key in "abcde"})
    assert outpaced_at_once(row | {"x": 0.025}, 0.05)[1] == {}


def test_what_is_known_of_noise_keeps_candidates_in_though_a_round_s_values_lie_close_together_by_chance() -> None:
    row = {"a": 0.001, "b": -0.001, "c": 0.0, "d": 0.001, "x": 0.05}
    assert outpaced_at_once(row, 0.05)[1].keys() == set("abcd")
    assert outpaced_at_once(row, 0.05, known_deviation=0.01)[1].keys() == set("abcd")
    assert outpaced_at_once(row, 0.05, known_deviation=0.02)[1] == {}


@given(st.dictionaries(st.sampled_from("abcdefgh"), st.floats(-1.0, 1.0), min_size=1, max_size=8))
def test_of_a_single_round_the_best_is_never_behind_and_few_candidates_say_nothing(row: dict[str, float]) -> None:
    best, behind = outpaced_at_once(row, 0.05)
    assert row[best] == max(row.values())
    assert best not in behind
    assert len(row) >= LEAST_IN_A_ROUND or not behind
    assert all(gap == row[best] - row[key] for key, gap in behind.items())
