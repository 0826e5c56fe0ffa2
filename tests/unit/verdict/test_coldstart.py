# SPDX-License-Identifier: MIT
"""A round in which every candidate started cold is found, and chance is not taken for one."""

from __future__ import annotations

import random

import pytest

from autotune.verdict.coldstart import cold_round


def test_a_first_run_that_is_by_far_the_slowest_of_each_is_a_cold_start() -> None:
    assert cold_round([{1: 11.0, 2: 10.0, 3: 10.1}, {1: 11.2, 2: 10.2, 3: 10.1}], 1)
    assert cold_round([{5: 11.0, 6: 10.0, 7: 10.1}], 5)


@pytest.mark.parametrize(
    "costs",
    [
        [{1: 11.0, 2: 10.0, 3: 10.1}, {1: 10.0, 2: 10.2, 3: 10.1}],  # one of them was not slow
        [{1: 10.2, 2: 10.0, 3: 10.1}],  # slow, not by far
        [{1: 11.0, 2: 9.0, 3: 10.5}],  # the later runs differ as much
        [{1: 11.0, 2: 10.0}],  # one later run tells nothing
        [{2: 11.0, 3: 10.0, 4: 10.0}],  # it has not run in that round
        [],
    ],
)
def test_what_chance_explains_is_none(costs: list[dict[int, float]]) -> None:
    assert not cold_round(costs, 1)


@pytest.mark.parametrize(("count", "most"), [(1, 0.10), (2, 0.03), (6, 0.01)])
def test_noise_alone_is_hardly_ever_taken_for_a_cold_start(count: int, most: float) -> None:
    rng = random.Random(2)
    found = sum(
        cold_round([{number: 10.0 * (1 + rng.gauss(0, 0.05)) for number in (1, 2, 3)} for _ in range(count)], 1)
        for _ in range(2000)
    )
    assert found / 2000 <= most
