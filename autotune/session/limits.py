# SPDX-License-Identifier: MIT
"""Limits on how long a session's commands may take: each by itself, and all of them within the budget."""

from __future__ import annotations

import math

from autotune.deadline import Deadline
from autotune.records import Run
from autotune.session.spending import OutOfBudget

LEAST_TIMEOUT_S = 30.0
TIMEOUT_FACTOR = 5.0
"""Without `--timeout`, a run may take five times the slowest baseline run, or 30 s if that is longer."""
OVERTIME = 1.5
"""A command that began before the budget ended may take this many times its longest time so far, so that its run
counts."""
CLEANUP_S = 30.0
"""How long the cleanup command may take once the budget is used up."""

COMMAND, CLEANUP = "the command", "the cleanup command"
"""What ran, as messages name it."""


class Limits:
    """Limits of one session's commands, which are named as messages name them. `timeout_s` is `--timeout`; without it,
    a run has no limit but the budget until the baseline is known."""

    def __init__(self, deadline: Deadline, timeout_s: float | None) -> None:
        self._deadline = deadline
        self._is_given = timeout_s is not None
        self._own_s = math.inf if timeout_s is None else timeout_s
        self._longest_s: dict[str, float] = {}

    def of(self, what: str) -> float | None:
        """Return the limit of a command that starts now; None without one."""
        least_s = OVERTIME * self._longest_s.get(what, 0.0)
        if what == CLEANUP:
            least_s = max(least_s, CLEANUP_S)
        limit_s = self._deadline.bound(self._own_s, least_s=least_s)
        return limit_s if math.isfinite(limit_s) else None

    def note(self, what: str, run: Run, limit_s: float | None) -> None:
        """Note how long a command took. Raises OutOfBudget when the budget ended it, rather than a limit of its own."""
        if run.timed_out and limit_s is not None and limit_s < self._own_s and what != CLEANUP:
            raise OutOfBudget(what)
        self._longest_s[what] = max(self._longest_s.get(what, 0.0), run.wall_s)

    def learn_from_baseline(self, run: Run) -> None:
        if not self._is_given:
            longest_s = max(LEAST_TIMEOUT_S, TIMEOUT_FACTOR * run.wall_s)
            self._own_s = max(longest_s, self._own_s if math.isfinite(self._own_s) else 0.0)


def timed_out_text(run: Run, limit_s: float | None) -> str:
    """Describe a run that was ended at its limit, by that limit: until it was gone it took longer."""
    how = ": it ignored SIGTERM and was killed" if run.signal == 9 else ""
    return f"timed out after {round(run.wall_s if limit_s is None else limit_s, 1):g} s{how}"
