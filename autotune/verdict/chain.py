# SPDX-License-Identifier: MIT
"""What an undecided session leaves to the one that continues it, so that both keep one promise. Pure.

What always holds here:
- a chain of sessions (one, its continuation, the continuation of that, and so on) declares a false winner with a
  probability of `race.ALPHA` at most, however long it is and whatever ended each session;
- each confirmation gets half of the alpha of the one before it, in whichever session that was: 1/2, 1/4, 1/8 and so on
  of alpha, never more than alpha in all. A continuation begins where the session before stopped;
- alpha that was given to a confirmation is never handed on, though its looks may not have spent it all: not by one
  that was given up, since its data decided that, nor by one that the budget, Ctrl-C or a kill cut off. Slow runs are
  what uses up a budget, and a user who saw them presses Ctrl-C, so its data may have decided that too;
- a confirmation rests on pairs of its own. What earlier sessions measured chooses who is confirmed first, tells the
  noise, and shows slow runs; none of that can make a candidate win that its fresh pairs do not.

So a continuation needs nothing of the sessions before but `Carried`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import field, replace

from autotune.frozen import dataclass
from autotune.verdict.confirm import Scatter
from autotune.verdict.tail import Tail

RULE = 1
"""Version of the rule that shares alpha and judges. Raised with every change that a chain must not span: sessions that
were judged by another rule are not continued."""

PRIOR_PAIRS = 4
"""Weight of the expectation that a candidate makes no difference. In simulation, with 15 candidates and noise as large
as the gain, it finds 5 of 100 winners more."""


def shrunken(pairs: Iterable[float]) -> float:
    """Return the mean logarithm of the speedup, as if `PRIOR_PAIRS` more had shown no difference: the best of many by
    few pairs is often lucky. Minus infinity without a pair."""
    known = list(pairs)
    return math.fsum(known) / (len(known) + PRIOR_PAIRS) if known else -math.inf


@dataclass(frozen=True)
class Carried:
    """A candidate that may still be confirmed, with what is known of it."""

    key: str
    pairs: tuple[float, ...]
    """Logarithms of speedups in the race."""
    fresh: tuple[float, ...] = ()
    """The same of the pairs of its confirmations, which are over."""
    tail: Tail = field(default_factory=Tail)

    @property
    def estimate(self) -> float:
        return shrunken((*self.pairs, *self.fresh))


@dataclass(frozen=True)
class Remainder:
    """What a race leaves: alpha that no confirmation was given, the candidates that are ahead, best first, and the
    noise of the others' pairs."""

    alpha: float
    carried: tuple[Carried, ...]
    others: Scatter


def scaled(tail: Tail, factor: float) -> Tail:
    """Return the same runs in another unit: a machine may be faster today, which makes no run of today a stall."""
    return replace(
        tail,
        compared=[(eevdf * factor, own * factor) for eevdf, own in tail.compared],
        alone=[cost * factor for cost in tail.alone],
    )
