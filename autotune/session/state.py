# SPDX-License-Identifier: MIT
"""What the steps of one session share: its runs and their budget, its candidates, and what is known so far."""

from __future__ import annotations

import random
import time

from autotune.deadline import Deadline
from autotune.records import Workload
from autotune.session.baselines import Baselines
from autotune.session.budgeting import Budgeting
from autotune.session.entries import Entries
from autotune.session.measured import Measured
from autotune.session.options import SessionOptions
from autotune.session.parts import SessionParts
from autotune.session.points import PointTrials
from autotune.session.reporter import Reporter
from autotune.session.results import Results
from autotune.session.runs import Runs
from autotune.session.spending import BudgetClock
from autotune.verdict.race import Race
from autotune.verdict.statistic import Statistic

BASELINE_RUNS = 3
"""Runs of the baseline before the race, which give the noise."""


class SessionState:
    """One session as it is at each moment. Each step reads it, and notes in it what it learned."""

    def __init__(self, workload: Workload, parts: SessionParts, options: SessionOptions) -> None:
        deadline = parts.deadline or Deadline(options.budget_s, parts.clock)
        self.workload = workload
        self.machine = parts.machine
        self.planner = parts.planner
        self.options = options
        self.started_at = time.time()
        self.reporter = Reporter(parts.listener)
        self.clock = BudgetClock(deadline, parts.clock)
        self.trials = PointTrials(
            workload,
            parts.machine,
            self.reporter.report,
            show_output=options.show_output,
            deadline=deadline,
            guiding=parts.guiding,
        )
        self.entries = Entries(parts.resolve, self.reporter)
        self.measured = Measured(points=self.trials.points)
        self.statistic = Statistic.named(options.statistic)
        self.results = Results(self.entries, self.measured, workload, self.statistic, options.taken_up)
        self.runs = Runs(self.trials, self.entries, self.measured, self.clock, self.reporter, options.approve)
        self.rng = random.Random(options.seed)
        rounds = max(BASELINE_RUNS, options.min_rounds)
        self.baselines = Baselines(self.trials.points, workload.goal, self.rng, rounds=rounds)
        self.budgeting = Budgeting(self.clock, options, self.baselines, self.statistic)
        self.race: Race | None = None
        """None until there are candidates."""
        self.sets = 1
        """Sets of candidates that were proposed, the one that is being proposed included."""
        self.failure: str | None = None
        """What ended the session early; None while nothing did."""

    @property
    def planner_name(self) -> str:
        if self.options.taken_up is not None:
            return self.options.taken_up.session.planner
        return "user" if self.options.user_candidates else self.planner.name

    @property
    def affordable(self) -> int:
        """How many more candidates the budget has room for."""
        return self.budgeting.affordable(racing=self.race is not None)

    @property
    def larger_budget(self) -> str:
        """The advice to give more."""
        return self.budgeting.larger_budget(len(self.entries), len(self.measured.trials))
