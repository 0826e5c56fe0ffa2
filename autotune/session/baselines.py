# SPDX-License-Identifier: MIT
"""EEVDF before the race: at each value of the workload's parameters, until the best one and its rivals are known.

Without parameters there is one value, and nothing to choose. The rule is `verdict.sweep`; here it meets the budget.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from autotune.events import RoundStarted
from autotune.records import CandidateResult, Goal, Point, Proposal, point_text
from autotune.session.reporter import Reporter
from autotune.session.runs import Runs
from autotune.session.spending import BudgetClock
from autotune.session.trials import TrialOutcome
from autotune.verdict.race import ALPHA
from autotune.verdict.sweep import ALPHA_OF_VALUES, LOOKS, Sweep

SHARE_OF_A_CLOSER_LOOK = 0.25
"""Most of the budget that is left which a second look at the values may take."""

LEAST_SCHEDULERS = 3
"""A planner may propose at least so many schedulers: where the budget has no room for them at all values, they run at
the best."""


@dataclass
class Baselines:
    """EEVDF's runs by key, and what they show. `points` are the keys with their values, `rounds` those before each
    look."""

    points: dict[str, Point]
    goal: Goal
    rng: random.Random
    rounds: int
    warmups: dict[str, list[TrialOutcome]] = field(default_factory=dict)
    measured: dict[str, list[TrialOutcome]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.sweep = Sweep(tuple(self.points), goal=self.goal, rng=self.rng, rounds=self.rounds)

    @property
    def are_several(self) -> bool:
        """Whether there are several values to choose from."""
        return len(self.points) > 1

    @property
    def least_runs(self) -> int:
        """Runs before the first look, without warm-up."""
        return self.rounds * len(self.points)

    @property
    def best(self) -> str:
        """Key of the baseline."""
        return self.sweep.best

    @property
    def best_values(self) -> list[float]:
        """Values of the baseline's valid runs, without warm-up."""
        trials = (one.trial for one in self.measured.get(self.best, ()))
        return [trial.value for trial in trials if trial.value is not None]

    @property
    def rivals(self) -> tuple[str, ...]:
        """Keys of EEVDF at other values that may be the best: a winner must beat each."""
        return self.sweep.rivals

    @property
    def runs_of_a_pair(self) -> int:
        """Runs of one round of a confirmation."""
        return 2 + len(self.rivals) if self.sweep.rounds else 2

    @property
    def alpha(self) -> float:
        """The risk that the choice of the baseline leaves to the race."""
        return ALPHA - ALPHA_OF_VALUES if self.are_several else ALPHA

    def warm_up(self, runs: Runs, times: int) -> None:
        """Run each value so many times, without measuring."""
        for number in range(1, times + 1):
            for key in self.points:
                self.warmups.setdefault(key, []).append(runs.baseline("warmup", number, key))

    def measure(self, runs: Runs, budget: BudgetClock, reporter: Reporter) -> None:
        """Run the rounds that choose the baseline, as far as the budget goes. Raises what `Runs.baseline` raises;
        OutOfBudget only where a value has not run."""
        while self._has_room(budget):
            order = self.sweep.next_round()
            if not order:
                return
            number = self.sweep.rounds + 1
            if self.are_several:
                most = self.rounds if number <= self.rounds else LOOKS * self.rounds
                reporter.report(RoundStarted("baseline", number, most, order))
            outcomes = {key: runs.baseline("baseline", number, key) for key in order}
            for key, outcome in outcomes.items():
                self.measured.setdefault(key, []).append(outcome)
            self.sweep.record({key: one.trial.value for key, one in outcomes.items() if one.trial.value is not None})

    def _has_room(self, budget: BudgetClock) -> bool:
        if not self.sweep.rounds:
            return True
        if not self.sweep.looked:
            return budget.left_s() >= (budget.cost_s(len(self.points)) if self.are_several else 1e-9)
        closer_s = budget.cost_s(self.rounds * (1 + len(self.rivals)))
        begun = self.sweep.rounds > self.rounds
        return begun or closer_s <= SHARE_OF_A_CLOSER_LOOK * budget.left_s()

    # --- candidates ---

    def expanded(self, proposals: Sequence[Proposal]) -> list[Proposal]:
        """Return each proposal at each value: all of them at EEVDF's best value first."""
        points = [self.points[key] for key in self.sweep.ranked]
        return [replace(one, candidate=replace(one.candidate, params=point)) for point in points for one in proposals]

    def likely(self, candidates: int) -> int:
        """Return how many of the expanded candidates, the first ones, are at values with which EEVDF may do best."""
        return candidates * (1 + len(self.rivals)) // len(self.points)

    def schedulers_affordable(self, candidates: int) -> int:
        """Return how many schedulers a planner may propose where so many candidates are affordable."""
        return max(min(candidates, LEAST_SCHEDULERS), candidates // len(self.points))


def by_scheduler(results: Sequence[CandidateResult]) -> list[CandidateResult]:
    """Return the results for a planner, which proposes schedulers without values: each scheduler at its best value,
    which the note names. `results` are ranked, best first."""
    found: dict[str, CandidateResult] = {}
    for one in results:
        if one.candidate.params:
            note = f"at its best value, {point_text(one.candidate.params)}" + (f"; {one.note}" if one.note else "")
            one = replace(one, candidate=one.candidate.alone, note=note)
        found.setdefault(one.candidate.key, one)
    return list(found.values())
