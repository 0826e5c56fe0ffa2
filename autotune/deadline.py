# SPDX-License-Identifier: MIT
"""The end of a session's budget, from which every wait of the session takes its limit. Standard library only.

Time spent waiting for a person's answer does not count.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Deadline:
    """A budget that runs from when this is created."""

    def __init__(self, budget_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.budget_s = budget_s
        self._clock = clock
        self._started = clock()
        self._paused_s = 0.0

    def spent_s(self) -> float:
        return self._clock() - self._started - self._paused_s

    def left_s(self) -> float:
        """Return what is left; less than 0 once it is over."""
        return self.budget_s - self.spent_s()

    @property
    def is_over(self) -> bool:
        return self.left_s() <= 0.0

    def bound(self, limit_s: float = math.inf, *, least_s: float = 0.0) -> float:
        """Return the limit of a wait: what is left, or `limit_s` if that is less. A wait that must end in order, such
        as detaching, gets `least_s` also when nothing is left."""
        return min(limit_s, max(self.left_s(), least_s))

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stop the clock for the block, in which a person is asked."""
        began = self._clock()
        try:
            yield
        finally:
            self._paused_s += self._clock() - began


def unlimited() -> Deadline:
    """Return a deadline that never comes, for work outside a session."""
    return Deadline(math.inf)
