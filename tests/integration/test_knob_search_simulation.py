# SPDX-License-Identifier: MIT
"""What a search over knobs finds, over simulated machines with fixed seeds: 24 candidates of at_interactive, runs with
3 % noise. The best settings of a machine gain 10 %; what counts is the true gain of the settings that were chosen.

`-s` prints the numbers."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable, Sequence
from functools import cache

import pytest

from autotune.planner import knob_space
from autotune.planner.knob_model import Learned, suggestions
from autotune.planner.knob_search import KnobSearch
from autotune.records import BASELINE, Candidate, CandidateResult
from autotune.schedext.catalogue.catalog import Catalog
from autotune.verdict.race import Race
from tests.support.sessions import a_situation, machine, result

pytestmark = pytest.mark.slow

SESSIONS = 60
TRIALS = 24
NOISE = 0.03
BEST = 0.10
CATALOG = Catalog([Catalog.load().get("at_interactive")])
SPACE = knob_space.of(CATALOG.schedulers[0], machine())
WEIGHTS = (0.5, 0.25, 0.15, 0.07, 0.03)
"""How much a knob matters; which one it is differs from machine to machine."""
STEEP = 0.5
"""Loss between the ends of all knobs."""


class World:
    """A machine: settings lose with the square of their distance from the best ones."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.peak = {one.name: self.rng.random() for one in SPACE.dimensions}
        self.weights = dict(zip(self.rng.sample(sorted(self.peak), len(WEIGHTS)), WEIGHTS, strict=True))

    def gain(self, candidate: Candidate) -> float:
        """The true logarithm of the speedup."""
        point = SPACE.point(dict(candidate.knobs))
        assert point is not None
        far = {one.name: point[one.name] / (len(one.values) - 1) - self.peak[one.name] for one in SPACE.dimensions}
        return BEST - STEEP * sum(self.weights[name] * far[name] ** 2 for name in far)

    def measured(self, candidate: Candidate) -> float:
        """The logarithm of a speedup as one pair of runs shows it."""
        return self.gain(candidate) + self.rng.gauss(0.0, NOISE) - self.rng.gauss(0.0, NOISE)

    def anywhere(self) -> Candidate:
        while True:
            point = {one.name: self.rng.randrange(len(one.values)) for one in SPACE.dimensions}
            if SPACE.allows(SPACE.settings(point)):
                return SPACE.scheduler.candidate(SPACE.settings(point))

    def near(self) -> Candidate:
        """Settings that were best for a similar workload."""
        point = {
            one.name: round((len(one.values) - 1) * min(1.0, max(0.0, self.peak[one.name] + self.rng.gauss(0.0, 0.2))))
            for one in SPACE.dimensions
        }
        return SPACE.scheduler.candidate(SPACE.settings(point))


# --- how settings are chosen -------------------------------------------------------------------------------


def by_chance(world: World) -> Candidate:
    """The best of random settings, each measured once."""
    return max((world.anywhere() for _ in range(TRIALS)), key=world.measured)


def by_model(world: World) -> Candidate:
    """The best of what the model suggests one by one, each measured once."""
    measured: dict[Candidate, float] = {}
    for number in range(TRIALS):
        learned = [Learned(dict(one.knobs), value) for one, value in measured.items()]
        candidate = next(suggestions(SPACE, learned, number, lambda one: one not in measured))
        measured[candidate] = world.measured(candidate)
    return max(measured, key=lambda one: measured[one])


def by_chance_and_race(world: World) -> Candidate:
    return raced(world, lambda _results, count: list(dict.fromkeys(world.anywhere() for _ in range(count))))


def by_search(world: World) -> Candidate:
    return searched(world, [])


def by_search_from_known(world: World) -> Candidate:
    return searched(world, [world.near() for _ in range(3)])


def searched(world: World, known: Sequence[Candidate]) -> Candidate:
    planner = KnobSearch(CATALOG, seed=world.rng.randrange(1000), known=lambda: known)

    def propose(results: Sequence[CandidateResult], count: int) -> list[Candidate]:
        situation = a_situation(results=tuple(results), candidates_affordable=count, machine=machine())
        return [one.candidate for one in planner.propose(situation)]

    return raced(world, propose)


def raced(world: World, propose: Callable[[Sequence[CandidateResult], int], list[Candidate]]) -> Candidate:
    """The leader of a race over all sets."""
    candidates = {one.key: one for one in propose((), 6)}
    race = Race(list(candidates), goal="min", rng=world.rng)
    while True:
        while (opened := race.next_round()) is not None:
            drawn = {key: world.rng.gauss(0.0, NOISE) for key in opened.order}
            gains = {key: 0.0 if key == BASELINE else world.gain(candidates[key]) for key in opened.order}
            race.record({key: math.exp(drawn[key] - gains[key]) for key in opened.order})
        results = [
            result(candidates[one.key], one.verdict, speedup=one.interval) for one in race.standings() if one.interval
        ]
        more = propose(results, TRIALS - len(candidates)) if len(candidates) < TRIALS else []
        fresh = {one.key: one for one in more if one.key not in candidates}
        if not fresh:
            break
        candidates.update(dict(list(fresh.items())[:6]))
        race.add(list(fresh)[:6])
    assert race.leader is not None
    return candidates[race.leader]


@cache
def gains(choose: Callable[[World], Candidate]) -> list[float]:
    """The true gains of the chosen settings, in percent, one for each machine."""
    found = [100 * (world := World(seed)).gain(choose(world)) for seed in range(SESSIONS)]
    print(f"{choose.__name__:22} {statistics.fmean(found):5.2f} of {100 * BEST:.1f} %")
    return found


def ahead(one: Callable[[World], Candidate], other: Callable[[World], Candidate]) -> float:
    """How far the one is ahead of the other on the same machines, in standard errors."""
    differences = [mine - theirs for mine, theirs in zip(gains(one), gains(other), strict=True)]
    return statistics.fmean(differences) * math.sqrt(SESSIONS) / statistics.stdev(differences)


def test_a_search_finds_better_settings_than_chance() -> None:
    assert ahead(by_search, by_chance) > 3


def test_it_does_so_too_where_a_race_judges_both() -> None:
    assert ahead(by_search, by_chance_and_race) > 1.5


def test_what_past_sessions_found_best_helps() -> None:
    assert ahead(by_search_from_known, by_search) > 3
    assert ahead(by_search_from_known, by_chance_and_race) > 3


def test_the_model_finds_no_worse_settings_than_chance_by_single_runs() -> None:
    assert ahead(by_model, by_chance) > 0
