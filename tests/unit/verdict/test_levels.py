# SPDX-License-Identifier: MIT
"""Levels of looks: those of the literature, and together never more than alpha."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autotune.verdict.levels import SPENDING_POWER, levels
from autotune.verdict.stats import student_t_quantile

QUARTERS = (0.25, 0.5, 0.75, 1.0)


@pytest.mark.parametrize(
    ("alpha", "expected"),
    [
        (0.025, (0.00313, 0.00674, 0.01091, 0.01581)),
        (0.0125, (0.00156, 0.00329, 0.00523, 0.00746)),
        (0.00625, (0.00078, 0.00162, 0.00252, 0.00354)),
    ],
)
def test_four_looks_at_quarters_have_the_levels_that_were_worked_out_elsewhere(
    alpha: float, expected: tuple[float, ...]
) -> None:
    assert levels(QUARTERS, alpha) == pytest.approx(expected, abs=6e-6)


def test_one_look_spends_all() -> None:
    assert levels((1.0,), 0.025) == pytest.approx((0.025,))


def test_the_first_look_spends_its_share() -> None:
    assert levels((0.3, 1.0), 0.05)[0] == pytest.approx(0.05 * 0.3**SPENDING_POWER)


shares = st.lists(st.integers(1, 49), min_size=0, max_size=5, unique=True).map(
    lambda some: (*(place / 50 for place in sorted(some)), 1.0)
)


@settings(max_examples=20)
@given(shares, st.floats(0.001, 0.2))
def test_no_look_is_stricter_than_the_split_of_its_spending_nor_looser_than_all(
    some: tuple[float, ...], alpha: float
) -> None:
    found = levels(some, alpha)
    before = 0.0
    for share, level in zip(some, found, strict=True):
        spent = alpha * share**SPENDING_POWER
        assert spent - before <= level * (1 + 1e-6)  # Bonferroni's would be the strictest
        assert level <= spent * (1 + 1e-4)
        before = spent


@pytest.mark.slow
def test_random_walks_cross_them_with_probability_alpha() -> None:
    limits = [student_t_quantile(1.0 - level, 100_000) for level in levels(QUARTERS, 0.05)]
    rng = random.Random(8)
    crossed = 0
    for _ in range(6_000):
        total = 0.0
        for count, limit in enumerate(limits, 1):
            total += rng.gauss(0, 1)
            if total / math.sqrt(count) > limit:
                crossed += 1
                break
    assert 0.042 <= crossed / 6_000 <= 0.058


@pytest.mark.parametrize(
    ("some", "alpha"),
    [((), 0.05), ((0.5,), 0.05), ((0.0, 1.0), 0.05), ((0.6, 0.5, 1.0), 0.05), ((0.5, 0.5, 1.0), 0.05), ((1.0,), 0.0)],
)
def test_looks_that_cannot_be_are_refused(some: tuple[float, ...], alpha: float) -> None:
    with pytest.raises(ValueError, match="no levels"):
        levels(some, alpha)
