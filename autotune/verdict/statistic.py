# SPDX-License-Identifier: MIT
"""Statistics of the runs that may be judged instead of the typical run: the mean, or a percentile. Pure.

A percentile counts from the best run to the worst: nine of ten runs are at least as good as the p90, whichever the goal
of the metric.

- *Estimate.* Percentiles are those of Harrell and Davis, "A new distribution-free quantile estimator" (Biometrika 69,
  1982): a weighted mean of all sorted values, which jumps less between resamples than a single one. What is judged is
  the logarithm of EEVDF's statistic over the candidate's.
- *Noise.* Its standard error is that of a bootstrap that draws whole pairs, so that drift of the machine hits both
  alike (Efron and Tibshirani, An Introduction to the Bootstrap, chapters 6 and 8). It is drawn by the session's seed.
  Nothing is lent from the race: its few runs say nothing about a tail.
- *Degrees of freedom.* A percentile rests on the runs around it. With k = n (1 - p) runs beyond it, a t of 2k - 1
  degrees is used, and no look comes before `TAIL_PAIRS` runs lie beyond it. With n - 1 degrees, and looks from 10 pairs
  on, a p90 wins falsely in up to 12 of 100 confirmations where 2.5 are allowed. This way it does so in at most 4, in
  the worst case (one run in ten stalls, just where the p90 lies), and mostly in fewer than 2
  (tests/integration/test_race_simulation.py).
- *Price.* With six candidates, a gain of 5 % at 2 % noise takes the mean and the median about 40 runs, a p75 45 and a
  p90 67, where the typical run takes 36.
"""

from __future__ import annotations

import functools
import math
import operator
import random
from collections.abc import Sequence
from statistics import NormalDist

from autotune.frozen import dataclass
from autotune.records import Goal
from autotune.verdict.confirm import MOST_PAIRS, Estimate, Scatter

RESAMPLES = 300
TAIL_PAIRS = 2
"""Runs beyond a percentile before the first look."""
LEAST_PAIRS = 10
"""A bootstrap of fewer says little."""

_GRID = 4000
"""Steps of the integral behind the weights."""
_COVERS_TAIL = 0.75


@dataclass(frozen=True)
class Statistic:
    """The mean (`share` is None), or the percentile below which a `share` of the runs lies."""

    name: str
    share: float | None = None

    @classmethod
    def named(cls, name: str) -> Statistic | None:
        """Return the statistic of a setting: `mean`, `median`, `p50` to `p99`; None for `typical`. Raises ValueError
        for anything else."""
        if name == "typical":
            return None
        if name in ("mean", "median"):
            return cls(name, None if name == "mean" else 0.5)
        if len(name) == 3 and name[0] == "p" and name[1:].isdecimal() and int(name[1:]) >= 50:
            return cls(name, int(name[1:]) / 100.0)
        raise ValueError(f"{name!r} is not one of typical, mean, median, p50 to p99")

    @property
    def least_pairs(self) -> int:
        """Pairs before the first look."""
        if self.share is None:
            return LEAST_PAIRS
        return max(LEAST_PAIRS, math.ceil(round(TAIL_PAIRS / (1.0 - self.share), 6)))

    @property
    def most_pairs(self) -> int:
        """Most pairs of a confirmation."""
        return max(MOST_PAIRS, 2 * self.least_pairs)

    @property
    def covers_tail(self) -> bool:
        """Whether rare slow runs show in it."""
        return self.share is None or self.share >= _COVERS_TAIL

    @property
    def noise_factor(self) -> float:
        """How much more it scatters than a mean, for normal noise."""
        if self.share is None:
            return 1.0
        normal = NormalDist()
        return math.sqrt(self.share * (1.0 - self.share)) / normal.pdf(normal.inv_cdf(self.share))

    def of(self, values: Sequence[float], goal: Goal) -> float | None:
        """Return the statistic of some values above 0; None without any."""
        if not values:
            return None
        if self.share is None:
            return math.fsum(values) / len(values)
        weights = _weights(len(values), self.share)
        if goal == "max":  # the worst are the smallest
            return 1.0 / math.fsum(map(operator.mul, weights, sorted(1.0 / value for value in values)))
        return math.fsum(map(operator.mul, weights, sorted(values)))

    def estimate(self, pairs: Sequence[tuple[float, float]], goal: Goal, seed: int) -> Estimate | None:
        """Return the logarithm of the speedup by this statistic, with its standard error. `pairs` are EEVDF's value and
        the candidate's, round by round. None with fewer than `least_pairs`."""
        count = len(pairs)
        if count < self.least_pairs:
            return None
        eevdf, own = zip(*random.Random(seed).choices(pairs, k=count * RESAMPLES), strict=True)
        starts = range(0, count * RESAMPLES, count)
        resamples = [self._gain(eevdf[at : at + count], own[at : at + count], goal) for at in starts]
        # Resamples scatter a little too little.
        error = math.sqrt(Scatter.of(resamples).squares / (RESAMPLES - 1) * count / (count - 1))
        eevdf, own = zip(*pairs, strict=True)
        return Estimate(self._gain(eevdf, own, goal), error, self._df(count))

    def _gain(self, eevdf_values: Sequence[float], own_values: Sequence[float], goal: Goal) -> float:
        eevdf, own = self.of(eevdf_values, goal), self.of(own_values, goal)
        assert eevdf is not None  # there are pairs
        assert own is not None
        gain = math.log(eevdf / own)
        return gain if goal == "min" else -gain

    def _df(self, count: int) -> int:
        if self.share is None:
            return count - 1
        return max(1, min(count - 1, round(2 * count * (1.0 - self.share)) - 1))


@functools.lru_cache(maxsize=1024)
def _weights(count: int, share: float) -> tuple[float, ...]:
    """Return the weights of Harrell and Davis: the beta distribution's probability of each count-th of 0 to 1."""
    first, second = (count + 1) * share, (count + 1) * (1.0 - share)
    scale = math.lgamma(first) + math.lgamma(second) - math.lgamma(first + second)
    weights = [0.0] * count
    for step in range(_GRID):
        at = (step + 0.5) / _GRID
        density = (first - 1.0) * math.log(at) + (second - 1.0) * math.log1p(-at) - scale
        weights[min(count - 1, int(at * count))] += math.exp(density)
    total = math.fsum(weights)
    return tuple(weight / total for weight in weights)
