# SPDX-License-Identifier: MIT
"""The slow tail of a candidate's runs: rare stalls that its typical run does not show. Pure."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, field

STALL = 1.25
"""A run is a stall when it takes so many times the median."""


def unseen_one_in(runs: int) -> int:
    """Return in one of how many runs stalls are too rare to have shown: with a probability of 95 %, what did not occur
    in n runs occurs in fewer than 3 of n (Hanley and Lippman-Hand, "If nothing goes wrong, is everything all right?",
    JAMA 249, 1983)."""
    return max(1, runs // 3)


@dataclass
class Tail:
    """Costs (run times, or time per work) of a candidate: beside EEVDF's in the same round, and of runs alone."""

    compared: list[tuple[float, float]] = field(default_factory=list)
    """EEVDF's and the candidate's, round by round."""
    alone: list[float] = field(default_factory=list)
    rivals: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    """The same as `compared` for further baselines, by their keys; their rounds are among those."""

    @property
    def costs(self) -> list[float]:
        return [own for _, own in self.compared] + self.alone

    @property
    def runs(self) -> int:
        return len(self.compared) + len(self.alone)

    @property
    def slowest(self) -> float:
        """The slowest run over the median."""
        return max(self.costs) / statistics.median(self.costs)

    @property
    def stalls(self) -> int:
        limit = STALL * statistics.median(self.costs)
        return sum(cost > limit for cost in self.costs)

    @property
    def mean_is_better(self) -> bool:
        """Whether the candidate's mean is below EEVDF's, with one stall more than was seen where there was any: few
        runs show too few of rare stalls more often than too many. Of its other runs only those beside EEVDF's count:
        the machine may have changed since."""
        return all(self._is_better(pairs) for pairs in (self.compared, *self.rivals.values()) if pairs)

    def _is_better(self, pairs: list[tuple[float, float]]) -> bool:
        limit = STALL * statistics.median(self.costs)
        eevdf = statistics.fmean(eevdf for eevdf, _ in pairs)
        usual = statistics.fmean([own for _, own in pairs if own <= limit] or [limit])
        extra = [cost - usual for cost in self.costs if cost > limit]
        return usual + (math.fsum(extra) + max(extra, default=0.0)) / self.runs < eevdf

    @property
    def problem(self) -> str:
        """Why a candidate whose typical run is faster is no winner."""
        return f"stalls: {self.stalls} of {self.runs} runs took far longer, so its mean is not better than EEVDF's"
