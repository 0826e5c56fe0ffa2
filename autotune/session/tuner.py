# SPDX-License-Identifier: MIT
"""One tuning session: baseline, observation, proposals, rounds, confirmation, result.

The planner proposes; `verdict.race` decides what runs next and what is claimed; `trials` decides whether a run counts.
This module connects them within the budget. Whatever happens, the end is a Session with all that is known so far.
"""

from __future__ import annotations

import math
import os
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import autotune
from autotune import signals
from autotune.config import duration_flag
from autotune.deadline import Deadline
from autotune.errors import PlannerError, UsageError, WorkloadError
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
)
from autotune.machine.base import Machine
from autotune.planner.base import Planner, Situation
from autotune.records import (
    Allotment,
    AttachSpec,
    Baseline,
    Candidate,
    Chain,
    Outlook,
    Proposal,
    Session,
    Trial,
    Workload,
)
from autotune.report import documents
from autotune.report.text import duration_text
from autotune.session import continuation, disturbed, ending
from autotune.session.baselines import Baselines, by_scheduler
from autotune.session.continuation import TakenUp
from autotune.session.entries import Entries, Entry
from autotune.session.measured import Measured
from autotune.session.points import PointTrials
from autotune.session.reporter import Reporter
from autotune.session.results import Results
from autotune.session.runs import Approve, Runs
from autotune.session.spending import BudgetClock, OutOfBudget
from autotune.verdict import budget, ranking, stats
from autotune.verdict.confirm import LEAST_PAIRS, MOST_PAIRS, detectable, pairs_to_show
from autotune.verdict.race import ALPHA, MAX_ROUNDS, MIN_ROUNDS, TAIL_RUNS, Race, Round
from autotune.verdict.statistic import Statistic

BASELINE_RUNS = 3
"""Runs of the baseline before the race, which give the noise."""

MAX_SETS = 4
"""Most sets of candidates, however large the budget."""


@dataclass(frozen=True)
class SessionOptions:
    """Options of a session besides the workload."""

    warmup: int = 1
    min_rounds: int = MIN_ROUNDS
    max_rounds: int = MAX_ROUNDS
    most_pairs: int | None = None
    """Most fresh pairs of a confirmation; None: as many as the budget has room for."""
    min_effect: float = 0.0
    """The least gain that the user would bother to apply (0.03 for 3 %)."""
    statistic: str = "typical"
    """What is judged of the runs (`verdict.statistic`)."""
    budget_s: float = 600.0
    seed: int = 0
    user_candidates: tuple[Candidate, ...] = ()
    """Candidates of `--scheduler`; without any, the planner proposes."""
    approve: Approve | None = None
    show_output: bool = False
    known_before: tuple[str, ...] = ()
    """Warnings about the machine from before the session."""
    others_before: float = 0.0
    """How many CPUs others used before the session."""
    id: str = field(default_factory=lambda: os.urandom(4).hex())
    """Name of the session."""
    taken_up: TakenUp | None = None
    """The session to continue; None: begin with a race."""
    repeats: tuple[str, ...] = ()
    """Options for where and how to run, which a continuation repeats."""


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
) -> Session:
    """Run one session until it is done, its budget is used up, or an error or Ctrl-C ends it, and return it.

    Once the baseline is known, nothing is raised: an error becomes the session's `failure`, beside all its runs.
    `clock` counts the seconds of the budget; `deadline` is its end (None: the budget begins now). Raises WorkloadError
    when the workload cannot be measured under the baseline."""
    deadline = deadline or Deadline(options.budget_s, clock)
    return _Tuning(workload, machine, planner, options, listener, resolve, clock, deadline).run()


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
    ) -> None:
        self._workload = workload
        self._machine = machine
        self._planner = planner
        self._options = options
        self._started_at = time.time()
        self._reporter = Reporter(listener)
        self._budget = BudgetClock(deadline, clock)
        self._trials = PointTrials(
            workload, machine, self._reporter.report, show_output=options.show_output, deadline=deadline
        )
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
        self._race: Race | None = None
        self._sets = 1
        self._reserve_runs = 0
        self._reserve_s = 0.0
        self._failure: str | None = None
        self._start_s = self._budget.spent_s()
        self._digests: dict[str, str] = {}

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
            raise self._too_slow(error) from error
        try:
            self._tune()
        except OutOfBudget as error:
            if error.during:
                self._reporter.warn(f"the budget ended during {error.during}, which does not count")

    def _tune(self) -> None:
        if self._taken_up is not None:
            self._continue(self._taken_up)
            return
        race = self._first_race()
        if race is None:
            return
        while True:
            self._race_on(race)
            if self._sets == MAX_SETS or self._options.user_candidates or not self._affordable():
                break
            more = self._further_set()
            if not more:
                break
            race.add([entry.key for entry in more])
            self._sets += 1
        self._confirm(race)

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
        tail_runs = min(TAIL_RUNS, self._most_reserved)
        self._race = taken_up.race(self._rng, self._measured.baseline, tail_runs)
        self._reporter.report(Standings(tuple(self._results.ranked(self._race))))
        self._confirm(self._race)

    # --- baseline ---

    def _measure_baseline(self) -> None:
        found = self._baselines
        found.warm_up(self._runs, self._options.warmup)
        self._budget.forget_trials()  # a first run may be far slower than all later ones
        found.measure(self._runs, self._budget, self._reporter)
        pairs = self._pairs_to_confirm(found.runs_of_a_pair)
        self._refuse_too_few_for_statistic(pairs)
        baseline, observation = self._measured.learn_baseline(
            found.measured, found.sweep.places(), self._machine.info.cpus, pairs, self._alpha
        )
        if self._statistic is not None:
            gain = detectable(baseline.noise * self._statistic.noise_factor, pairs, self._alpha)
            baseline = self._measured.baseline = replace(baseline, detectable=gain)
        if baseline.detectable is None:
            baseline = self._measured.baseline = replace(baseline, wanted_s=self._wanted_s())
        elif self._options.min_effect:
            baseline = self._measured.baseline = self._with_min_effect(baseline, pairs)
        first_runs = [*found.warmups.get(found.best, ()), *found.measured[found.best]]
        wall_s = [outcome.trial.run.wall_s for outcome in first_runs]
        prepared = self._workload.prepare is not None or self._workload.pristine
        for caution in stats.cautions(wall_s, prepared=prepared):
            if caution.kind == "already done" or (caution.kind == "slow start" and not self._options.warmup):
                self._reporter.warn(caution.text)  # a warm-up run takes the slow start; the others wait for all runs
        if found.are_several:
            self._reporter.report(ValuesKnown(tuple(self._results.of_baselines())))
        self._reporter.report(BaselineKnown(baseline, observation))

    def _warn_of_a_small_budget(self) -> None:
        """Warn of a budget that has no room for one verdict, as soon as it is known what a run takes."""
        baseline_runs = self._baselines.least_runs - 1
        if self._budget.runs_left() < baseline_runs + budget.VERDICT_RUNS:
            run, given = duration_text(self._budget.cost_s(1)), duration_flag(self._options.budget_s)
            wanted = duration_flag(self._wanted_s(baseline_runs))
            self._reporter.warn(
                f"a run takes about {run}, so the budget of {given} is too small for a verdict; "
                f"--budget {wanted} has room for one"
            )

    def _wanted_s(self, before: int = 0) -> float:
        """Return a budget with room for all rounds of the candidates and a confirmation. So far only runs of the
        baseline are over, and `before` are still to come."""
        if self._taken_up is not None:  # there is no race
            runs = before + max(budget.VERDICT_RUNS, self._most_reserved)
            return budget.rounded_up(
                max(self._options.budget_s * 1.1, self._budget.spent_s() + self._budget.cost_s(runs))
            )
        tried = len(self._options.user_candidates) * len(self._trials.points) or budget.FULL_SET
        return max(self._allotted(tried, 0, before).wanted_s, budget.rounded_up(self._options.budget_s * 1.1))

    def _larger_budget(self) -> str:
        """Return the advice to give a budget with room for all rounds of those that were tried and a confirmation."""
        allotted = self._allotted(len(self._entries), 0)
        raced_s = self._budget.cost_s(len(self._measured.trials))
        wanted_s = budget.rounded_up(max(self._options.budget_s * 1.1, allotted.wanted_s - raced_s))
        return f"--budget {duration_flag(wanted_s)} has room for that"

    def _too_slow(self, error: OutOfBudget) -> WorkloadError:
        """Return the error of a workload that the budget has no room for. How long a run takes is known only from one
        that ended."""
        what = f"{error.during} did not end" if error.during else "the baseline was not measured"
        before = self._runs_before
        hint = f"give a larger --budget; a verdict takes at least {before + budget.VERDICT_RUNS} runs"
        if self._budget.cost_s(1):
            hint = f"--budget {duration_flag(self._wanted_s(before))} has room for a verdict"
        return WorkloadError(f"{what} within the budget of {duration_flag(self._options.budget_s)}", hint=hint)

    @property
    def _runs_before(self) -> int:
        """Runs of the baseline before anything is compared with it."""
        return self._options.warmup * len(self._trials.points) + self._baselines.least_runs

    @property
    def _alpha(self) -> float:
        """Risk that the first confirmation gets."""
        return ALPHA / 2 if self._taken_up is None else self._taken_up.alpha

    def _pairs_to_confirm(self, runs_of_a_pair: int) -> int:
        """Return how many pairs the budget has for a confirmation; a race takes half of it."""
        runs = self._budget.runs_left()
        room = budget.reserve(runs, self._most_reserved) if self._taken_up is None else min(runs, self._most_reserved)
        pairs = room // runs_of_a_pair
        return pairs if pairs >= LEAST_PAIRS else 0

    def _refuse_too_few_for_statistic(self, pairs: int) -> None:
        """Raise UsageError where the budget has no room for the pairs that the statistic needs."""
        judged = self._statistic
        if judged is None or pairs >= judged.least_pairs:
            return
        wanted_runs = self._runs_for(judged.least_pairs) + 2
        wanted_s = budget.rounded_up(self._budget.spent_s() + self._budget.cost_s(wanted_runs))
        raise UsageError(
            f"--statistic {judged.name} needs {judged.least_pairs} pairs of runs to confirm a gain, and the budget has "
            f"room for {pairs}",
            hint=f"give --budget {duration_flag(wanted_s)}, or judge the typical run",
        )

    def _with_min_effect(self, baseline: Baseline, pairs: int) -> Baseline:
        """Return the baseline with what `--min-effect` asks of the budget: half of all runs are for a confirmation."""
        least = self._options.min_effect
        factor = 1.0 if self._statistic is None else self._statistic.noise_factor
        wanted = pairs_to_show(math.log1p(least), math.sqrt(2.0) * baseline.noise * factor)
        if wanted <= pairs or wanted > MOST_PAIRS:
            return replace(baseline, min_effect=least)
        wanted_s = budget.rounded_up(self._budget.spent_s() + self._budget.cost_s(self._runs_for(wanted)))
        return replace(baseline, min_effect=least, wanted_s=wanted_s)

    def _runs_for(self, pairs: int) -> int:
        """Return the runs after the baseline of which a confirmation of so many pairs takes its half."""
        return 2 * self._baselines.runs_of_a_pair * pairs

    # --- candidates ---

    def _first_race(self) -> Race | None:
        proposals = self._first_proposals()
        runs = self._budget.runs_left()  # after planning, which takes time
        self._reserve_runs = budget.reserve(runs, self._most_reserved)
        self._reserve_s = self._budget.cost_s(self._reserve_runs)
        allotted = self._allotted(len(proposals), runs)
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
            tail_runs=min(TAIL_RUNS, self._most_reserved),
            min_effect=self._options.min_effect,
            statistic=self._statistic,
            alpha=self._baselines.alpha,
            baseline=self._baselines.best,
            rivals=self._baselines.rivals,
        )
        return self._race

    def _first_proposals(self) -> Sequence[Proposal]:
        """The user's candidates, or a planner's where there is room for one: planning costs time, and maybe money."""
        if self._options.user_candidates or self._affordable():
            return self._proposals()
        wanted = duration_flag(self._allotted(budget.FULL_SET, self._budget.runs_left()).wanted_s)
        self._reporter.warn(f"the budget has no room for a candidate; --budget {wanted} has room for {budget.FULL_SET}")
        return []

    def _allotted(self, proposed: int, runs: int, before: int = 0) -> Allotment:
        """Divide the runs that fit after the baseline; `before` of its runs are still to come."""
        return budget.allot(
            proposed=proposed,
            runs=runs,
            most_rounds=self._options.max_rounds,
            spent_s=self._budget.spent_s() + self._budget.cost_s(before),
            run_s=self._budget.cost_s(1),
            most=self._most_reserved,
            likely=self._baselines.likely(proposed),
        )

    def _report_allotment(self, allotted: Allotment, untried: Sequence[str]) -> None:
        """Report before the race how much fits into the budget; as a warning when candidates are left untried."""
        if untried:
            self._reporter.warn(f"{documents.allotment_sentence(allotted)} Not tried: {', '.join(untried)}.")
        else:
            self._reporter.report(RacePlanned(allotted))

    def _further_set(self) -> list[Entry]:
        """Admit further candidates, as many as the budget has all rounds for."""
        fresh, untried = self._admit(self._proposals(), self._affordable())
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
            candidates_affordable=self._baselines.schedulers_affordable(self._affordable()),
            refused=self._entries.take_refused(),
        )

    def _admit(self, proposals: Sequence[Proposal], at_most: int) -> tuple[list[Entry], list[str]]:
        fresh, untried = self._entries.admit(proposals, at_most)
        if fresh:
            self._reporter.report(Proposed(self._planner_name(), tuple(entry.proposal for entry in fresh)))
        return fresh, untried

    def _affordable(self) -> int:
        reserved = None if self._race is None else self._reserved()
        return self._budget.candidates_affordable(self._options.max_rounds, self._most_reserved, reserved=reserved)

    @property
    def _most_reserved(self) -> int:
        most = MOST_PAIRS if self._statistic is None else self._statistic.most_pairs
        return self._baselines.runs_of_a_pair * min(most, self._options.most_pairs or sys.maxsize)

    def _reserved(self) -> int:
        """Return the runs that are reserved for the confirmation. Where runs turn out to take longer than the
        baseline's, race and confirmation share the loss."""
        fitting = int(self._reserve_s / max(1e-3, self._budget.cost_s(1)))
        least = min(self._baselines.runs_of_a_pair * LEAST_PAIRS, self._reserve_runs)
        return max(least, min(self._reserve_runs, fitting))

    def _planner_name(self) -> str:
        if self._taken_up is not None:
            return self._taken_up.session.planner
        return "user" if self._options.user_candidates else self._planner.name

    # --- rounds ---

    def _race_on(self, race: Race) -> None:
        """Run the rounds of one set while the budget leaves room for the confirmation."""
        while not race.set_finished and not race.done:
            if self._budget.runs_left() < race.racing + 1 + self._reserved():
                self._reporter.warn(f"the budget was used up before the race finished; {self._larger_budget()}")
                return
            self._one_round(race)

    def _confirm(self, race: Race) -> None:
        if race.done:
            return
        pairs = min(self._budget.runs_left() // self._baselines.runs_of_a_pair, self._options.most_pairs or sys.maxsize)
        if pairs < race.least_pairs:
            self._reporter.warn(f"the budget ended before the leader could be confirmed; {self._larger_budget()}")
            return
        race.begin_confirm(pairs)
        self._report_left(race)
        while not race.done:
            if self._budget.left_s() < self._budget.cost_s(1):  # half a pair of room is enough: its look was planned
                if race.confirming:
                    self._reporter.warn(f"the budget ended before the leader was confirmed; {self._larger_budget()}")
                return
            self._one_round(race)

    def _one_round(self, race: Race) -> None:
        upcoming = race.next_round()
        if upcoming is None:
            return
        place = (upcoming.phase, upcoming.number, upcoming.at_most, upcoming.order)
        self._reporter.report(RoundStarted(*place, left_s=self._left_s(upcoming)))
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

    def _with_budget(self, chain: Chain) -> Chain:
        """Return what the session leaves, with the budget that a continuation should have."""
        if not chain.contenders or self._measured.baseline is None:
            return chain
        deviation = self._race.pair_deviation if self._race is not None else None
        deviation = deviation or math.sqrt(2.0) * self._measured.baseline.noise
        pairs = continuation.pairs_wanted(chain, deviation, self._options.min_effect, self._statistic)
        wanted_s = self._start_s + self._budget.cost_s(self._runs_before + 2 * pairs + 1)
        return replace(chain, budget_s=budget.rounded_up(wanted_s))

    def _left_s(self, upcoming: Round) -> float:
        """Estimate what the session takes at most from this round on, in the budget that is left."""
        runs = budget.runs_to_come(
            upcoming.phase,
            upcoming.at_most - upcoming.number + 1,
            len(upcoming.order),
            sets=0 if self._options.user_candidates else MAX_SETS - self._sets,
            most_rounds=self._options.max_rounds,
            most=self._most_reserved,
        )
        return min(self._budget.left_s(), self._budget.cost_s(runs))

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
            recommendation=ranking.recommend(
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
            id=self._options.id,
            continues=self._taken_up.session.id if self._taken_up is not None else None,
            chain=self._with_budget(chain) if chain is not None else None,
        )
