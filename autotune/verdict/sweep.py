# SPDX-License-Identifier: MIT
"""Choice of the baseline where the workload has parameters: EEVDF at all their values, in interleaved rounds. Pure.

What may be claimed of a scheduler at some value is that it beats EEVDF at EEVDF's *best* value: otherwise a table
flatters a scheduler that only made up for a bad `make -j`. Which value is the best is not known, only measured:

- *Best.* The value with the lowest mean is the baseline of the race.
- *Rivals.* All other values that were not shown to be worse may truly be the best. The confirmation runs EEVDF at each
  of them too, and a winner must beat every one (`verdict.confirm`). So a baseline that was chosen by few runs, and by
  bad luck, is never what makes a winner: neither a value that is better than the chosen one, under a scheduler that
  changes nothing, nor a scheduler that is better at the chosen value and still behind EEVDF at another.
- *Left out.* Values shown to be worse than some other. The truly best one is left out by mistake with a risk of at most
  `ALPHA_OF_VALUES`, whatever the number of values: each comparison at each look has an even share (Bonferroni). This
  is taken from the session's alpha, so that false winners stay within it. A scheduler at a value that was left out
  needs no comparison there: EEVDF at that value is slower than one that it must beat.

The choice itself is neutral. The rounds that made it are never part of a candidate's pairs.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence

from autotune.frozen import dataclass
from autotune.records import Goal, Interval, Verdict
from autotune.verdict.confirm import Estimate, Scatter
from autotune.verdict.stats import SAME_MARGIN, excludes_one, verdict

ALPHA_OF_VALUES = 0.01
"""Risk that the best value is left out: a fifth of the session's."""

LOOKS = 2
"""Looks at the values: after the first rounds, and after as many again of those that are left."""


@dataclass(frozen=True)
class ValuePlace:
    """A value's place: `interval` is its speed over the best one's, below 1 when it is worse. None for the best."""

    key: str
    interval: Interval | None
    verdict: Verdict | None
    """None for the best."""
    against: str
    rounds: tuple[int, ...]
    """Rounds that both ran."""


class Sweep:
    """The rounds of EEVDF at each value. Keys are in the order of the values; `rounds` are those before each look."""

    def __init__(self, keys: Sequence[str], *, goal: Goal, rng: random.Random, rounds: int) -> None:
        self._goal = goal
        self._rng = rng
        self._left = list(keys)
        self._rounds = rounds
        self._run = 0
        self._costs: dict[str, dict[int, float]] = {key: {} for key in keys}
        comparisons = max(1, len(keys) - 1)
        self._level = ALPHA_OF_VALUES / (comparisons * LOOKS)

    @property
    def keys(self) -> tuple[str, ...]:
        """All values, in their order."""
        return tuple(self._costs)

    @property
    def rounds(self) -> int:
        """Rounds so far."""
        return self._run

    @property
    def looked(self) -> bool:
        """True when all values have run in the first rounds: the race may begin, with more rivals than with a second
        look."""
        return self._run >= self._rounds

    def next_round(self) -> tuple[str, ...]:
        """Return the values that run next, in random order; none when the sweep is over."""
        if self._run >= self._rounds * (LOOKS if len(self._left) > 1 else 1):
            return ()
        order = list(self._left)
        if len(order) > 1:
            self._rng.shuffle(order)
        return tuple(order)

    def record(self, values: Mapping[str, float]) -> None:
        """Record a round: a value above 0 of each key that ran."""
        self._run += 1
        for key, value in values.items():
            self._costs[key][self._run] = math.log(value) if self._goal == "min" else -math.log(value)
        if self._run % self._rounds == 0:
            self._look()

    def _look(self) -> None:
        """Leave out the values that are shown to be worse than another."""
        left = [key for key in self._left if not any(self._is_worse(key, other) for other in self._left)]
        self._left = left or self._left

    def _is_worse(self, key: str, other: str) -> bool:
        interval = self._interval(key, other) if key != other else None
        return interval is not None and excludes_one(interval) == "slower"

    # --- what is known ---

    @property
    def best(self) -> str:
        """The value at which EEVDF does best, as far as is known."""
        return min(self._left, key=self._mean)

    @property
    def rivals(self) -> tuple[str, ...]:
        """Other values that may be the best, best first."""
        return self.ranked[1 : len(self._left)]

    @property
    def ranked(self) -> tuple[str, ...]:
        """All values, best first; those that were left out come last."""
        left = sorted(self._left, key=self._mean)
        out = (key for key in self._costs if key not in self._left)
        return (*left, *sorted(out, key=self._mean))

    def places(self) -> list[ValuePlace]:
        """Return the places of all values, best first."""
        return [self._place(key) for key in self.ranked]

    def _place(self, key: str) -> ValuePlace:
        rounds = tuple(number for number in self._costs[key] if number in self._costs[self.best])
        if key == self.best:
            return ValuePlace(key, None, None, key, rounds)
        interval = self._interval(key, self.best)
        return ValuePlace(key, interval, verdict(interval, SAME_MARGIN), self.best, rounds)

    def _mean(self, key: str) -> float:
        costs = self._costs[key].values()
        return math.fsum(costs) / len(costs) if costs else math.inf

    def _pairs(self, key: str, other: str) -> list[float]:
        """Logarithms of the speed of one value over another's, round by round."""
        own, others = self._costs[key], self._costs[other]
        return [others[number] - own[number] for number in own if number in others]

    def _interval(self, key: str, other: str) -> Interval | None:
        """Return the interval of one value's speed over another's. As in the race, all values lend a little of their
        noise."""
        scatters = (Scatter.of(self._pairs(one, other)) for one in self._costs if one != other)
        estimate = Estimate.of(self._pairs(key, other), sum(scatters, Scatter()).lent())
        return estimate.interval(self._level) if estimate is not None else None
