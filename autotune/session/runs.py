# SPDX-License-Identifier: MIT
"""The runs of the baseline and of the rounds of a race.

Every trial costs budget and is kept. A trial that was lost with its helper or its VM says nothing about the candidate
and is repeated.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Protocol

from autotune.errors import AttachError, BuildError, MachineLost, WorkloadError
from autotune.records import BASELINE, Candidate, Phase, Proposal
from autotune.session.entries import Entries
from autotune.session.measured import Measured
from autotune.session.points import PointTrials
from autotune.session.reporter import Reporter
from autotune.session.spending import BudgetClock, OutOfBudget
from autotune.session.trials import LostTrial, TrialOutcome
from autotune.verdict.race import Race, Round

REPEATS, MACHINE_REPEATS = 1, 3
"""How often a lost run is repeated: a helper may die of the command, and the machine does not."""


class Approve(Protocol):
    """Asks before each switch of the scheduler."""

    def __call__(self, candidate: Candidate, proposal: Proposal, *, editable: bool) -> Candidate | None:
        """Return the candidate to attach: the given one, one with other knobs where `editable`, or None to leave it
        out. Raises Interrupted to quit."""


class Runs:
    """The runs of one session."""

    def __init__(
        self,
        trials: PointTrials,
        entries: Entries,
        measured: Measured,
        budget: BudgetClock,
        reporter: Reporter,
        approve: Approve | None,
    ) -> None:
        self._trials = trials
        self._entries = entries
        self._measured = measured
        self._budget = budget
        self._reporter = reporter
        self._approve = approve
        self.on_first_baseline: Callable[[], None] = lambda: None
        """Called once, after the first run of the baseline: then it is known what a run takes."""
        self._has_baseline = False

    def baseline(self, phase: Phase, number: int, key: str = BASELINE) -> TrialOutcome:
        """Run the baseline of a key before the race. Raises WorkloadError when it cannot be measured, MachineLost when
        the machine is to blame for that, OutOfBudget."""
        if self._budget.left_s() <= 0.0:
            raise OutOfBudget
        outcome = self._again_if_lost(lambda: self._trials.baseline(phase, number, key))
        if isinstance(outcome, LostTrial):
            error = MachineLost if outcome.by_machine else WorkloadError
            raise error(f"the baseline could not be measured: {outcome.reason}", hint="run again")
        self._measured.trials.append(outcome.trial)
        self._trials.learn_from_baseline(outcome.trial)
        if phase == "baseline" and not self._has_baseline:
            self._has_baseline = True
            self.on_first_baseline()
        return outcome

    def of_round(self, race: Race, upcoming: Round, key: str) -> tuple[str, float | None]:
        """Run one candidate of a round. Return its key, which changes when the user edits it, and its value. Raises
        OutOfBudget."""
        if self._budget.left_s() <= 0.0:
            raise OutOfBudget
        if key in race.baselines:
            run = self._again_if_lost(lambda: self._trials.baseline(upcoming.phase, upcoming.number, key))
            return key, self._note(race, key, run)
        approved = self._approved(race, key)
        if approved is None:
            race.drop(key, "left out by the user", failed=False)
            return key, None
        return approved, self._of_candidate(race, upcoming, approved)

    def _approved(self, race: Race, key: str) -> str | None:
        """Return the key of the candidate that the user approved; None when the user left it out."""
        if self._approve is None:
            return key
        entry = self._entries[key]
        editable = not entry.values and not entry.last_problem
        with self._budget.paused():
            chosen = self._approve(entry.proposal.candidate, entry.proposal, editable=editable)
        if chosen is None:
            return None
        chosen = dataclasses.replace(chosen, params=entry.proposal.candidate.params)
        if chosen == entry.proposal.candidate:
            return key
        replaced = self._entries.replace(key, chosen)
        if replaced is not None:
            race.rename(key, replaced)
        return replaced

    def _of_candidate(self, race: Race, upcoming: Round, key: str) -> float | None:
        entry = self._entries[key]
        candidate = entry.proposal.candidate
        try:
            outcome = self._again_if_lost(
                lambda: self._trials.candidate(upcoming.phase, upcoming.number, candidate, entry.spec)
            )
        except (AttachError, BuildError) as error:
            entry.last_problem = f"cannot be attached: {error.message}"
            race.drop(key, entry.last_problem)
            return None
        return self._note(race, key, outcome)

    def _again_if_lost(self, trial: Callable[[], TrialOutcome | LostTrial]) -> TrialOutcome | LostTrial:
        def repeated() -> TrialOutcome | LostTrial:
            outcome = trial()
            repeats = 0
            while isinstance(outcome, LostTrial) and repeats < (MACHINE_REPEATS if outcome.by_machine else REPEATS):
                self._reporter.warn(f"a run was lost and is repeated: {outcome.reason}")
                outcome = trial()
                repeats += 1
            return outcome

        return self._budget.timed(repeated)

    def _note(self, race: Race, key: str, outcome: TrialOutcome | LostTrial) -> float | None:
        """Keep a trial, and drop the candidate at once when the kernel ejected it. Return its value."""
        entry = self._entries.get(key)
        if isinstance(outcome, LostTrial):
            self._reporter.warn(f"a run of {key} was lost: {outcome.reason}")
            if entry is not None:
                entry.last_problem = outcome.reason
            return None
        self._measured.trials.append(outcome.trial)
        value = outcome.trial.value
        if entry is None:
            self._measured.note_baseline(outcome.trial)
        elif value is None:
            entry.last_problem = outcome.trial.invalid or ""
        else:
            entry.values[outcome.trial.phase, outcome.trial.round] = value
            entry.others[outcome.trial.phase, outcome.trial.round] = outcome.trial.others
        if outcome.ejected:
            race.drop(key, (outcome.trial.invalid or "ejected"))
        return value
