# SPDX-License-Identifier: MIT
"""Statistics of runs besides the typical one."""

from __future__ import annotations

import math
import random
import statistics

import pytest

from autotune.records import Goal
from autotune.verdict.race import Race
from autotune.verdict.statistic import Statistic


def named(name: str) -> Statistic:
    found = Statistic.named(name)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("name", "share", "least", "most"),
    [
        ("mean", None, 10, 40),
        ("median", 0.5, 10, 40),
        ("p50", 0.5, 10, 40),
        ("p75", 0.75, 10, 40),
        ("p90", 0.9, 20, 40),
        ("p95", 0.95, 40, 80),
        ("p99", 0.99, 200, 400),
    ],
)
def test_how_many_pairs_a_statistic_needs(name: str, share: float | None, least: int, most: int) -> None:
    assert (named(name).share, named(name).least_pairs, named(name).most_pairs) == (share, least, most)


def test_the_typical_run_is_no_other_statistic() -> None:
    assert Statistic.named("typical") is None


@pytest.mark.parametrize("name", ["", "p", "p9", "p49", "p100", "p5x", "max", "P90", "p²5"])
def test_what_is_no_statistic_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is not one of"):
        Statistic.named(name)


def test_percentiles_are_near_those_of_many_values() -> None:
    values = [1.0 + index / 1000 for index in range(1001)]
    assert named("p90").of(values, "min") == pytest.approx(1.9, abs=0.002)
    assert named("median").of(values, "min") == pytest.approx(1.5, abs=0.002)
    assert named("mean").of(values, "max") == pytest.approx(1.5)
    assert named("p90").of([2.0] * 7, "min") == pytest.approx(2.0)
    assert named("p90").of([], "min") is None


def test_a_percentile_counts_from_the_best_run_to_the_worst() -> None:
    values = [float(number) for number in range(1, 101)]
    low = named("p90").of(values, "max")
    assert low is not None
    assert 8.0 < low < 13.0, "nine of ten runs do more"


@pytest.mark.parametrize("name", ["mean", "median", "p75", "p90"])
@pytest.mark.parametrize("goal", ["min", "max"])
def test_a_gain_of_every_run_is_that_of_the_statistic(name: str, goal: Goal) -> None:
    rng = random.Random(2)
    eevdf = [rng.uniform(9.0, 11.0) for _ in range(40)]
    own = [value / 1.25 if goal == "min" else value * 1.25 for value in eevdf]
    pairs = list(zip(eevdf, own, strict=True))
    estimate = named(name).estimate(pairs, goal, seed=1)
    assert estimate is not None
    assert math.exp(estimate.mean) == pytest.approx(1.25)
    assert estimate.error == pytest.approx(0.0, abs=1e-9), "pairs are drawn whole"
    assert named(name).estimate(pairs, goal, seed=1) == estimate


@pytest.mark.slow
def test_the_error_is_that_of_repeated_measurements() -> None:
    rng = random.Random(5)

    def measured() -> list[tuple[float, float]]:
        return [(rng.lognormvariate(0, 0.05), rng.lognormvariate(0, 0.05)) for _ in range(40)]

    estimates = [named("p90").estimate(measured(), "min", seed=9) for _ in range(60)]
    known = [one for one in estimates if one is not None]
    true = statistics.stdev(one.mean for one in known)
    assert statistics.fmean(one.error for one in known) == pytest.approx(true, rel=0.3)


def test_too_few_pairs_have_no_estimate() -> None:
    assert named("p90").estimate([(1.0, 1.0)] * 19, "min", seed=1) is None
    assert named("p90").estimate([(1.0, 1.0)] * 20, "min", seed=1) is not None


# --- in the race -----------------------------------------------------------------------------------------


def raced(name: str, own: dict[bool, float], *, pairs: int = 40, seed: int = 1) -> Race:
    """A race of one candidate that takes `own[True]` in one run of five, `own[False]` in the others; EEVDF takes 1.0,
    and 1.5 in one of five."""
    rng = random.Random(seed)
    race = Race(["a"], goal="min", rng=random.Random(seed), statistic=Statistic.named(name))

    def value(key: str) -> float:
        slow = rng.random() < 0.2
        usual = own[slow] if key == "a" else (1.5 if slow else 1.0)
        return usual * rng.gauss(1.0, 0.01)

    while (opened := race.next_round()) is not None:
        race.record({key: value(key) for key in opened.order})
    race.begin_confirm(pairs)
    while (opened := race.next_round()) is not None:
        race.record({key: value(key) for key in opened.order})
    return race


def test_a_candidate_may_win_by_its_tail_alone() -> None:
    """Usual runs are 1 % faster; what differs is the slow ones."""
    race = raced("p90", {False: 0.99, True: 1.1})
    assert race.winner == "a"
    (standing,) = race.standings()
    assert standing.interval is not None
    assert standing.interval.low > 1.0
    assert standing.verdict == "faster"
    assert standing.fresh_pairs >= 20


def test_a_candidate_that_gains_in_usual_runs_only_does_not_win_by_the_p90() -> None:
    assert raced("p90", {False: 0.9, True: 1.55}).winner is None
    assert raced("median", {False: 0.9, True: 1.55}, seed=2).winner == "a"


def test_the_race_claims_nothing_and_the_same_seed_gives_the_same_interval() -> None:
    race = Race(["a"], goal="min", rng=random.Random(1), statistic=named("p90"))
    for _ in range(3):
        opened = race.next_round()
        assert opened is not None
        race.record({key: 1.0 if key == "a" else 2.0 for key in opened.order})
    assert [(one.interval, one.verdict) for one in race.standings()] == [(None, "undecided")]
    with pytest.raises(ValueError, match="no confirmation with 19 pairs"):
        race.begin_confirm(19)
    intervals = [raced("p90", {False: 0.99, True: 1.1}).standings()[0].interval for _ in range(2)]
    assert intervals[0] == intervals[1]
