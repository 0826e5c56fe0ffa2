# SPDX-License-Identifier: MIT
"""Ratios, intervals, verdicts and cautions from samples."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Sequence
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotune.records import Goal, Interval, Verdict
from autotune.verdict import stats

values = st.floats(min_value=1e-6, max_value=1e6)
pairs = st.lists(st.tuples(values, values), min_size=2, max_size=12)
goals = st.sampled_from(get_args(Goal))


def interval(low: float, high: float) -> Interval:
    return Interval(estimate=math.sqrt(low * high), low=low, high=high, confidence=0.95)


# --- Student's t -----------------------------------------------------------------------------------------

# Two-sided 95 % and 99.9 %, as printed in tables of Student's t.
TABLE = [
    (0.975, 2, 4.302653),
    (0.975, 3, 3.182446),
    (0.975, 4, 2.776445),
    (0.975, 5, 2.570582),
    (0.975, 10, 2.228139),
    (0.975, 30, 2.042272),
    (0.975, 120, 1.979930),
    (0.95, 7, 1.894579),
    (0.995, 1, 63.656741),
    (0.995, 9, 3.249836),
    (0.9995, 3, 12.923979),
    (0.9995, 20, 3.849516),
]


@pytest.mark.parametrize(("p", "df", "expected"), TABLE)
def test_t_quantiles_are_those_of_the_tables(p: float, df: int, expected: float) -> None:
    assert stats.student_t_quantile(p, df) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("p", [0.6, 0.9, 0.99, 0.9999, 1 - 1e-6])
def test_t_quantiles_with_one_and_two_degrees_of_freedom_have_a_closed_form(p: float) -> None:
    assert stats.student_t_quantile(p, 1) == pytest.approx(math.tan(math.pi * (p - 0.5)), rel=1e-9)
    of_two = (2 * p - 1) * math.sqrt(2 / (4 * p * (1 - p)))
    assert stats.student_t_quantile(p, 2) == pytest.approx(of_two, rel=1e-9)


def area_of_t_density(end: float, df: int, steps: int = 4000) -> float:
    """The density from 0 to `end` by Simpson's rule: a second way to the distribution function."""
    scale = math.exp(math.lgamma((df + 1) / 2) - math.lgamma(df / 2)) / math.sqrt(df * math.pi)
    heights = [scale * (1 + (end * i / steps) ** 2 / df) ** (-(df + 1) / 2) for i in range(steps + 1)]
    weighted = heights[0] + heights[-1] + 4 * sum(heights[1:-1:2]) + 2 * sum(heights[2:-1:2])
    return float(weighted * end / steps / 3)


@given(p=st.floats(min_value=0.5005, max_value=0.99995), df=st.integers(min_value=3, max_value=60))
def test_the_area_under_the_density_up_to_the_quantile_is_p(p: float, df: int) -> None:
    assert 0.5 + area_of_t_density(stats.student_t_quantile(p, df), df) == pytest.approx(p, abs=1e-9)


def test_with_many_degrees_of_freedom_t_is_the_normal_distribution() -> None:
    assert stats.student_t_quantile(0.99, 20000) == pytest.approx(statistics.NormalDist().inv_cdf(0.99), rel=1e-4)


@given(p=st.floats(min_value=1e-4, max_value=1 - 1e-4), df=st.integers(min_value=1, max_value=40))
def test_t_is_symmetric(p: float, df: int) -> None:
    assert stats.student_t_quantile(p, df) == pytest.approx(-stats.student_t_quantile(1 - p, df), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize(("p", "df"), [(0.0, 3), (1.0, 3), (-0.1, 3), (float("nan"), 3), (0.975, 0)])
def test_there_is_no_t_quantile_outside_its_domain(p: float, df: int) -> None:
    with pytest.raises(ValueError, match="no t quantile"):
        stats.student_t_quantile(p, df)


# --- speedups --------------------------------------------------------------------------------------------


def paired_speedup(
    before: Sequence[float], after: Sequence[float], goal: Goal, confidence: float = stats.CONFIDENCE
) -> Interval | None:
    """The speedup of runs paired by round, as the race makes it of its pairs."""
    logs = [stats.log_speedup(*pair, goal) for pair in zip(before, after, strict=True)]
    return stats.speedup_interval(logs, confidence)


def test_a_speedup_worked_out_by_hand() -> None:
    # Ratios 1.1, 1.2 and 1.3; the mean and deviation of their logarithms, and t of 95 % with 2 degrees of freedom.
    found = paired_speedup([1.1, 2.4, 3.9], [1.0, 2.0, 3.0], "min", 0.95)
    logs = [math.log(1.1), math.log(1.2), math.log(1.3)]
    half = 4.302653 * statistics.stdev(logs) / math.sqrt(3)
    assert found is not None
    assert found.estimate == pytest.approx((1.1 * 1.2 * 1.3) ** (1 / 3))
    assert found.low == pytest.approx(found.estimate * math.exp(-half), rel=1e-6)
    assert found.high == pytest.approx(found.estimate * math.exp(half), rel=1e-6)
    assert found.confidence == 0.95


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


@pytest.mark.parametrize("odd", [0.0, -1.0, math.nan, math.inf])
def test_a_value_without_a_logarithm_is_not_usable(odd: float) -> None:
    assert not stats.usable(odd)


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


# --- verdicts --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (1.02, 1.08, "faster"),
        (1.001, 1.004, "faster"),
        (0.91, 0.97, "slower"),
        (0.995, 1.006, "same"),
        (1.0, 1.0, "same"),
        (0.97, 1.004, "undecided"),
        (0.995, 1.05, "undecided"),
        (1.0, 1.05, "undecided"),
    ],
)
def test_a_verdict_from_one_interval(low: float, high: float, expected: Verdict) -> None:
    assert stats.verdict(interval(low, high)) == expected


def test_no_interval_is_undecided() -> None:
    assert stats.verdict(None) == "undecided"


def test_a_claim_needs_the_corrected_interval_and_sameness_the_plain_one() -> None:
    assert stats.verdict(interval(0.99, 1.1), plain=interval(1.01, 1.08)) == "undecided"
    assert stats.verdict(interval(0.97, 1.03), plain=interval(0.995, 1.005)) == "same"


def test_the_margin_of_sameness_can_be_set() -> None:
    assert stats.verdict(interval(0.98, 1.02)) == "undecided"
    assert stats.verdict(interval(0.98, 1.02), margin=0.03) == "same"


def test_rounding_of_floating_point_numbers_is_no_speedup() -> None:
    ratio = (0.1 + 0.2) / 0.3
    assert ratio > 1.0
    assert stats.verdict(interval(ratio, ratio)) == "same"


# --- noise -----------------------------------------------------------------------------------------------


def test_noise_is_the_relative_standard_deviation() -> None:
    assert stats.noise([9.0, 10.0, 11.0]) == pytest.approx(0.1)
    assert stats.noise([5.0, 5.0]) == 0.0


@pytest.mark.parametrize("values", [[], [1.0], [1.0, 0.0], [1.0, math.nan]])
def test_noise_is_unknown_without_two_usable_values(values: list[float]) -> None:
    assert stats.noise(values) is None


def test_the_noise_floor_is_the_half_width_of_the_interval_to_come() -> None:
    # 2 % noise, 8 pairs: t of 95 % with 7 degrees of freedom is 2.364624.
    assert stats.noise_floor(0.02, 8) == pytest.approx(math.exp(2.364624 * 0.02 * math.sqrt(2 / 8)) - 1, rel=1e-6)
    assert stats.noise_floor(0.0, 8) == 0.0
    assert stats.noise_floor(0.02, 1) is None


def test_the_noise_floor_falls_with_rounds_and_rises_with_candidates_and_noise() -> None:
    few, many = stats.noise_floor(0.02, 4), stats.noise_floor(0.02, 16)
    corrected, noisy = stats.noise_floor(0.02, 4, comparisons=6), stats.noise_floor(0.04, 4)
    assert many < few < corrected  # type: ignore[operator]
    assert few < noisy  # type: ignore[operator]


def test_intervals_are_on_average_as_wide_as_the_noise_floor_foretold() -> None:
    rng = random.Random(5)
    floor = stats.noise_floor(0.02, 8)
    widths = []
    for _ in range(1000):
        before, after = ([math.exp(rng.gauss(0, 0.02)) for _ in range(8)] for _ in range(2))
        found = paired_speedup(before, after, "min")
        assert found is not None
        widths.append(found.high / found.estimate - 1)
    assert statistics.fmean(widths) == pytest.approx(floor, rel=0.06)


def test_negative_noise_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="negative"):
        stats.noise_floor(-0.1, 5)


def test_robust_deviation_ignores_a_few_outliers() -> None:
    rng = random.Random(3)
    values = [rng.gauss(10, 1) for _ in range(2000)]
    assert stats.robust_deviation(values) == pytest.approx(1.0, rel=0.1)
    assert stats.robust_deviation([*values, 1e9, 1e9]) == pytest.approx(1.0, rel=0.1)
    assert stats.robust_deviation([]) == 0.0


def test_the_median_of_nothing_is_unknown() -> None:
    assert stats.median([]) is None
    assert stats.median([3.0, 1.0, 2.0]) == 2.0


# --- cautions --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first_s", "later_s", "expected"),
    [
        (10.0, [0.2, 0.2, 0.3], True),  # a build that finds everything built
        (10.0, [0.2], True),
        (10.0, [9.8, 10.1, 9.9], False),
        (10.0, [5.0, 5.1], False),  # cold caches, not work left undone
        (0.02, [0.002, 0.002], False),  # a cold start of a tiny command
        (10.0, [], False),
    ],
)
def test_later_runs_that_take_a_fraction_of_the_first_measure_nothing(
    first_s: float, later_s: list[float], expected: bool
) -> None:
    assert stats.looks_already_done(first_s, later_s) is expected


@pytest.mark.parametrize(
    ("first_s", "later_s", "expected"),
    [
        (5.0, [3.0, 3.1, 2.9], True),
        (3.1, [3.0, 3.1, 2.9], False),
        (5.0, [4.0, 3.0, 2.0], False),  # within the scatter of the others
        (10.0, [0.2, 0.2], False),  # that is work already done
        (5.0, [3.0], False),
    ],
)
def test_a_slow_first_run_is_told_from_scatter(first_s: float, later_s: list[float], expected: bool) -> None:
    assert stats.looks_slow_at_start(first_s, later_s) is expected


def test_outliers_are_far_from_the_rest() -> None:
    assert stats.outliers([1.0, 1.01, 0.99, 1.5, 1.0, 1.02]) == [1.5]
    assert stats.outliers([1.0, 1.01, 0.99, 1.03, 1.0, 1.02]) == []
    assert stats.outliers([1.0, 1.0, 1.0, 1.0, 1.05]) == []
    assert stats.outliers([1.0, 1.0, 9.0]) == []


def test_drift_is_a_trend_beyond_the_scatter() -> None:
    rng = random.Random(2)
    warming = [10 * (1 + 0.02 * place) * math.exp(rng.gauss(0, 0.005)) for place in range(8)]
    assert stats.drift(warming) == pytest.approx(0.14, abs=0.03)
    assert stats.drift(warming[::-1]) == pytest.approx(-0.12, abs=0.03)
    assert stats.drift(warming[:5]) is None
    assert stats.drift([1.0] * 8) is None
    assert stats.drift([1.0 + 0.001 * place for place in range(8)]) is None
    assert stats.drift([*warming, 0.0]) is None


def test_steady_runs_rarely_look_like_drift() -> None:
    rng = random.Random(8)
    alarms = sum(stats.drift([math.exp(rng.gauss(0, 0.05)) for _ in range(8)]) is not None for _ in range(2000))
    assert alarms / 2000 < 0.02


def test_steady_runs_need_no_caution() -> None:
    assert stats.cautions([1.0, 1.01, 0.99, 1.0, 1.02, 0.98], prepared=False) == ()
    assert stats.cautions([1.0], prepared=False) == ()


def test_a_caution_about_work_already_done_says_what_to_do() -> None:
    (caution,) = stats.cautions([12.0, 0.3, 0.31], prepared=False)
    assert caution.kind == "already done"
    assert "--prepare" in caution.text
    assert "--pristine" in caution.text
    assert "12 s" in caution.text


def test_where_a_prepare_command_was_given_the_advice_is_to_check_it() -> None:
    (caution,) = stats.cautions([12.0, 0.3, 0.31], prepared=True)
    assert "does not seem to undo" in caution.text


def test_a_slow_first_run_is_advised_a_warmup() -> None:
    (caution,) = stats.cautions([5.0, 3.0, 3.1, 2.9], prepared=True)
    assert caution.kind == "slow start"
    assert "--warmup" in caution.text


def test_outliers_and_drift_are_told_each() -> None:
    (odd,) = stats.cautions([1.0, 1.01, 0.99, 1.5, 1.0, 1.02, 1.0], prepared=True)
    (drifting,) = stats.cautions([1.0 + 0.02 * place for place in range(8)], prepared=True)
    assert odd.kind == "outliers"
    assert "1 of 6 runs" in odd.text  # the first run is judged apart
    assert drifting.kind == "drift"
    assert "slower by 12 %" in drifting.text
