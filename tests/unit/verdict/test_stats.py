# SPDX-License-Identifier: MIT
"""Ratios, intervals, verdicts and cautions from samples."""

from __future__ import annotations

import math
import random
import statistics
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


# --- values ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("odd", [0.0, -1.0, math.nan, math.inf])
def test_a_value_without_a_logarithm_is_not_usable(odd: float) -> None:
    assert not stats.usable(odd)


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
def test_a_slow_first_run_is_distinguished_from_scatter(first_s: float, later_s: list[float], expected: bool) -> None:
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


def test_outliers_and_drift_are_each_reported() -> None:
    (odd,) = stats.cautions([1.0, 1.01, 0.99, 1.5, 1.0, 1.02, 1.0], prepared=True)
    (drifting,) = stats.cautions([1.0 + 0.02 * place for place in range(8)], prepared=True)
    assert odd.kind == "outliers"
    assert "1 of 6 runs" in odd.text  # the first run is judged apart
    assert drifting.kind == "drift"
    assert "slower by 12 %" in drifting.text
