# SPDX-License-Identifier: MIT
"""The confirmation of one candidate: fresh pairs, and looks at them that are fixed beforehand. Pure.

The noise is moderated: beside its own pairs' scatter, an interval uses that of the candidate's pairs in the race, and a
little of what all candidates' pairs share (Smyth, "Linear models and empirical Bayes methods", SAGMB 3, 2004, with a
fixed weight). The mean is that of the fresh pairs alone.

Where several baselines may be the best (rivals: EEVDF with other values of the workload's parameters), a win needs that
the candidate is shown to be better than each of them, all at the same level. That is no more risk than with one, since
a false win must at least be a false one over the best of them: an intersection-union test (Berger, "Multiparameter
hypothesis testing and acceptance sampling", Technometrics 24, 1982).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Literal, TypeAlias

from autotune import frozen
from autotune.records import Interval
from autotune.verdict.levels import levels
from autotune.verdict.stats import excludes_one, interval_of, student_t_quantile

LEAST_PAIRS = 2
"""A single pair has no interval."""

FIRST_LOOK_PAIRS = 4
"""Pairs before the first look, where more are planned: fewer see neither noise nor stalls."""

MOST_PAIRS = 40
"""Most pairs of a confirmation. In simulation, more hardly find more."""

SHARED_DF = 4
"""Degrees of freedom that the scatter of all candidates may lend to one. With 12, a candidate whose noise is three
times the others' would win falsely more often than promised."""

TOO_SMALL_LEVEL = 0.05
"""One-sided level at which a gain is shown to be less than what is wanted. It claims nothing."""

GIVING_UP = ((0.25, 0.0), (0.5, 0.5), (0.75, 1.0))
"""From each of these shares of the pairs on, a leader is given up unless it is more than so many standard errors above
1."""


@frozen.dataclass(frozen=True)
class Scatter:
    """Squares of logarithms of speedups around their means, and their degrees of freedom."""

    squares: float = 0.0
    df: int = 0

    @classmethod
    def of(cls, values: Iterable[float]) -> Scatter:
        """Scatter around the mean of the values."""
        known = list(values)
        if len(known) < 2:
            return cls()
        mean = math.fsum(known) / len(known)
        return cls(math.fsum((value - mean) ** 2 for value in known), len(known) - 1)

    def __add__(self, other: Scatter) -> Scatter:
        return Scatter(self.squares + other.squares, self.df + other.df)

    def lent(self) -> Scatter:
        """Return the same variance with at most `SHARED_DF` degrees of freedom."""
        df = min(self.df, SHARED_DF)
        return Scatter(self.squares / self.df * df, df) if self.df else self

    @property
    def deviation(self) -> float | None:
        """Standard deviation of a pair; None without degrees of freedom."""
        return math.sqrt(self.squares / self.df) if self.df else None


@frozen.dataclass(frozen=True)
class Estimate:
    """Mean logarithm of the speedup with its standard error, which has `df` degrees of freedom."""

    mean: float
    error: float
    df: int

    @classmethod
    def of(cls, pairs: Sequence[float], lent: Scatter) -> Estimate | None:
        """Return the estimate from the pairs, with the noise that `lent` adds; None with fewer than two pairs."""
        if len(pairs) < 2:
            return None
        scatter = Scatter.of(pairs) + lent
        return cls(math.fsum(pairs) / len(pairs), math.sqrt(scatter.squares / scatter.df / len(pairs)), scatter.df)

    def half_width(self, level: float) -> float:
        """Return how far the two-sided interval whose each side has the risk `level` reaches from the mean."""
        return self.error * student_t_quantile(1.0 - level, self.df)

    def interval(self, level: float) -> Interval:
        """Return that interval, of the speedup."""
        return interval_of(self.mean, self.half_width(level), 1.0 - 2 * level)


@frozen.dataclass(frozen=True)
class PlannedLook:
    """A look at the pairs: after how many, its one-sided level, and how many standard errors above 1 the mean must be
    for the confirmation to go on."""

    pairs: int
    level: float
    least_errors: float


def looks(pairs: int, alpha: float, first: int = FIRST_LOOK_PAIRS) -> tuple[PlannedLook, ...]:
    """Return the looks of a confirmation of at most `pairs` pairs, which may risk `alpha` on its one side: after a
    quarter, half, three quarters and all, none before the `first`, and one there for clear cases. Raises ValueError for
    fewer than two pairs."""
    if pairs < LEAST_PAIRS:
        raise ValueError(f"no confirmation with {pairs} pairs")
    first = min(first, pairs)
    places = sorted({first, *(max(first, math.ceil(pairs * quarter / 4)) for quarter in (1, 2, 3, 4))})
    strictness = levels(tuple(place / pairs for place in places), alpha)
    return tuple(
        PlannedLook(place, level, _least_errors(place / pairs)) for place, level in zip(places, strictness, strict=True)
    )


def _least_errors(share: float) -> float:
    """Return what a look must show to go on. Before a quarter of the pairs only a clear loss ends it."""
    reached = [errors for from_share, errors in GIVING_UP if share >= from_share]
    return reached[-1] if reached else -1.0


Values: TypeAlias = tuple[float, float]
"""EEVDF's value and the candidate's in one round."""
Judge: TypeAlias = Callable[[Sequence[Values]], "Estimate | None"]


@dataclass
class Confirmation:
    """Fresh pairs of the one candidate that may win, of which at most `most_pairs` are run. Risks `alpha` (one-sided).
    `lent` is the noise known from the race."""

    key: str
    alpha: float
    most_pairs: int
    lent: Scatter = field(default_factory=Scatter)
    pairs: dict[int, float] = field(default_factory=dict)
    """Logarithms of speedups, by round."""
    rivals: dict[str, dict[int, float]] = field(default_factory=dict)
    """The same over each further baseline, by its key."""
    least_log: float = 0.0
    """Logarithm of the least gain that is wanted; a leader that does not reach it is given up."""
    judge: Judge | None = None
    """Estimates from values instead of `pairs` (`verdict.statistic`); None: the typical run is judged."""
    first_look: int = FIRST_LOOK_PAIRS
    values: dict[str | None, list[Values]] = field(default_factory=dict)
    """Values over each baseline, the first under None."""
    looked: int = 0
    """Looks so far."""
    outcome: Literal["won", "lost"] | None = None

    def __post_init__(self) -> None:
        self.looks = looks(self.most_pairs, self.alpha, self.first_look)

    @property
    def level(self) -> float:
        """One-sided level of the last look; before it, of the first."""
        return self.looks[max(0, self.looked - 1)].level

    @property
    def pairs_left(self) -> int:
        return self.most_pairs - len(self.pairs)

    @property
    def against(self) -> str | None:
        """Key of the rival that the candidate is least shown to beat; None for the baseline itself, as without
        rivals."""
        lows = {key: estimate.interval(self.level).low for key, estimate in self._estimates().items()}
        return min(lows, key=lambda key: lows[key], default=None)

    def interval(self) -> Interval | None:
        """Return the interval that the last look used, over the baseline that the candidate is least shown to beat: it
        excludes 1 if and only if all do. None with fewer than two pairs."""
        estimate = self._estimates().get(self.against)
        return estimate.interval(self.level) if estimate is not None else None

    def add(
        self,
        number: int,
        pair: float,
        rivals: Mapping[str, float] | None = None,
        values: Mapping[str | None, Values] | None = None,
    ) -> None:
        """Add the pair of a round, those over the `rivals` and the values with it, and look where a look is due."""
        for baseline, both in (values or {}).items():
            self.values.setdefault(baseline, []).append(both)
        self.pairs[number] = pair
        for key, over in (rivals or {}).items():
            self.rivals.setdefault(key, {})[number] = over
        if self.outcome is None and len(self.pairs) == self.looks[self.looked].pairs:
            self.looked += 1
            self.outcome = self._look(self.looks[self.looked - 1])

    def _look(self, look: PlannedLook) -> Literal["won", "lost"] | None:
        estimates = self._estimates().values()  # no look comes before there are enough pairs
        assert estimates
        if all(excludes_one(one.interval(look.level)) == "faster" for one in estimates):
            return "won"
        hopeless = any(
            one.mean <= look.least_errors * one.error or one.mean + one.half_width(TOO_SMALL_LEVEL) < self.least_log
            for one in estimates
        )
        return "lost" if hopeless or self.looked == len(self.looks) else None

    def _estimates(self) -> dict[str | None, Estimate]:
        """Return the estimate over each baseline, the first under None; none with fewer than two pairs."""
        series: list[tuple[str | None, dict[int, float]]] = [(None, self.pairs), *self.rivals.items()]
        if self.judge is not None:
            found = {key: self.judge(self.values.get(key, ())) for key, _ in series}
        else:
            found = {key: Estimate.of(list(pairs.values()), self.lent) for key, pairs in series}
        return {key: estimate for key, estimate in found.items() if estimate is not None}


def detectable(noise: float, pairs: int, alpha: float = 0.025) -> float:
    """Return the gain (0.05 for 5 %) that a confirmation of `pairs` pairs, with the one-sided risk `alpha`, finds with
    a probability of 80 %, when each run has the relative standard deviation `noise`. For 0.025:

        exp((1.96 + 0.84) * noise * sqrt(2 / pairs)) - 1

    the textbook's sum of the normal quantiles of the risk and of the power (Cohen, Statistical Power Analysis for the
    Behavioral Sciences, chapter 2)."""
    return math.expm1(min(_power(alpha) * noise * math.sqrt(2.0 / pairs), 700.0))


def pairs_to_show(gain_log: float, pair_deviation: float, alpha: float = 0.025) -> int:
    """Return how many pairs show a true gain (its logarithm, above 0) with a probability of 80 %: the inverse of
    `detectable`, for the deviation of a pair and a one-sided risk of `alpha`."""
    return max(FIRST_LOOK_PAIRS, math.ceil(min(_power(alpha) * pair_deviation / gain_log, 1e6) ** 2))


def _power(alpha: float) -> float:
    return NormalDist().inv_cdf(1.0 - alpha) + 0.8416
