# SPDX-License-Identifier: MIT
"""A candidate in the race: its pairs and costs, its invalid trials, its confirmation, and its slow tail. Pure.

The race (`verdict.race`) decides; here is what it knows of one candidate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from autotune.verdict.chain import Carried, shrunken
from autotune.verdict.confirm import Confirmation
from autotune.verdict.tail import Tail

INVALID_IN_A_ROW = 2
INVALID_IN_ALL = 3
"""Invalid trials, in a row or in all, after which a candidate (or the baseline) is dropped."""


@dataclass
class Reliability:
    """Counts the invalid trials of one key."""

    invalid: int = 0
    in_a_row: int = 0

    def count(self, valid: bool) -> None:
        self.invalid += not valid
        self.in_a_row = 0 if valid else self.in_a_row + 1

    @property
    def lost(self) -> bool:
        return self.in_a_row >= INVALID_IN_A_ROW or self.invalid >= INVALID_IN_ALL


@dataclass
class Entrant:
    """A candidate in the race. `pairs` are logarithms of speedups in the race, by round."""

    key: str
    alpha: float
    pairs: dict[int, float] = field(default_factory=dict)
    reliability: Reliability = field(default_factory=Reliability)
    failed: bool = False
    """Dropped for a failure, not for being behind: its times mean nothing."""
    dropped: str | None = None
    behind: str | None = None
    """Key of the candidate that it was dropped for being behind."""
    resting: bool = False
    tail: Tail = field(default_factory=Tail)
    joined_at: int = 0
    """Number of the last round of the race before it joined."""
    confirmation: Confirmation | None = None
    costs: dict[int, float] = field(default_factory=dict)
    """What is to be small (run times, or times per work), by round of the race."""
    carried: Carried | None = None
    """What sessions before this one know of it; None in the first of a chain."""

    @property
    def estimate(self) -> float:
        """Mean logarithm of the speedup, shrunk towards no difference."""
        return shrunken((*self.pairs.values(), *(self.carried.fresh if self.carried else ())))

    @property
    def racing(self) -> bool:
        return self.dropped is None and not self.resting

    @property
    def deviation(self) -> float | None:
        """Standard deviation of a pair whose mean is as noisy as its confirmation's estimate by another statistic than
        the typical run; None without one."""
        confirmation = self.confirmation
        if confirmation is None or confirmation.judge is None:
            return None
        estimate = confirmation.judge(confirmation.values.get(None, ()))
        return estimate.error * math.sqrt(len(confirmation.pairs)) if estimate else None

    def left_over(self) -> Carried:
        """Return what a race that continues this one may know of it."""
        before = self.carried.fresh if self.carried is not None else ()
        fresh = tuple(self.confirmation.pairs.values()) if self.confirmation is not None else ()
        tail = Tail(list(self.tail.compared), list(self.tail.alone))
        return Carried(self.key, tuple(self.pairs.values()), (*before, *fresh), tail)
