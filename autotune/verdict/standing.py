# SPDX-License-Identifier: MIT
"""Where a candidate stands in a race: what the table and the planners get."""

from __future__ import annotations

import math

from autotune.frozen import dataclass
from autotune.records import BASELINE, Interval, Verdict
from autotune.verdict.tail import Tail


@dataclass(frozen=True)
class Standing:
    """A candidate's standing. Its interval comes from its fresh rounds once its confirmation has ended, and from the
    race before that. It is None with fewer than two pairs."""

    key: str
    rounds: tuple[int, ...]
    """Rounds that the interval rests on: of the confirmation when `fresh`, else of the race."""
    fresh: bool
    """True when the interval comes from fresh rounds: its confirmation was won or lost, or was ended by the budget
    after a race of fewer than two pairs. The last claims nothing."""
    invalid: int
    """Invalid trials, race and confirmation together."""
    interval: Interval | None
    """The interval that the verdict rests on: `faster` or `slower` if and only if it excludes 1."""
    verdict: Verdict
    dropped: str | None
    """Reason why it was dropped; None while it races or rests."""
    confirmed: bool
    """True when it won its confirmation."""
    fresh_pairs: int = 0
    """Pairs of its confirmation, won, lost or still running."""
    tail: Tail | None = None
    """What its runs show of rare slow ones; None without a valid run."""

    against: str = BASELINE
    """Key of the baseline that the interval compares with: of several, the one that the candidate is least shown to
    beat."""

    @property
    def pairs(self) -> int:
        """Number of pairs that the interval rests on."""
        return len(self.rounds)

    @property
    def by_estimate(self) -> float:
        """Where it stands among others: the larger the better; those without an interval last."""
        return self.interval.estimate if self.interval is not None else -math.inf
