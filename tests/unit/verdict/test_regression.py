# SPDX-License-Identifier: MIT
"""Whether a command has become slower than it was."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotune.verdict.regression import change, is_worse

TIMES = st.lists(st.floats(0.01, 100.0), min_size=2, max_size=12)


def test_twice_the_time_is_half_as_fast() -> None:
    found = change([2.0, 2.02, 1.98], [1.0, 1.01, 0.99], "min")

    assert found is not None
    assert found.estimate == pytest.approx(0.5, rel=1e-3)
    assert found.low < 0.5 < found.high
    assert is_worse(found, 0.05)


def test_of_a_metric_that_should_be_large_less_is_worse() -> None:
    found = change([90.0, 91.0, 89.0], [100.0, 101.0, 99.0], "max")

    assert found is not None
    assert is_worse(found, 0.05)
    assert not is_worse(found, 0.2)


@given(TIMES, TIMES)
def test_both_ways_round_it_is_the_same_interval_turned_over(now: list[float], then: list[float]) -> None:
    one, other = change(now, then, "min"), change(then, now, "min")

    assert one is not None
    assert other is not None
    assert one.estimate == pytest.approx(1.0 / other.estimate)
    assert one.low == pytest.approx(1.0 / other.high)


@given(TIMES, st.floats(0.001, 1000.0))
def test_units_do_not_matter(times: list[float], unit: float) -> None:
    scaled = [value * unit for value in times]

    found = change(scaled, [2.0 * unit * value for value in times], "min")

    assert found is not None
    assert found.estimate == pytest.approx(2.0)


def test_values_that_agree_exactly_have_no_width() -> None:
    found = change([2.0, 2.0], [1.0, 1.0], "min")

    assert found is not None
    assert [found.low, found.high] == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize(
    ("now", "then"), [([1.0], [1.0, 1.0]), ([1.0, 1.0], []), ([1.0, 0.0], [1.0, 1.0]), ([1.0, float("nan")], [1.0, 1])]
)
def test_too_few_runs_or_values_without_a_ratio_say_nothing(now: list[float], then: list[float]) -> None:
    assert change(now, then, "min") is None


def test_of_2000_comparisons_of_equal_sessions_at_most_four_in_a_hundred_exclude_one_on_the_slow_side() -> None:
    """2.5 % is the promise; the rest is the error of the simulation (three deviations of it are 1.1 %)."""
    rng = random.Random(5)

    def times() -> list[float]:
        return [rng.gauss(10.0, 0.3) for _ in range(rng.randint(3, 12))]

    found = [change(times(), times(), "min") for _ in range(2000)]
    assert sum(one is not None and is_worse(one, 0.0) for one in found) <= 80
