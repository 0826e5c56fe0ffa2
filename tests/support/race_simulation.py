# SPDX-License-Identifier: MIT
"""Simulated sessions: worlds whose truth is known, driven as the tuner drives a real session; and the fixed design that
`scripts/bench` compares them with."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from autotune.records import BASELINE
from autotune.verdict import budget
from autotune.verdict.race import MAX_ROUNDS, Race
from autotune.verdict.statistic import Statistic

EQUAL = dict.fromkeys("abcdef", 1.0)
BASELINE_RUNS = 3

Noise = Callable[["Simulation", str], float]
"""Logarithm of what noise does to one run of a candidate."""


@dataclass(frozen=True)
class World:
    """What is true of the machine: how much faster each candidate is, and how the runs scatter."""

    speedups: Mapping[str, float]
    noise: float = 0.02
    """Relative standard deviation of a run."""
    shape: str = "normal"
    later: Sequence[Mapping[str, float]] = ()
    """Sets of candidates that the planner adds."""
    stalls: str | None = None
    """A candidate of which one run in ten takes twice as long."""
    min_effect: float = 0.0
    statistic: str = "typical"
    runs: int = 70
    """Runs that the budget has room for, the baseline's first ones among them."""


def normal(simulation: Simulation, _key: str) -> float:
    return simulation.rng.gauss(0.0, simulation.world.noise)


def heavy_tail(simulation: Simulation, _key: str) -> float:
    """Log-normal, with a skewness of 6, centred and scaled."""
    return simulation.world.noise * (simulation.rng.lognormvariate(0.0, 1.0) - 1.6487) / 2.1612


def bimodal(simulation: Simulation, _key: str) -> float:
    mode = 1.5275 if simulation.rng.random() < 0.3 else -0.6547
    return simulation.world.noise * (mode + simulation.rng.gauss(0.0, 0.1))


def autocorrelated(simulation: Simulation, _key: str) -> float:
    """AR(1) with 0.7 from run to run."""
    step = simulation.rng.gauss(0.0, simulation.world.noise * math.sqrt(1 - 0.49))
    simulation.level = 0.7 * simulation.level + step
    return simulation.level


def drift(simulation: Simulation, key: str) -> float:
    return normal(simulation, key) + 0.05 * simulation.runs / 60


def step(simulation: Simulation, key: str) -> float:
    return normal(simulation, key) + 0.05 * (simulation.runs > 25)


def outliers(simulation: Simulation, key: str) -> float:
    """One run in twenty takes 30 % longer."""
    return normal(simulation, key) + math.log(1.3) * (simulation.rng.random() < 0.05)


def cold_start(simulation: Simulation, key: str) -> float:
    """The first run of each scheduler takes 10 % longer."""
    return normal(simulation, key) + math.log(1.1) * (key not in simulation.seen)


def one_is_noisy(simulation: Simulation, key: str) -> float:
    return normal(simulation, key) * (3 if key == "a" else 1)


def baseline_is_noisy(simulation: Simulation, key: str) -> float:
    return normal(simulation, key) * (2 if key == BASELINE else 1)


def cpus_differ(simulation: Simulation, key: str) -> float:
    """Runs land on fast or slow CPUs, for minutes at a time."""
    if simulation.runs % 7 == 0:
        simulation.level = simulation.rng.choice((0.0, 0.04))
    return normal(simulation, key) + simulation.level


SHAPES: dict[str, Noise] = {
    "normal": normal,
    "heavy tail": heavy_tail,
    "bimodal": bimodal,
    "autocorrelated": autocorrelated,
    "drift": drift,
    "step": step,
    "outliers": outliers,
    "cold start": cold_start,
    "one is noisy": one_is_noisy,
    "baseline is noisy": baseline_is_noisy,
    "CPUs differ": cpus_differ,
}


@dataclass
class Tally:
    """How the sessions in one world ended."""

    sessions: int
    winners: list[str | None] = field(default_factory=list)
    verdict_runs: list[int] = field(default_factory=list)
    """Runs until the verdict; a winner's runs alone come after it."""
    runs: list[int] = field(default_factory=list)
    false_winners: int = 0
    false_claims: int = 0
    """Sessions whose table calls a candidate faster or slower that is neither."""

    def share_won_by(self, key: str) -> float:
        return self.winners.count(key) / self.sessions

    @property
    def share_won(self) -> float:
        return sum(winner is not None for winner in self.winners) / self.sessions

    @property
    def share_false(self) -> float:
        return self.false_winners / self.sessions

    @property
    def share_claimed_falsely(self) -> float:
        return self.false_claims / self.sessions

    def report(self, title: str) -> None:
        print(
            f"\n{title}, {self.sessions} sessions: a winner in {self.share_won:.1%}, a false one in"
            f" {self.share_false:.1%}, a false claim in any row in {self.share_claimed_falsely:.1%}; runs until the"
            f" verdict {statistics.fmean(self.verdict_runs):.1f}, in all {statistics.fmean(self.runs):.1f}"
        )


class Simulation:
    """One session in a world, driven as the tuner drives a real one."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.rng = random.Random(seed)
        self.speedups = {BASELINE: 1.0, **world.speedups}
        self.seen: set[str] = set()
        self.level = 0.0
        self.runs = 0
        self.verdict_runs: int | None = None
        self.race = Race(
            list(world.speedups),
            goal="min",
            rng=random.Random(-seed - 1),
            min_effect=world.min_effect,
            statistic=Statistic.named(world.statistic),
            baseline_values=[self.wall_s(BASELINE) for _ in range(BASELINE_RUNS)],
        )

    def play(self) -> None:
        judged = Statistic.named(self.world.statistic)
        most = budget.MOST_RESERVED_RUNS if judged is None else 2 * judged.most_pairs
        reserved = budget.reserve(self.world.runs - self.runs, most)
        self._race(reserved)
        for more in self.world.later:
            if not budget.more_candidates(self.world.runs - self.runs, MAX_ROUNDS, reserved):
                break
            self.speedups.update(more)
            self.race.add(list(more))
            self._race(reserved)
        pairs = (self.world.runs - self.runs) // 2
        if pairs >= self.race.least_pairs:
            self.race.begin_confirm(pairs)
            while self.runs < self.world.runs and self._round():
                pass

    def _race(self, reserved: int) -> None:
        while self.world.runs - self.runs >= self.race.racing + 1 + reserved and self._round():
            pass

    def _round(self) -> bool:
        opened = self.race.next_round()
        if opened is None:
            return False
        if opened.phase == "tail" and self.verdict_runs is None:
            self.verdict_runs = self.runs
        self.race.record({key: self.wall_s(key) for key in opened.order})
        return True

    def wall_s(self, key: str) -> float:
        self.runs += 1
        noise = SHAPES[self.world.shape](self, key)
        self.seen.add(key)
        stalled = key == self.world.stalls and self.rng.random() < 0.1
        return 10.0 * math.exp(noise) / self.speedups[key] * (2.0 if stalled else 1.0)

    def add_to(self, tally: Tally) -> None:
        winner = self.race.winner
        tally.winners.append(winner)
        tally.verdict_runs.append(self.verdict_runs or self.runs)
        tally.runs.append(self.runs)
        tally.false_winners += winner is not None and self.speedups[winner] <= 1.0
        verdicts = {standing.key: standing.verdict for standing in self.race.standings()}
        equal = (key for key, speedup in self.speedups.items() if speedup == 1.0 and key != BASELINE)
        tally.false_claims += any(verdicts.get(key) in ("faster", "slower") for key in equal)


def simulate(world: World, sessions: int, first_seed: int, title: str = "") -> Tally:
    """Play the sessions; with a title, print how they ended."""
    tally = Tally(sessions)
    for seed in range(first_seed, first_seed + sessions):
        simulation = Simulation(world, seed)
        simulation.play()
        simulation.add_to(tally)
    if title:
        tally.report(title)
    return tally


def one_better(gain: float) -> dict[str, float]:
    return EQUAL | {"d": 1.0 + gain}


# --- a fixed design ----------------------------------------------------------------------------------------

RUNS_EACH = 10


def fixed_design(world: World, seed: int) -> tuple[str, float]:
    """Run the baseline and every candidate `RUNS_EACH` times, in random order round by round. Return the best candidate
    and how many standard errors it is above the baseline, with the noise of all (Dunnett's statistic)."""
    simulation = Simulation(world, seed)
    keys = [BASELINE, *world.speedups]
    logs: dict[str, list[float]] = {key: [] for key in keys}
    for _ in range(RUNS_EACH):
        for key in simulation.rng.sample(keys, len(keys)):
            logs[key].append(math.log(simulation.wall_s(key)))
    variance = statistics.fmean(statistics.variance(values) for values in logs.values())
    means = {key: statistics.fmean(values) for key, values in logs.items()}
    best = min(world.speedups, key=lambda key: means[key])
    return best, (means[BASELINE] - means[best]) / math.sqrt(2 * variance / RUNS_EACH)


def critical(world: World, alpha: float, sessions: int) -> float:
    """Return what the statistic of a world of equals exceeds with the probability `alpha`."""
    found = sorted(fixed_design(world, seed)[1] for seed in range(-sessions, 0))
    return found[math.ceil((1 - alpha) * sessions) - 1]


def share_found_by_fixed_design(world: World, best: str, least: float, sessions: int, first_seed: int) -> float:
    """Return in which share of the sessions the fixed design calls the best candidate better."""
    seeds = range(first_seed, first_seed + sessions)
    ended = (fixed_design(world, seed) for seed in seeds)
    return sum(key == best and errors > least for key, errors in ended) / sessions
