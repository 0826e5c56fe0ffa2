# SPDX-License-Identifier: MIT
"""A confirmation: the interval of its pairs, its looks, and what each of them says."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Sequence
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotune.records import Goal, Interval
from autotune.verdict import stats
from autotune.verdict.confirm import (
    LEAST_PAIRS,
    MOST_PAIRS,
    SHARED_DF,
    Confirmation,
    Estimate,
    Scatter,
    detectable,
    looks,
    pairs_to_show,
)

values = st.floats(min_value=1e-6, max_value=1e6)
pairs = st.lists(st.tuples(values, values), min_size=2, max_size=12)
goals = st.sampled_from(get_args(Goal))


# --- speedups --------------------------------------------------------------------------------------------


def paired_speedup(
    before: Sequence[float], after: Sequence[float], goal: Goal, confidence: float = 0.95
) -> Interval | None:
    """The speedup of runs paired by round, with their own noise alone: that of a paired t test (Student 1908)."""
    logs = [stats.log_speedup(*pair, goal) for pair in zip(before, after, strict=True)]
    estimate = Estimate.of(logs, Scatter())
    return estimate.interval((1.0 - confidence) / 2) if estimate is not None else None


def test_a_speedup_worked_out_by_hand() -> None:
    # Ratios 1.1, 1.2 and 1.3; the mean and deviation of their logarithms, and t of 95 % with 2 degrees of freedom.
    found = paired_speedup([1.1, 2.4, 3.9], [1.0, 2.0, 3.0], "min", 0.95)
    logs = [math.log(1.1), math.log(1.2), math.log(1.3)]
    half = 4.302653 * statistics.stdev(logs) / math.sqrt(3)
    assert found is not None
    assert found.estimate == pytest.approx((1.1 * 1.2 * 1.3) ** (1 / 3))
    assert found.low == pytest.approx(found.estimate * math.exp(-half), rel=1e-6)
    assert found.high == pytest.approx(found.estimate * math.exp(half), rel=1e-6)
    assert found.confidence == pytest.approx(0.95)


def test_above_one_is_better_whatever_the_goal() -> None:
    shorter = paired_speedup([2.0, 2.1], [1.0, 1.0], "min")
    more = paired_speedup([1.0, 1.0], [2.0, 2.1], "max")
    assert shorter is not None
    assert shorter.estimate > 2.0
    assert shorter == more


@given(pairs)
def test_swapping_the_goal_inverts_the_speedup(pairs: list[tuple[float, float]]) -> None:
    before, after = zip(*pairs, strict=True)
    least = paired_speedup(before, after, "min")
    most = paired_speedup(before, after, "max")
    assert least is not None
    assert most is not None
    assert math.log(least.estimate) == pytest.approx(-math.log(most.estimate), abs=1e-9)
    if math.isfinite(least.high) and math.isfinite(most.high) and least.low > 0 and most.low > 0:
        assert math.log(least.low) == pytest.approx(-math.log(most.high), rel=1e-9, abs=1e-9)


@given(pairs, goals, st.floats(min_value=1e-3, max_value=1e3))
def test_the_unit_of_the_metric_does_not_matter(pairs: list[tuple[float, float]], goal: Goal, scale: float) -> None:
    before, after = zip(*pairs, strict=True)
    plain = paired_speedup(before, after, goal)
    scaled = paired_speedup([scale * x for x in before], [scale * x for x in after], goal)
    assert plain is not None
    assert scaled is not None
    assert scaled.estimate == pytest.approx(plain.estimate, rel=1e-9)
    assert scaled.low == pytest.approx(plain.low, rel=1e-6)
    assert scaled.high == pytest.approx(plain.high, rel=1e-6)


@given(pairs, goals, st.floats(min_value=-3, max_value=3))
def test_drift_that_hits_both_runs_of_a_round_cancels(
    pairs: list[tuple[float, float]], goal: Goal, drift: float
) -> None:
    before, after = zip(*pairs, strict=True)
    levels = [math.exp(drift * place) for place in range(len(pairs))]
    steady = paired_speedup(before, after, goal)
    drifting = paired_speedup(
        [x * level for x, level in zip(before, levels, strict=True)],
        [x * level for x, level in zip(after, levels, strict=True)],
        goal,
    )
    assert steady is not None
    assert drifting is not None
    assert drifting.estimate == pytest.approx(steady.estimate, rel=1e-9)


@given(pairs, goals, st.floats(min_value=0.5, max_value=0.99), st.floats(min_value=1e-3, max_value=0.009))
def test_more_confidence_never_narrows_the_interval(
    pairs: list[tuple[float, float]], goal: Goal, confidence: float, more: float
) -> None:
    before, after = zip(*pairs, strict=True)
    narrow = paired_speedup(before, after, goal, confidence)
    wide = paired_speedup(before, after, goal, confidence + more)
    assert narrow is not None
    assert wide is not None
    assert wide.low <= narrow.low <= narrow.estimate <= narrow.high <= wide.high
    assert wide.estimate == narrow.estimate


def test_fewer_than_two_pairs_have_no_interval() -> None:
    assert paired_speedup([], [], "min") is None
    assert paired_speedup([1.0], [1.0], "min") is None


def test_pairs_that_all_agree_have_an_interval_without_width() -> None:
    found = paired_speedup([4.0, 4.0, 4.0], [2.0, 2.0, 2.0], "min")
    assert found is not None
    assert found.low == found.estimate == found.high == pytest.approx(2.0)


def test_values_at_the_ends_of_floating_point_give_infinity_not_an_exception() -> None:
    found = paired_speedup([1e300, 1e300], [1e-300, 1e-300], "min")
    assert found is not None
    assert found.estimate == math.inf


def test_a_95_percent_interval_holds_the_truth_in_95_percent_of_samples() -> None:
    rng = random.Random(11)
    held = 0
    for _ in range(2000):
        before = [math.exp(rng.gauss(0, 0.05)) for _ in range(5)]
        after = [math.exp(rng.gauss(0, 0.05)) / 1.1 for _ in range(5)]
        found = paired_speedup(before, after, "min", 0.95)
        assert found is not None
        held += found.low <= 1.1 <= found.high
    assert 0.94 <= held / 2000 <= 0.96


# --- noise that is lent ----------------------------------------------------------------------------------


def test_scatter_adds_up_around_the_mean_of_each_part() -> None:
    both = Scatter.of([1.0, 3.0]) + Scatter.of([10.0, 10.0, 13.0])
    assert both.squares == pytest.approx(2.0 + 6.0)
    assert both.df == 3
    assert both.deviation == pytest.approx(math.sqrt(8.0 / 3))
    assert Scatter.of([5.0]) == Scatter()
    assert Scatter().deviation is None


def test_many_candidates_lend_their_variance_with_little_weight() -> None:
    many = Scatter(squares=8.0, df=16)
    assert many.lent() == Scatter(squares=0.5 * SHARED_DF, df=SHARED_DF)
    assert Scatter(squares=1.0, df=2).lent() == Scatter(squares=1.0, df=2)
    assert Scatter().lent() == Scatter()


def test_lent_noise_of_the_same_size_makes_an_interval_of_few_pairs_narrower() -> None:
    logs = [0.04, 0.06, 0.05, 0.03]
    alone, helped = Estimate.of(logs, Scatter()), Estimate.of(logs, Scatter(Scatter.of(logs).squares / 3 * 6, 6))
    assert alone is not None
    assert helped is not None
    assert helped.error == pytest.approx(alone.error)
    assert helped.interval(0.01).low > alone.interval(0.01).low


# --- looks -----------------------------------------------------------------------------------------------


def test_the_looks_come_at_quarters_with_an_early_one_for_clear_cases() -> None:
    assert [look.pairs for look in looks(40, 0.025)] == [4, 10, 20, 30, 40]
    assert [look.pairs for look in looks(16, 0.025)] == [4, 8, 12, 16]
    assert [look.pairs for look in looks(10, 0.025)] == [4, 5, 8, 10]
    assert [look.pairs for look in looks(5, 0.025)] == [4, 5]
    assert [look.pairs for look in looks(3, 0.025)] == [3]


def test_a_single_look_may_risk_all_and_four_have_the_levels_of_their_spending() -> None:
    assert looks(2, 0.025)[0].level == pytest.approx(0.025)
    assert [look.level for look in looks(16, 0.025)] == pytest.approx([0.003125, 0.00674, 0.01091, 0.01581], abs=5e-6)


def test_a_leader_must_show_more_the_later_it_is() -> None:
    assert [look.least_errors for look in looks(40, 0.025)] == [-1.0, 0.0, 0.5, 1.0, 1.0]


@given(st.integers(LEAST_PAIRS, 200), st.floats(0.001, 0.1))
def test_looks_rise_to_the_last_pair_and_none_risks_more_than_all(most: int, alpha: float) -> None:
    found = looks(most, alpha)
    places = [look.pairs for look in found]
    assert places == sorted(set(places))
    assert places[-1] == most
    assert all(0.0 < look.level <= alpha * (1 + 1e-9) for look in found)


@pytest.mark.parametrize("most", [-1, 0, 1])
def test_one_pair_makes_no_confirmation(most: int) -> None:
    with pytest.raises(ValueError, match="no confirmation"):
        looks(most, 0.025)


def run(confirmation: Confirmation, logs: Sequence[float]) -> int:
    """Add pairs until there is an outcome; return how many."""
    for number, pair in enumerate(logs, 1):
        confirmation.add(number, pair)
        if confirmation.outcome is not None:
            return number
    return len(logs)


def test_a_clear_gain_wins_at_the_first_look() -> None:
    confirmation = Confirmation("a", 0.025, MOST_PAIRS)
    assert run(confirmation, [0.100, 0.101, 0.099, 0.1005] * 10) == 4
    assert confirmation.outcome == "won"
    interval = confirmation.interval()
    assert interval is not None
    assert interval.low > 1.0
    assert interval.confidence == pytest.approx(1 - 2 * confirmation.looks[0].level)


def test_a_clear_loss_ends_at_the_first_look() -> None:
    confirmation = Confirmation("a", 0.025, MOST_PAIRS)
    assert run(confirmation, [-0.1, -0.09, -0.11, -0.1] * 10) == 4
    assert confirmation.outcome == "lost"


def test_a_doubtful_gain_is_followed_to_the_last_pair() -> None:
    rng = random.Random(4)
    noisy = [0.02 + rng.gauss(0, 0.06) for _ in range(MOST_PAIRS)]
    confirmation = Confirmation("a", 1e-6, MOST_PAIRS)
    assert run(confirmation, noisy) == MOST_PAIRS
    assert confirmation.outcome == "lost"
    assert confirmation.pairs_left == 0


# --- power -----------------------------------------------------------------------------------------------


def test_what_is_said_to_be_found_8_times_of_10_is_found_about_so_often_by_one_look_at_the_end() -> None:
    noise, count = 0.02, 16
    gain = math.log1p(detectable(noise, count))
    rng = random.Random(6)
    found = 0
    for _ in range(2000):
        estimate = Estimate.of([gain + rng.gauss(0, noise * math.sqrt(2)) for _ in range(count)], Scatter(0.0, 0))
        assert estimate is not None
        found += estimate.interval(0.025).low > 1.0
    assert 0.74 <= found / 2000 <= 0.84


def test_the_pairs_that_show_a_gain_are_the_inverse_of_the_gain_that_pairs_show() -> None:
    for count in (8, 20, 40):
        gain_log = math.log1p(detectable(0.03, count))
        assert pairs_to_show(gain_log, 0.03 * math.sqrt(2)) in (count, count + 1)


def test_no_noise_is_infinite_and_none_finds_everything() -> None:
    assert detectable(0.0, 4) == 0.0
    assert math.isfinite(detectable(1e9, 4))
