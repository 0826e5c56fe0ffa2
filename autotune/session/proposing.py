# SPDX-License-Identifier: MIT
"""From proposals to a race: who is asked, what a planner is shown, how many candidates the budget has room for."""

from __future__ import annotations

from collections.abc import Sequence

from autotune.errors import PlannerError
from autotune.events import Proposed, RacePlanned, Step
from autotune.planner.base import Situation
from autotune.records import Allotment, Proposal
from autotune.report import sentences
from autotune.session.baselines import by_scheduler
from autotune.session.entries import Entry
from autotune.session.insight import Insight
from autotune.session.state import SessionState
from autotune.verdict.race import Race


class Proposing:
    """The candidates of one session."""

    def __init__(self, state: SessionState, insight: Insight) -> None:
        self._state = state
        self._insight = insight

    def first_race(self) -> Race | None:
        """Return the race of the first set; None when there is nobody to race."""
        state, options = self._state, self._state.options
        proposals = self._first_proposals()
        allotted = state.budgeting.first_set(len(proposals))
        entries, untried = self._admit(proposals, allotted.fitting)
        if proposals:
            self._report_allotment(allotted, untried)
        if not entries:
            return None
        return Race(
            [entry.key for entry in entries],
            goal=state.workload.goal,
            rng=state.rng,
            min_rounds=options.min_rounds,
            max_rounds=options.max_rounds,
            tail_runs=self._tail_runs(entries),
            min_effect=options.min_effect,
            statistic=state.statistic,
            alpha=state.baselines.alpha,
            baseline=state.baselines.best,
            rivals=state.baselines.rivals,
            baseline_values=state.baselines.best_values,
        )

    def _tail_runs(self, entries: Sequence[Entry]) -> int:
        """Return how many runs of a winner are wanted: none where each that may win was watched so before."""
        options = self._state.options
        if all(entry.proposal.candidate.alone.key in options.tail_known for entry in entries):
            return 0
        return min(options.tail_runs, self._state.budgeting.most_reserved)

    def further_set(self) -> list[Entry]:
        """Admit further candidates, as many as the budget has all rounds for."""
        fresh, untried = self._admit(self._proposals(), self._state.affordable)
        for key in untried:
            self._state.entries.refuse(key, "the budget has no room for it")
        return fresh

    def _first_proposals(self) -> Sequence[Proposal]:
        """The user's candidates, or a planner's where there is room for one: planning costs time, and maybe money."""
        if self._state.options.user_candidates or self._state.affordable:
            return self._proposals()
        self._state.reporter.warn(self._state.budgeting.no_candidate_text())
        return []

    def _report_allotment(self, allotted: Allotment, untried: Sequence[str]) -> None:
        """Report before the race how much fits into the budget; as a warning when candidates are left untried."""
        reporter = self._state.reporter
        if untried:
            reporter.warn(f"{sentences.allotment_sentence(allotted)} Not tried: {', '.join(untried)}.")
        else:
            reporter.report(RacePlanned(allotted))

    def _proposals(self) -> Sequence[Proposal]:
        """Return what is proposed, at each value of the workload's parameters."""
        return self._state.baselines.expanded(self._proposed())

    def _proposed(self) -> Sequence[Proposal]:
        state = self._state
        if state.options.user_candidates:
            return [Proposal(candidate, "chosen with --scheduler") for candidate in state.options.user_candidates]
        state.reporter.report(Step("plan", state.planner.name))
        try:
            proposals = state.planner.propose(self._situation())
        except PlannerError as error:
            if not state.entries:
                raise
            state.failure = str(error)  # the leader so far is still confirmed
            state.reporter.warn(f"planning has ended: {error}")
            return []
        for remark in state.planner.remarks():
            state.reporter.warn(remark)
        return proposals

    def _situation(self) -> Situation:
        state, known = self._state, self._state.measured
        assert known.baseline is not None
        assert known.observation is not None
        assert known.last_run is not None
        standings = state.race.standings() if state.race is not None else ()
        return Situation(
            machine=state.machine.info,
            workload=state.workload,
            baseline=known.baseline,
            observation=known.observation,
            run=known.last_run,
            results=tuple(by_scheduler(state.results.of_candidates(standings))),
            budget_left_s=state.clock.left_s(),
            candidates_affordable=state.baselines.schedulers_affordable(state.affordable),
            refused=state.entries.take_refused(),
            profile=self._insight.profile,
            expected=self._insight.expectations,
        )

    def _admit(self, proposals: Sequence[Proposal], at_most: int) -> tuple[list[Entry], list[str]]:
        state = self._state
        fresh, untried = state.entries.admit(proposals, at_most)
        if fresh:
            state.reporter.report(Proposed(state.planner_name, tuple(entry.proposal for entry in fresh)))
        return fresh, untried
