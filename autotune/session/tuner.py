# SPDX-License-Identifier: MIT
"""One tuning session: baseline, observation, proposals, rounds, confirmation, result.

The planner proposes; `verdict.race` decides what runs next and what is claimed; `trials` decides whether a run counts.
This module connects them within the budget. Whatever happens, the end is a Session with all that is known so far.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import autotune
from autotune import signals
from autotune.deadline import Deadline
from autotune.errors import MachineLost, PlannerError
from autotune.events import (
    BaselineKnown,
    Finished,
    Left,
    Listener,
    MachineReady,
    Proposed,
    RacePlanned,
    RoundStarted,
    Standings,
    Step,
    Unmeasured,
    ValuesKnown,
    WorkloadSeen,
)
from autotune.machine.base import Machine
from autotune.observe.profile import brief
from autotune.planner.base import Planner, Situation
from autotune.records import (
    Allotment,
    AttachSpec,
    Candidate,
    Chain,
    Outlook,
    Profile,
    Proposal,
    Session,
    Trial,
    Workload,
)
from autotune.report import documents
from autotune.session import continuation, disturbed, early, ending, observing
from autotune.session.baselines import Baselines, by_scheduler
from autotune.session.budgeting import MAX_SETS, Budgeting
from autotune.session.continuation import TakenUp
from autotune.session.entries import Entries, Entry
from autotune.session.guiding import Guiding
from autotune.session.measured import Measured
from autotune.session.observing import Observed, Probe
from autotune.session.options import SessionOptions
from autotune.session.points import PointTrials
from autotune.session.reporter import Reporter
from autotune.session.results import Results
from autotune.session.runs import Runs
from autotune.session.spending import BudgetClock, OutOfBudget
from autotune.verdict import budget, ranking, stats
from autotune.verdict.confirm import detectable
from autotune.verdict.race import TAIL_RUNS, Race
from autotune.verdict.statistic import Statistic

BASELINE_RUNS = 3
"""Runs of the baseline before the race, which give the noise."""


Resolver = Callable[[Candidate], AttachSpec]
"""Finds or builds what attaching a candidate needs. Raises BuildError, UsageError."""


def tune(
    workload: Workload,
    machine: Machine,
    planner: Planner,
    options: SessionOptions,
    listener: Listener,
    resolve: Resolver,
    clock: Callable[[], float] = time.monotonic,
    deadline: Deadline | None = None,
    probe: Probe | None = None,
    guiding: Guiding | None = None,
) -> Session:
    """Run one session until it is done, its budget is used up, or an error or Ctrl-C ends it, and return it.

    Once the baseline is known, nothing is raised: an error becomes the session's `failure`, beside all its runs.
    `clock` counts the seconds of the budget; `deadline` is its end (None: the budget begins now). `probe` watches one
    run; None: none is watched. `guiding` tells schedulers what that run lets them expect; None: they know nothing.
    Raises WorkloadError when the workload cannot be measured under the baseline."""
    deadline = deadline or Deadline(options.budget_s, clock)
    return _Tuning(workload, machine, planner, options, listener, resolve, clock, deadline, probe, guiding).run()


class _Tuning:
    """State and steps of one session, in order from top to bottom."""

    def __init__(
        self,
        workload: Workload,
        machine: Machine,
        planner: Planner,
        options: SessionOptions,
        listener: Listener,
        resolve: Resolver,
        clock: Callable[[], float],
        deadline: Deadline,
        probe: Probe | None,
        guiding: Guiding | None,
    ) -> None:
        self._workload = workload
        self._machine = machine
        self._planner = planner
        self._options = options
        self._started_at = time.time()
        self._reporter = Reporter(listener)
        self._budget = BudgetClock(deadline, clock)
        self._trials = PointTrials(
            workload,
            machine,
            self._reporter.report,
            show_output=options.show_output,
            deadline=deadline,
            guiding=guiding,
        )
        self._guiding = guiding
        self._entries = Entries(resolve, self._reporter)
        self._measured = Measured(points=self._trials.points)
        self._statistic = Statistic.named(options.statistic)
        self._taken_up = options.taken_up
        self._results = Results(self._entries, self._measured, workload, self._statistic, self._taken_up)
        self._runs = Runs(self._trials, self._entries, self._measured, self._budget, self._reporter, options.approve)
        self._runs.on_first_baseline = self._warn_of_a_small_budget
        self._rng = random.Random(options.seed)
        self._baselines = Baselines(
            self._trials.points, workload.goal, self._rng, rounds=max(BASELINE_RUNS, options.min_rounds)
        )
        self._budgeting = Budgeting(self._budget, options, self._baselines, self._statistic)
        self._race: Race | None = None
        self._sets = 1
        self._failure: str | None = None
        self._digests: dict[str, str] = {}
        self._probe = probe
        self._observed: Observed | None = None
        """What the run that was watched showed, raw, and its profile; None when none was."""
        self._under_winner: Profile | None = None
        self._not_watched = options.not_watched
        self._ended_early = ""

    def run(self) -> Session:
        ended = ending.caught(self._session)
        if ended is not None:
            ended = ending.give_back(self._machine) or ended
        cleaning = ending.clean_up(self._trials)  # starts a helper of its own
        if ended is not None and self._measured.baseline is None and not signals.is_interruption(ended):
            self._unmeasured(ended, cleaning)
            raise ended
        return self._finish(ended, cleaning)

    def _session(self) -> None:
        continues = self._taken_up.session.id if self._taken_up is not None else None
        seed, name = self._options.seed, self._options.id
        self._reporter.report(MachineReady(self._machine.info, self._workload, self._started_at, seed, name, continues))
        for warning in self._options.known_before:
            self._reporter.warn(warning)
        if self._taken_up is not None:
            self._take_up(self._taken_up)
        try:
            self._trials.setup()
            self._measure_baseline()
        except OutOfBudget as error:
            raise self._budgeting.too_slow(error) from error
        try:
            self._tune()
        except OutOfBudget as error:
            if error.during:
                self._reporter.warn(f"the budget ended during {error.during}, which does not count")

    def _tune(self) -> None:
        if self._taken_up is not None:
            self._continue(self._taken_up)
            return
        self._ended_early = self._nothing_to_win() or ""
        race = None if self._ended_early else self._first_race()
        if race is None:
            return
        while True:
            self._race_on(race)
            if self._sets == MAX_SETS or self._options.user_candidates or not self._affordable:
                break
            more = self._further_set()
            if not more:
                break
            race.add([entry.key for entry in more])
            self._sets += 1
        self._confirm(race)
        self._explain(race)

    # --- a continuation ---

    def _take_up(self, taken_up: TakenUp) -> None:
        """Admit the contenders. Raises UsageError when the machine or a scheduler is not what it was."""
        taken_up.require_same_machine(self._machine.info)
        proposals = taken_up.proposals()
        self._entries.admit(proposals, len(proposals))
        for key in (proposal.candidate.key for proposal in proposals):
            entry = self._entries.get(key)
            taken_up.require_same_scheduler(key, entry.spec if entry is not None else None)
        self._reporter.report(Proposed(self._planner_name(), tuple(proposals)))

    def _continue(self, taken_up: TakenUp) -> None:
        """Confirm the contenders on fresh pairs, without a race: theirs is known."""
        assert self._measured.baseline is not None
        tail_runs = min(TAIL_RUNS, self._budgeting.most_reserved)
        self._race = taken_up.race(self._rng, self._measured.baseline, tail_runs)
        self._reporter.report(Standings(tuple(self._results.ranked(self._race))))
        self._confirm(self._race)

    # --- baseline ---

    def _measure_baseline(self) -> None:
        found = self._baselines
        found.warm_up(self._runs, self._options.warmup)
        self._budget.forget_trials()  # a first run may be far slower than all later ones
        found.measure(self._runs, self._budget, self._reporter)
        watches = self._shall_watch()
        self._learn_baseline(found, runs_before=int(watches))  # first: nothing that ends a run loses what is known
        if watches:
            self._observe()
        if self._profile is not None or self._not_watched:
            self._reporter.report(WorkloadSeen(self._profile, self._not_watched))

    def _learn_baseline(self, found: Baselines, *, runs_before: int) -> None:
        """Learn the baseline and report it. So many `runs_before` the race are still to come."""
        pairs = self._budgeting.pairs_to_confirm(runs_before)
        self._budgeting.refuse_too_few_for_statistic(pairs)
        baseline, observation = self._measured.learn_baseline(
            found.measured, found.sweep.places(), self._machine.info.cpus, pairs, self._budgeting.alpha
        )
        if self._statistic is not None:
            gain = detectable(baseline.noise * self._statistic.noise_factor, pairs, self._budgeting.alpha)
            baseline = self._measured.baseline = replace(baseline, detectable=gain)
        if baseline.detectable is None:
            baseline = self._measured.baseline = replace(baseline, wanted_s=self._budgeting.wanted_s())
        elif self._options.min_effect:
            baseline = self._measured.baseline = self._budgeting.with_min_effect(baseline, pairs)
        first_runs = [*found.warmups.get(found.best, ()), *found.measured[found.best]]
        wall_s = [outcome.trial.run.wall_s for outcome in first_runs]
        prepared = self._workload.prepare is not None or self._workload.pristine
        for caution in stats.cautions(wall_s, prepared=prepared):
            if caution.kind == "already done" or (caution.kind == "slow start" and not self._options.warmup):
                self._reporter.warn(caution.text)  # a warm-up run takes the slow start; the others wait for all runs
        if found.are_several:
            self._reporter.report(ValuesKnown(tuple(self._results.of_baselines())))
        self._reporter.report(BaselineKnown(baseline, observation))

    # --- what the workload does ---

    def _shall_watch(self) -> bool:
        """Return whether one run is watched; why not is noted."""
        if self._not_watched or self._probe is None:
            return False
        if not self._budgeting.has_room_to_watch():
            self._not_watched = "a run is too large a share of the budget"
            return False
        return True

    def _observe(self) -> None:
        """Watch one run, which is not measured: what the command does bounds what can be won, and tells planners."""
        assert self._probe is not None
        self._reporter.report(Step("observe", self._workload.title))
        trials = self._trials.at(self._baselines.best)
        found = observing.attempt(trials, self._probe, self._machine.info.cpus)
        if isinstance(found, str):
            self._not_watched = found
            return
        self._observed = found
        refused = self._guiding.learn(found.seen) if self._guiding is not None else None
        if refused is not None:
            self._reporter.warn(f"schedulers cannot be told what to expect of tasks: {refused}")

    def _explain(self, race: Race) -> None:
        """Watch one run under the winner, too: what differs from the one under EEVDF says why it won."""
        entry = self._entries.get(race.winner) if race.winner is not None else None
        if entry is None or self._probe is None or self._observed is None or not self._options.explain:
            return
        candidate = entry.proposal.candidate
        is_same_point = self._measured.points[self._baselines.best] == candidate.params
        asks_first = self._options.approve is not None  # and each switch is one more question
        if asks_first or not is_same_point or not self._budgeting.has_room_to_explain():
            return
        self._reporter.report(Step("observe", f"{self._workload.title}, under {candidate.key}"))
        trials = self._trials.under(candidate, entry.spec)
        found: Observed | str
        try:
            found = observing.attempt(trials, self._probe, self._machine.info.cpus)
        except MachineLost as error:  # all that counts is known
            found = str(error)
        if isinstance(found, str):
            self._reporter.warn(f"it is not known why {candidate.key} won: {found}")
        else:
            self._under_winner = found.profile

    @property
    def _profile(self) -> Profile | None:
        """What the command does, as this session saw it or else an earlier one."""
        return self._options.known if self._observed is None else self._observed.profile

    def _nothing_to_win(self) -> str | None:
        """Return the finding that nothing can be won; None where candidates are tried."""
        baseline, seen = self._measured.baseline, self._observed
        if not self._options.early_end or seen is None or baseline is None:
            return None
        if self._workload.metric_regex is not None or self._baselines.are_several:
            return None  # the bound is one of wall time, and at these values only
        return early.nothing_to_win(seen.profile, baseline, self._machine.info, self._options.min_effect)

    def _warn_of_a_small_budget(self) -> None:
        """Warn as soon as it is known what a run takes."""
        said = self._budgeting.small_budget_text()
        if said is not None:
            self._reporter.warn(said)

    # --- candidates ---

    def _first_race(self) -> Race | None:
        proposals = self._first_proposals()
        allotted = self._budgeting.first_set(len(proposals))
        entries, untried = self._admit(proposals, allotted.fitting)
        if proposals:
            self._report_allotment(allotted, untried)
        if not entries:
            return None
        self._race = Race(
            [entry.key for entry in entries],
            goal=self._workload.goal,
            rng=self._rng,
            min_rounds=self._options.min_rounds,
            max_rounds=self._options.max_rounds,
            tail_runs=min(TAIL_RUNS, self._budgeting.most_reserved),
            min_effect=self._options.min_effect,
            statistic=self._statistic,
            alpha=self._baselines.alpha,
            baseline=self._baselines.best,
            rivals=self._baselines.rivals,
        )
        return self._race

    def _first_proposals(self) -> Sequence[Proposal]:
        """The user's candidates, or a planner's where there is room for one: planning costs time, and maybe money."""
        if self._options.user_candidates or self._affordable:
            return self._proposals()
        self._reporter.warn(self._budgeting.no_candidate_text())
        return []

    def _report_allotment(self, allotted: Allotment, untried: Sequence[str]) -> None:
        """Report before the race how much fits into the budget; as a warning when candidates are left untried."""
        if untried:
            self._reporter.warn(f"{documents.allotment_sentence(allotted)} Not tried: {', '.join(untried)}.")
        else:
            self._reporter.report(RacePlanned(allotted))

    def _further_set(self) -> list[Entry]:
        """Admit further candidates, as many as the budget has all rounds for."""
        fresh, untried = self._admit(self._proposals(), self._affordable)
        for key in untried:
            self._entries.refuse(key, "the budget has no room for it")
        return fresh

    def _proposals(self) -> Sequence[Proposal]:
        """Return what is proposed, at each value of the workload's parameters."""
        return self._baselines.expanded(self._proposed())

    def _proposed(self) -> Sequence[Proposal]:
        if self._options.user_candidates:
            return [Proposal(candidate, "chosen with --scheduler") for candidate in self._options.user_candidates]
        self._reporter.report(Step("plan", self._planner.name))
        try:
            proposals = self._planner.propose(self._situation())
        except PlannerError as error:
            if not self._entries:
                raise
            self._failure = str(error)  # the leader so far is still confirmed
            self._reporter.warn(f"planning has ended: {error}")
            return []
        for remark in self._planner.remarks():
            self._reporter.warn(remark)
        return proposals

    def _situation(self) -> Situation:
        known = self._measured
        assert known.baseline is not None
        assert known.observation is not None
        assert known.last_run is not None
        return Situation(
            machine=self._machine.info,
            workload=self._workload,
            baseline=known.baseline,
            observation=known.observation,
            run=known.last_run,
            results=tuple(by_scheduler(self._results.of_candidates(self._race.standings() if self._race else ()))),
            budget_left_s=self._budget.left_s(),
            candidates_affordable=self._baselines.schedulers_affordable(self._affordable),
            refused=self._entries.take_refused(),
            profile=self._profile,
            expected=self._guiding.expectations if self._guiding is not None else None,
        )

    def _admit(self, proposals: Sequence[Proposal], at_most: int) -> tuple[list[Entry], list[str]]:
        fresh, untried = self._entries.admit(proposals, at_most)
        if fresh:
            self._reporter.report(Proposed(self._planner_name(), tuple(entry.proposal for entry in fresh)))
        return fresh, untried

    @property
    def _affordable(self) -> int:
        return self._budgeting.affordable(racing=self._race is not None)

    def _planner_name(self) -> str:
        if self._taken_up is not None:
            return self._taken_up.session.planner
        return "user" if self._options.user_candidates else self._planner.name

    # --- rounds ---

    def _race_on(self, race: Race) -> None:
        """Run the rounds of one set while the budget leaves room for the confirmation."""
        while not race.set_finished and not race.done:
            if self._budget.runs_left() < race.racing + 1 + self._budgeting.reserved():
                self._reporter.warn(f"the budget was used up before the race finished; {self._larger_budget}")
                return
            self._one_round(race)

    def _confirm(self, race: Race) -> None:
        if race.done:
            return
        pairs = self._budgeting.pairs_left()
        if pairs < race.least_pairs:
            self._reporter.warn(f"the budget ended before the leader could be confirmed; {self._larger_budget}")
            return
        race.begin_confirm(pairs)
        self._report_left(race)
        while not race.done:
            if self._budget.left_s() < self._budget.cost_s(1):  # half a pair of room is enough: its look was planned
                if race.confirming:
                    self._reporter.warn(f"the budget ended before the leader was confirmed; {self._larger_budget}")
                return
            self._one_round(race)

    @property
    def _larger_budget(self) -> str:
        return self._budgeting.larger_budget(len(self._entries), len(self._measured.trials))

    def _one_round(self, race: Race) -> None:
        upcoming = race.next_round()
        if upcoming is None:
            return
        place = (upcoming.phase, upcoming.number, upcoming.at_most, upcoming.order)
        self._reporter.report(RoundStarted(*place, left_s=self._budgeting.left_s(upcoming, self._sets)))
        race.record(dict(self._runs.of_round(race, upcoming, key) for key in upcoming.order))
        if upcoming.phase == "confirm":
            self._judge_guards(race)
        self._reporter.report_drops(race.standings(), self._results.note_of)
        if upcoming.phase == "race":  # a confirmation is reported when it is done
            self._reporter.report(Standings(tuple(self._results.ranked(race))))
        self._report_left(race)

    def _report_left(self, race: Race) -> None:
        """Report what a continuation could start from, if autotune were killed now."""
        chain = self._chain(race)
        if chain is not None:
            self._reporter.report(Left(chain))

    def _chain(self, race: Race | None) -> Chain | None:
        """Return what the session leaves; None with a winner, and where there is nothing that a continuation could
        take up."""
        baseline = self._measured.baseline
        if self._taken_up is not None and race is None:
            return self._taken_up.chain
        if race is None or baseline is None or race.winner is not None or self._workload.parameters:
            return None
        return continuation.left_by(race, baseline, self._workload.goal, self._digest, self._options.repeats)

    def _digest(self, key: str) -> str:
        if key not in self._digests:
            self._digests[key] = continuation.digest_of(self._entries[key].spec)
        return self._digests[key]

    def _judge_guards(self, race: Race) -> None:
        """Take a win away that breaks a guard; the next best is confirmed then, as after a loss. It is judged once,
        over the pairs that won."""
        won = next((one for one in race.standings() if one.confirmed), None)
        broken = [one.reason for one in self._results.guards_of(won) if one.outcome == "broken"] if won else []
        if won is not None and broken:
            race.refuse(won.key, "; ".join(broken))

    # --- ending ---

    def _finish(self, ended: BaseException | None, cleaning: BaseException | None) -> Session:
        """Return and report the session, whatever `ended` it early and whether or not cleanup failed."""
        interrupted = ended is not None and signals.is_interruption(ended)
        first = None if self._failure else ended or cleaning
        if ended is not None and not interrupted:
            self._failure = self._failure or ending.described(ended)
            self._reporter.warn(ending.described(ended))
        self._warn_of_cleanup(cleaning)
        self._warn_of_the_baseline()
        self._warn_of_disturbed_runs()
        session = self._summary(interrupted)
        self._reporter.report(Finished(session, first))
        return session

    def _unmeasured(self, ended: BaseException, cleaning: BaseException | None) -> None:
        """Report what is known of a session whose baseline is not."""
        self._failure = ending.described(ended)
        self._warn_of_cleanup(cleaning)
        self._reporter.report(Unmeasured(self._summary(interrupted=False)))

    def _warn_of_the_baseline(self) -> None:
        """Warn of drift and outliers, which only all runs of the baseline show."""
        best = self._baselines.best
        trials = [one for one in self._measured.trials if one.candidate == best and one.phase != "warmup"]
        wall_s = [one.run.wall_s for one in trials if one.value is not None]
        for caution in stats.cautions(wall_s, prepared=False):
            if caution.kind in ("drift", "outliers"):
                self._reporter.warn(caution.text)

    def _warn_of_disturbed_runs(self) -> None:
        said = disturbed.warning(self._marked())
        if said is not None:
            self._reporter.warn(said)

    def _marked(self) -> tuple[Trial, ...]:
        return disturbed.marked(self._measured.trials, self._options.others_before)

    def _warn_of_cleanup(self, error: BaseException | None) -> None:
        if error is not None:
            self._reporter.warn(ending.described_cleanup(error))

    def _outlook(self) -> Outlook | None:
        """Return what would show the leader's gain; None when no leader was confirmed."""
        leader = self._race.shown_leader if self._race is not None else None
        if self._race is None or leader is None or leader.interval is None:
            return None
        if leader.dropped is not None:  # more runs would not undo stalls
            return Outlook(leader.key, None, None, None, self._options.min_effect)
        least = self._options.min_effect
        pairs = ranking.more_pairs(leader.interval, self._race.pair_deviation, leader.fresh_pairs, least)
        more_s = None if pairs is None else self._budget.cost_s(self._baselines.runs_of_a_pair * pairs)
        wanted_s = None if more_s is None else budget.rounded_up(self._budget.spent_s() + more_s)
        return Outlook(leader.key, pairs, more_s, wanted_s, least)

    def _summary(self, interrupted: bool) -> Session:
        winner = self._race.winner if self._race is not None else None
        trials = self._marked()
        results = disturbed.counts(self._results.ranked(self._race), trials)
        baseline = self._measured.baseline
        outlook = self._outlook() if winner is None else None
        is_time = self._workload.metric_regex is None
        chain = self._chain(self._race)
        return Session(
            schema=documents.SCHEMA_VERSION,
            autotune_version=autotune.__version__,
            started_at=self._started_at,
            elapsed_s=self._budget.spent_s(),
            machine=self._machine.info,
            workload=self._workload,
            seed=self._options.seed,
            planner=self._planner_name(),
            metric=self._workload.metric_regex or documents.WALL_METRIC,
            baseline=baseline,
            observation=self._measured.observation,
            results=results,
            winner=winner,
            recommendation=self._ended_early
            or ranking.recommend(
                results,
                winner,
                baseline,
                outlook,
                is_time=is_time,
                min_effect=self._options.min_effect,
                statistic=self._options.statistic,
            ),
            trials=trials,
            outlook=outlook,
            warnings=tuple(self._reporter.warnings),
            versions={"autotune": autotune.__version__, "kernel": self._machine.info.kernel},
            interrupted=interrupted,
            spending=self._planner.spending,
            transcript=self._planner.transcript,
            failure=self._failure,
            min_effect=self._options.min_effect,
            statistic=self._options.statistic,
            watched=brief(self._profile) if self._profile is not None else None,
            watched_winner=brief(self._under_winner) if self._under_winner is not None else None,
            not_watched=self._not_watched,
            ended_early=self._ended_early,
            id=self._options.id,
            continues=self._taken_up.session.id if self._taken_up is not None else None,
            chain=self._budgeting.for_continuation(chain, baseline, self._race) if chain is not None else None,
        )
