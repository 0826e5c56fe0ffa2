# SPDX-License-Identifier: MIT
"""One tuning session: baseline, observation, proposals, rounds, confirmation, result.

The planner proposes; `verdict.race` decides what runs next and what is claimed; `trials` decides whether a run counts.
This module is the way through them, within the budget. Whatever happens, the end is a Session with all that is known so
far.
"""

from __future__ import annotations

from dataclasses import replace

from autotune import signals
from autotune.errors import MachineLost
from autotune.events import (
    BaselineKnown,
    Finished,
    MachineReady,
    Proposed,
    Standings,
    Unmeasured,
    ValuesKnown,
    WorkloadSeen,
)
from autotune.records import Session, Workload
from autotune.session import ending, summary
from autotune.session.budgeting import MAX_SETS
from autotune.session.continuation import TakenUp
from autotune.session.insight import Insight
from autotune.session.options import SessionOptions
from autotune.session.parts import SessionParts
from autotune.session.proposing import Proposing
from autotune.session.racing import Racing
from autotune.session.spending import OutOfBudget
from autotune.session.state import SessionState
from autotune.verdict import stats
from autotune.verdict.confirm import detectable
from autotune.verdict.race import TAIL_RUNS, Race


def tune(workload: Workload, parts: SessionParts, options: SessionOptions) -> Session:
    """Run one session until it is done, its budget is used up, or an error or Ctrl-C ends it, and return it.

    Once the baseline is known, nothing is raised: an error becomes the session's `failure`, beside all its runs.
    Raises WorkloadError when the workload cannot be measured under the baseline."""
    return _Tuning(workload, parts, options).run()


class _Tuning:
    """Steps of one session, in order from top to bottom."""

    def __init__(self, workload: Workload, parts: SessionParts, options: SessionOptions) -> None:
        self._options = options
        self._state = SessionState(workload, parts, options)
        self._state.runs.on_first_baseline = self._warn_of_a_small_budget
        self._insight = Insight(self._state, parts.probe, parts.guiding)
        self._proposing = Proposing(self._state, self._insight)
        self._racing = Racing(self._state)
        self._ended_early = ""

    def run(self) -> Session:
        state = self._state
        ended = ending.caught(self._session)
        if ended is not None:
            ended = ending.give_back(state.machine) or ended
        cleaning = ending.clean_up(state.trials)  # starts a helper of its own
        if ended is not None and state.measured.baseline is None and not signals.is_interruption(ended):
            self._unmeasured(ended, cleaning)
            raise ended
        return self._finish(ended, cleaning)

    def _session(self) -> None:
        state, options = self._state, self._options
        taken_up = options.taken_up
        continues = taken_up.session.id if taken_up is not None else None
        started = (state.started_at, options.seed, options.id, continues)
        state.reporter.report(MachineReady(state.machine.info, state.workload, *started))
        for warning in options.known_before:
            state.reporter.warn(warning)
        if taken_up is not None:
            self._take_up(taken_up)
        try:
            state.trials.setup()
            self._measure_baseline()
        except OutOfBudget as error:
            raise state.budgeting.too_slow(error) from error
        try:
            self._tune()
        except OutOfBudget as error:
            if error.during:
                state.reporter.warn(f"the budget ended during {error.during}, which does not count")
        except MachineLost as error:  # nothing more would have been measured: what was is the result
            if state.clock.left_s() > 0:
                raise
            state.reporter.warn(f"the budget is used up, and {error.message}")

    def _tune(self) -> None:
        state, options = self._state, self._options
        if options.taken_up is not None:
            self._continue(options.taken_up)
            return
        self._ended_early = self._insight.nothing_to_win() or ""
        race = state.race = None if self._ended_early else self._proposing.first_race()
        if race is None:
            return
        self._race_all_sets(race)
        self._racing.confirm(race)
        self._insight.explain()

    def _race_all_sets(self, race: Race) -> None:
        """Race the first set, and further ones as long as they are proposed and the budget has room for them."""
        state = self._state
        while True:
            self._racing.race_on(race)
            if state.sets == MAX_SETS or self._options.user_candidates or not state.affordable:
                return
            more = self._proposing.further_set()
            if not more:
                return
            race.add([entry.key for entry in more])
            state.sets += 1

    # --- a continuation ---

    def _take_up(self, taken_up: TakenUp) -> None:
        """Admit the contenders. Raises UsageError when the machine or a scheduler is not what it was."""
        state = self._state
        taken_up.require_same_machine(state.machine.info)
        proposals = taken_up.proposals()
        state.entries.admit(proposals, len(proposals))
        for key in (proposal.candidate.key for proposal in proposals):
            entry = state.entries.get(key)
            taken_up.require_same_scheduler(key, entry.spec if entry is not None else None)
        state.reporter.report(Proposed(state.planner_name, tuple(proposals)))

    def _continue(self, taken_up: TakenUp) -> None:
        """Confirm the contenders on fresh pairs, without a race: theirs is known."""
        state = self._state
        assert state.measured.baseline is not None
        tail_runs = min(TAIL_RUNS, state.budgeting.most_reserved)
        state.race = taken_up.race(state.rng, state.measured.baseline, tail_runs)
        state.reporter.report(Standings(tuple(state.results.ranked(state.race))))
        self._racing.confirm(state.race)

    # --- baseline ---

    def _measure_baseline(self) -> None:
        state = self._state
        found = state.baselines
        found.warm_up(state.runs, self._options.warmup)
        state.clock.forget_trials()  # a first run may be far slower than all later ones
        found.measure(state.runs, state.clock, state.reporter)
        watches = self._insight.shall_watch()
        self._learn_baseline(runs_before=int(watches))  # first: nothing that ends a run loses what is known
        self._report_baseline()
        if watches:
            self._insight.watch()
        if self._insight.profile is not None or self._insight.not_watched:
            state.reporter.report(WorkloadSeen(self._insight.profile, self._insight.not_watched))

    def _learn_baseline(self, *, runs_before: int) -> None:
        """Note the baseline, and which gains the budget that is left is likely to find. So many `runs_before` the race
        are still to come."""
        state, budgeting = self._state, self._state.budgeting
        pairs = budgeting.pairs_to_confirm(runs_before)
        budgeting.refuse_too_few_for_statistic(pairs)
        places = state.baselines.sweep.places()
        cpus = state.machine.info.cpus
        baseline, _ = state.measured.learn_baseline(state.baselines.measured, places, cpus, pairs, budgeting.alpha)
        if state.statistic is not None:
            gain = detectable(baseline.noise * state.statistic.noise_factor, pairs, budgeting.alpha)
            baseline = replace(baseline, detectable=gain)
        if baseline.detectable is None:
            baseline = replace(baseline, wanted_s=budgeting.wanted_s())
        elif self._options.min_effect:
            baseline = budgeting.with_min_effect(baseline, pairs)
        state.measured.baseline = baseline

    def _report_baseline(self) -> None:
        state = self._state
        self._warn_of_first_runs()
        if state.baselines.are_several:
            state.reporter.report(ValuesKnown(tuple(state.results.of_baselines())))
        assert state.measured.baseline is not None
        assert state.measured.observation is not None
        state.reporter.report(BaselineKnown(state.measured.baseline, state.measured.observation))

    def _warn_of_first_runs(self) -> None:
        state, found = self._state, self._state.baselines
        first_runs = [*found.warmups.get(found.best, ()), *found.measured[found.best]]
        wall_s = [outcome.trial.run.wall_s for outcome in first_runs]
        prepared = state.workload.prepare is not None or state.workload.pristine
        for caution in stats.cautions(wall_s, prepared=prepared):
            if caution.kind == "already done" or (caution.kind == "slow start" and not self._options.warmup):
                state.reporter.warn(caution.text)  # a warm-up run takes the slow start; the others wait for all runs

    def _warn_of_a_small_budget(self) -> None:
        """Warn as soon as it is known what a run takes."""
        said = self._state.budgeting.small_budget_text()
        if said is not None:
            self._state.reporter.warn(said)

    # --- ending ---

    def _finish(self, ended: BaseException | None, cleaning: BaseException | None) -> Session:
        """Return and report the session, whatever `ended` it early and whether or not cleanup failed."""
        state = self._state
        interrupted = ended is not None and signals.is_interruption(ended)
        first = None if state.failure else ended or cleaning
        if ended is not None and not interrupted:
            state.failure = state.failure or ending.described(ended)
            state.reporter.warn(ending.described(ended))
        self._warn_of_cleanup(cleaning)
        summary.warn_of_all_runs(state)
        session = self._summed_up(interrupted)
        state.reporter.report(Finished(session, first))
        return session

    def _unmeasured(self, ended: BaseException, cleaning: BaseException | None) -> None:
        """Report what is known of a session whose baseline is not."""
        self._state.failure = ending.described(ended)
        self._warn_of_cleanup(cleaning)
        self._state.reporter.report(Unmeasured(self._summed_up(interrupted=False)))

    def _summed_up(self, interrupted: bool) -> Session:
        return summary.summed_up(
            self._state, self._insight, self._racing, ended_early=self._ended_early, interrupted=interrupted
        )

    def _warn_of_cleanup(self, error: BaseException | None) -> None:
        if error is not None:
            self._state.reporter.warn(ending.described_cleanup(error))
