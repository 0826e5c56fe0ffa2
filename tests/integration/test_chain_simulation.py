# SPDX-License-Identifier: MIT
"""What `--continue` promises, shown over thousands of simulated chains with fixed seeds: a session and up to five
continuations declare a false winner in at most 5 of 100 chains in all, and find more than the session alone.

Each test runs over a few chains always, and over many when slow tests run; `-s` prints the numbers.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pytest

from autotune.records import BASELINE
from autotune.verdict.chain import Remainder
from autotune.verdict.race import ALPHA, Race

MANY, FEW = 1000, 100
CONTINUATIONS = 5
EQUAL = dict.fromkeys("abcdef", 1.0)
ONE_BETTER = EQUAL | {"d": 1.02}
NOISE = 0.02
FIRST_BASELINE_RUNS, LATER_BASELINE_RUNS = 3, 4
"""A continuation begins with a warm-up and the baseline, as every session does."""

Noise = Callable[["Chain"], float]
"""Logarithm of what noise does to one run."""


def normal(chain: Chain) -> float:
    return chain.rng.gauss(0.0, NOISE)


def heavy_tail(chain: Chain) -> float:
    """Log-normal, with a skewness of 6, centred and scaled."""
    return NOISE * (chain.rng.lognormvariate(0.0, 1.0) - 1.6487) / 2.1612


def drift(chain: Chain) -> float:
    """Slower and slower within a session, and each session begins where it likes."""
    return normal(chain) + 0.05 * chain.runs / 60 + chain.level


SHAPES: Mapping[str, Noise] = {"normal": normal, "heavy tail": heavy_tail, "drift": drift}

Cut = Callable[["Chain", Race], bool]
"""Whether somebody ends the session now."""


def never(_chain: Chain, _race: Race) -> bool:
    return False


def when_it_looks_bad(chain: Chain, race: Race) -> bool:
    """As a user would who watches the runs of a confirmation, and presses Ctrl-C once the leader falls behind."""
    del chain
    standing = race.shown_leader if race.confirming else None
    confirmation = race._confirmation
    if standing is None or confirmation is None or len(confirmation.pairs) < 2:
        return False
    return sum(confirmation.pairs.values()) < 0.0


@dataclass
class Chain:
    """Sessions one after another, each driven as the tuner drives a real one."""

    speedups: Mapping[str, float]
    shape: str
    seed: int
    first_runs: int = 45
    later_runs: int = 40
    cut: Cut = never
    runs: int = 0
    level: float = 0.0
    won_in: int | None = None
    """Number of the session that was won; 0 is the first."""
    winner: str | None = None
    alphas: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)

    def play(self) -> Chain:
        race = self._race(list(self.speedups), ALPHA)
        self.runs = FIRST_BASELINE_RUNS
        reserved = (self.first_runs - self.runs) // 2
        while not race.set_finished and self.first_runs - self.runs >= race.racing + 1 + reserved:
            self._round(race)
        self._confirm(race, self.first_runs)
        for number in range(CONTINUATIONS + 1):
            if race.winner is not None:
                self.won_in, self.winner = number, race.winner
            left = race.remainder()
            self.alphas.append(left.alpha)
            if number == CONTINUATIONS or self.winner is not None or not left.carried:
                break
            race = self._continued(left)
        return self

    def _continued(self, left: Remainder) -> Race:
        race = self._race([one.key for one in left.carried], left.alpha)
        race.take_up(left)
        self.level = self.rng.uniform(-0.2, 0.2)
        self.runs = LATER_BASELINE_RUNS
        self._confirm(race, self.later_runs)
        return race

    def _race(self, keys: list[str], alpha: float) -> Race:
        return Race(keys, goal="min", rng=random.Random(self.seed + 1), alpha=alpha)

    def _confirm(self, race: Race, most: int) -> None:
        race.begin_confirm((most - self.runs) // 2)
        while self.runs < most and not race.done and not self.cut(self, race):
            self._round(race)

    def _round(self, race: Race) -> None:
        opened = race.next_round()
        if opened is not None:
            race.record({key: self._wall_s(key) for key in opened.order})

    def _wall_s(self, key: str) -> float:
        self.runs += 1
        speedup = 1.0 if key == BASELINE else self.speedups[key]
        return 10.0 * math.exp(SHAPES[self.shape](self)) / speedup


many_or_few = pytest.mark.parametrize(
    "chains",
    [pytest.param(FEW, marks=pytest.mark.few, id="few"), pytest.param(MANY, marks=pytest.mark.slow, id="many")],
)


def allowed(share: float, chains: int) -> float:
    """The promised share, and three standard errors of what so many chains show of it."""
    return share + 3 * math.sqrt(share * (1 - share) / chains)


def share_won(chains: list[Chain], title: str) -> float:
    by_session = [sum(one.won_in == number for one in chains) for number in range(CONTINUATIONS + 1)]
    print(f"\n{title}, {len(chains)} chains: won in session 1 to {CONTINUATIONS + 1}: {by_session}")
    return sum(by_session) / len(chains)


@pytest.mark.first
@many_or_few
@pytest.mark.parametrize(("shape", "cut"), [*((shape, never) for shape in SHAPES), ("normal", when_it_looks_bad)])
def test_a_chain_brings_forth_a_false_winner_in_at_most_5_of_100(shape: str, cut: Cut, chains: int) -> None:
    played = [Chain(EQUAL, shape, seed, cut=cut).play() for seed in range(500_000, 500_000 + chains)]
    won = share_won(played, f"six equal, {shape}, cut {cut.__name__}")
    assert won <= (ALPHA if chains == MANY else allowed(ALPHA, chains))


@pytest.mark.parametrize(
    ("shape", "chains"),
    [
        pytest.param("normal", FEW, marks=pytest.mark.few),
        *((shape, FEW) for shape in SHAPES if shape != "normal"),
        pytest.param("normal", MANY, marks=pytest.mark.slow),
    ],
)
def test_continuing_finds_a_true_gain_more_often_than_the_first_session_alone(shape: str, chains: int) -> None:
    played = [Chain(ONE_BETTER, shape, seed).play() for seed in range(210_000, 210_000 + chains)]
    share_won(played, f"2 % gain, 2 % noise, {shape}")
    in_all = sum(one.winner == "d" for one in played) / chains
    first = sum(one.winner == "d" and one.won_in == 0 for one in played) / chains
    assert in_all >= first + 0.15
    assert sum(one.winner not in ("d", None) for one in played) / chains <= ALPHA


def test_no_confirmation_of_a_chain_gets_alpha_that_another_was_given() -> None:
    for seed in range(220_000, 220_000 + FEW):
        left = Chain(EQUAL, "normal", seed, cut=when_it_looks_bad).play().alphas
        assert all(after <= before / 2 for before, after in itertools.pairwise(left))
        assert left[0] <= ALPHA
