# SPDX-License-Identifier: MIT
"""Confirms candidates one after the other: with what risk each, and over how many fresh pairs. Pure."""

from __future__ import annotations

import functools
import math

from autotune.records import Goal
from autotune.verdict.confirm import (
    FIRST_LOOK_PAIRS,
    LEAST_PAIRS,
    MOST_PAIRS,
    Confirmation,
    Estimate,
    Judge,
    Scatter,
    Values,
    pairs_to_show,
)
from autotune.verdict.entrant import Entrant
from autotune.verdict.statistic import Statistic

BARELY_BEHIND = 0.5
"""Standard errors by which the race may show a candidate below 1 that is confirmed all the same. Where one of six gains
2 % at 2 % noise, that finds it in 67 sessions of 100 instead of 64; where all six lose 3 %, it costs 5 runs."""

_COST_OF_LOOKS = 1.25
"""How many times the textbook's pairs a least gain gets: several looks, and noise that is only estimated, cost some."""

_ESTIMATES_KEPT = 16
"""A bootstrap takes some 10 ms, and the same values are asked about at the look, for the interval and by each view."""


class Leaders:
    """The leaders of one race, which are confirmed one at a time. `alpha` is the risk of all together; `least_log` the
    logarithm of the least gain that is wanted, 0 for any; `statistic` what is judged, None for the typical run; `seed`
    that of its resampling."""

    def __init__(self, alpha: float, *, goal: Goal, least_log: float, statistic: Statistic | None, seed: int) -> None:
        self.alpha = self.alpha_left = alpha
        self.pairs_left = 0
        self.current: Confirmation | None = None
        """The one that runs, or that has decided; None before the first, and where nobody may gain."""
        self._goal = goal
        self._least_log = least_log
        self._statistic = statistic
        self._seed = seed

    @property
    def least_pairs(self) -> int:
        """Fewest pairs of a confirmation."""
        return LEAST_PAIRS if self._statistic is None else self._statistic.least_pairs

    @property
    def runs(self) -> bool:
        """True while a candidate runs its fresh pairs."""
        return self.current is not None and self.current.outcome is None

    def begin(self, pairs: int, best: Entrant | None, shared: Scatter) -> None:
        """Begin with the best, over `pairs` in all; `shared` is the race's scatter. Raises ValueError for too few."""
        if pairs < self.least_pairs:
            raise ValueError(f"no confirmation with {pairs} pairs")
        self.pairs_left = pairs
        self._confirm(best, self.alpha / 2, shared)

    def go_on(self, best: Entrant | None, shared: Scatter) -> None:
        """Go on with the best of those that are left, with half the alpha of the one before; with all of it where that
        failed before its first look."""
        assert self.current is not None
        self._confirm(best, self.current.alpha / 2 if self.current.looked else self.current.alpha, shared)

    def _confirm(self, best: Entrant | None, alpha: float, shared: Scatter) -> None:
        """Begin to confirm a candidate, where it may gain and pairs are left. Without one, the confirmation that has
        ended stays: it is the one that is shown."""
        if best is None or self.pairs_left < self.least_pairs or not self._may_gain(best, shared):
            self.current = self.current if self.current is not None and self.current.outcome is not None else None
            return
        self.alpha_left = min(self.alpha_left, alpha)  # each gets half of what is left, so as much is left again
        self.current = best.confirmation = Confirmation(
            best.key,
            alpha,
            min(self.pairs_left, self._pairs_worth_running(alpha, shared)),
            Scatter.of(best.pairs.values()) + shared.lent(),
            least_log=self._least_log,
            judge=self._judge(),
            first_look=FIRST_LOOK_PAIRS if self._statistic is None else self.least_pairs,
        )

    def _may_gain(self, entrant: Entrant, shared: Scatter) -> bool:
        """Return whether a candidate is worth its pairs, as far as the race tells: of another statistic than the
        typical run it tells nothing."""
        if self._statistic is not None or entrant.estimate > 0.0:
            return True
        noise = shared.deviation
        return noise is not None and entrant.estimate > -BARELY_BEHIND * noise / math.sqrt(len(entrant.pairs))

    def _pairs_worth_running(self, alpha: float, shared: Scatter) -> int:
        """Return how many pairs would show the least gain that is wanted, as far as the race tells the noise: of
        another statistic than the typical run it tells nothing."""
        if self._statistic is not None:
            return self._statistic.most_pairs
        if not self._least_log or shared.deviation is None:
            return MOST_PAIRS
        return min(MOST_PAIRS, math.ceil(_COST_OF_LOOKS * pairs_to_show(self._least_log, shared.deviation, alpha)))

    def _judge(self) -> Judge | None:
        """Return what estimates a speedup by the statistic; None for the typical run."""
        judged, goal, seed = self._statistic, self._goal, self._seed
        if judged is None:
            return None

        @functools.lru_cache(maxsize=_ESTIMATES_KEPT)
        def estimate(values: tuple[Values, ...]) -> Estimate | None:
            return judged.estimate(values, goal, seed)

        return lambda values: estimate(tuple(values))
