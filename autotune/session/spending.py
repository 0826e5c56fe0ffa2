# SPDX-License-Identifier: MIT
"""The time budget of a session, and how many runs still fit into it.

Costs are estimated from the trials so far, including prepare and switching schedulers.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TypeVar

from autotune.deadline import Deadline
from autotune.verdict import budget

LEAST_MARGIN, MOST_MARGIN = 0.01, 0.1
"""Margin of an estimate: the relative deviation of the trials so far, within these bounds."""

T = TypeVar("T")


class OutOfBudget(Exception):
    """The budget of the session is used up. `during` is what was ended for that; empty when nothing was."""

    def __init__(self, during: str = "") -> None:
        super().__init__(during)
        self.during = during


class BudgetClock:
    """Counts the seconds of a session, and what its trials take."""

    def __init__(self, deadline: Deadline, clock: Callable[[], float]) -> None:
        self._deadline = deadline
        self._clock = clock
        self._trials_s: list[float] = []
        self._forgotten_s: list[float] = []

    def spent_s(self) -> float:
        return self._deadline.spent_s()

    def left_s(self) -> float:
        return self._deadline.left_s()

    def paused(self) -> AbstractContextManager[None]:
        """Stop the clock for a block in which a person is asked."""
        return self._deadline.paused()

    def timed(self, trial: Callable[[], T]) -> T:
        """Run a trial and use its time for later estimates."""
        started = self._clock()
        outcome = trial()
        self._trials_s.append(self._clock() - started)
        return outcome

    def forget_trials(self) -> None:
        """Use the trials so far only until there is another."""
        self._forgotten_s, self._trials_s = self._trials_s, []

    def cost_s(self, runs: int) -> float:
        """Estimate how long `runs` trials will take."""
        trials_s = self._trials_s or self._forgotten_s
        mean_s = statistics.fmean(trials_s) if trials_s else 0.0
        spread = statistics.stdev(trials_s) / mean_s if len(trials_s) > 1 and mean_s else 0.0
        return runs * mean_s * (1.0 + min(MOST_MARGIN, max(LEAST_MARGIN, spread)))

    def runs_left(self) -> int:
        """Estimate how many runs fit into the rest of the budget."""
        return max(0, math.floor(self.left_s() / max(1e-3, self.cost_s(1))))

    def candidates_affordable(self, most_rounds: int, most_reserved: int, *, reserved: int | None = None) -> int:
        """Estimate how many candidates to propose now: in the first set, or in a further one, when so many runs are
        `reserved` for the confirmation, of `most_reserved` at most."""
        if reserved is None:
            return budget.candidates_worth_proposing(self.runs_left(), most_rounds, most_reserved)
        return budget.more_candidates(self.runs_left(), most_rounds, reserved)
