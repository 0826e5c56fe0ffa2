# SPDX-License-Identifier: MIT
"""The choice of EEVDF's best value, and of those that may be the best as well."""

from __future__ import annotations

import random

import pytest

from autotune.records import Goal
from autotune.verdict.sweep import ALPHA_OF_VALUES, Sweep

TRIALS = 400


def swept(means: dict[str, float], noise: float = 0.01, seed: int = 1, goal: Goal = "min") -> Sweep:
    rng = random.Random(seed)
    sweep = Sweep(list(means), goal=goal, rng=random.Random(seed), rounds=3)
    while order := sweep.next_round():
        sweep.record({key: means[key] * rng.gauss(1.0, noise) for key in order})
    return sweep


def test_a_value_that_is_far_worse_is_left_out_after_the_first_rounds() -> None:
    sweep = swept({"2": 2.0, "4": 1.2, "8": 1.0})
    assert (sweep.best, sweep.rivals, sweep.rounds) == ("8", (), 3)
    assert sweep.ranked == ("8", "4", "2")
    assert [place.verdict for place in sweep.places()] == [None, "slower", "slower"]
    last = sweep.places()[-1].interval
    assert last is not None
    assert last.low < 0.5 < last.high < 1.0


def test_values_near_each_other_run_again_and_stay_rivals() -> None:
    sweep = swept({"2": 2.0, "4": 1.001, "8": 1.0})
    assert {sweep.best, *sweep.rivals} == {"4", "8"}
    assert sweep.rounds == 6
    assert len(sweep.places()[1].rounds) == 6
    assert len(sweep.places()[-1].rounds) == 3


def test_for_a_metric_to_be_raised_the_largest_value_is_the_best() -> None:
    sweep = swept({"2": 2.0, "4": 1.2, "8": 1.0}, goal="max")
    assert (sweep.best, sweep.rivals) == ("2", ())


def test_a_single_value_runs_once_and_has_no_rival() -> None:
    sweep = swept({"8": 1.0})
    assert (sweep.best, sweep.rivals, sweep.rounds) == ("8", (), 3)
    assert sweep.places()[0].interval is None


def test_before_the_second_look_all_that_is_known_can_be_used() -> None:
    sweep = Sweep(["2", "4"], goal="min", rng=random.Random(1), rounds=3)
    for number in range(3):
        assert not sweep.looked
        sweep.record({"2": 1.0 + 0.01 * number, "4": 1.005 + 0.01 * (2 - number)})
    assert sweep.looked
    assert sweep.rivals == ("4",)


def test_values_that_agree_exactly_do_not_exclude_each_other() -> None:
    sweep = swept({"2": 1.0, "4": 1.0, "8": 1.0}, noise=0.0)
    assert (sweep.best, sweep.rivals) == ("2", ("4", "8"))


@pytest.mark.slow
def test_the_best_value_is_seldom_left_out_however_many_are_like_it() -> None:
    """A tenth of these sessions would be 40."""
    for count in (2, 3, 8):
        means = dict.fromkeys(map(str, range(count)), 1.0)
        lost = sum("0" not in {one.best, *one.rivals} for one in (swept(means, 0.03, seed) for seed in range(TRIALS)))
        assert lost <= 3 * ALPHA_OF_VALUES * TRIALS, (count, lost)
