# SPDX-License-Identifier: MIT
"""One tuning session: baseline, observation, proposals, rounds, confirmation, report.

The planner proposes, this decides. What to run next and what may be claimed is `race`'s word; whether a run counts
is `trials`'. Here the two are wired together, within the budget, and whatever happens ends in a Session that says
what is known so far.
"""

from __future__ import annotations

import contextlib
import math
import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

import autotune
from autotune.errors import (
    AttachError,
    AutotuneError,
    BuildError,
    Interrupted,
    MachineLost,
    PlannerError,
    UsageError,
    WorkloadError,
)
from autotune.events import (
    BaselineKnown,
    Dropped,
    Event,
    Finished,
    Listener,
    MachineReady,
    Proposed,
    RacePlanned,
    RoundStarted,
    Standings,
    Step,
    Warned,
)
from autotune.machine.base import Machine
from autotune.measure import counters
from autotune.planner.base import Planner, Situation
from autotune.records import (
    BASELINE,
    Allotment,
    AttachSpec,
    Baseline,
    Candidate,
    CandidateResult,
    Observation,
    Phase,
    Proposal,
    Run,
    Session,
    Trial,
    Workload,
)
from autotune.report import documents
from autotune.session.trials import LostTrial, TrialOutcome, Trials
from autotune.verdict import budget, ranking, stats
from autotune.verdict.race import MAX_ROUNDS, MIN_ROUNDS, Race, Round, Standing, confirmable

BASELINE_RUNS = 3
"""Runs of the baseline before the race: what the noise floor rests on."""

LEAST_MARGIN, MOST_MARGIN = 0.01, 0.1
"""Later trials may take longer than those that an estimate rests on: by their relative deviation, within these."""

MAX_SETS = 4
"""Sets of candidates at most, however large the budget."""


class Approve(Protocol):
    """Asked before each switch of the scheduler."""

    def __call__(self, candidate: Candidate, proposal: Proposal, *, editable: bool) -> Candidate | None:
        """What may be attached: the candidate itself; one with other knobs, where `editable`; None to leave it out.
        Raises Interrupted to quit."""


@dataclass(frozen=True)
class SessionOptions:
    """What a session needs to know besides the workload."""

    warmup: int = 1
    min_rounds: int = MIN_ROUNDS
    max_rounds: int = MAX_ROUNDS
    budget_s: float = 600.0
    seed: int = 0
    user_candidates: tuple[Candidate, ...] = ()
    """Given with `--scheduler`; the planner is asked when there are none."""
    approve: Approve | None = None
    show_output: bool = False


Resolver = Callable[[Candidate], AttachSpec]
"""Finds or builds what a candidate needs to be attached. Raises BuildError, UsageError."""


def tune(
    workload: Workload,
    machine: Machine,
    planner: Planner,
    options: SessionOptions,
    listener: Listener,
    resolve: Resolver,
    clock: Callable[[], float] = time.monotonic,
) -> Session:
    """Run one session to its end, to the end of its budget, or to whatever ends it before, and return what it found.
    Once the baseline is known nothing is raised any more: an error is the session's `failure`, beside all its runs.
    `clock` tells the seconds that the budget is counted in. Raises WorkloadError when the workload cannot be measured
    under the baseline."""
    return _Tuning(workload, machine, planner, options, listener, resolve, clock).run()


_Round: TypeAlias = tuple[Phase, int]


@dataclass
class _Entry:
    """What is known of a candidate besides its place in the race."""

    proposal: Proposal
    spec: AttachSpec
    values: dict[_Round, float] = field(default_factory=dict)
    last_problem: str = ""


class _OutOfBudget(Exception):
    """The budget of the session is used up."""


class _Tuning:
    """The state of one session."""

    def __init__(
        self,
        workload: Workload,
        machine: Machine,
        planner: Planner,
        options: SessionOptions,
        listener: Listener,
        resolve: Resolver,
        clock: Callable[[], float],
    ) -> None:
        self._workload = workload
        self._machine = machine
        self._planner = planner
        self._options = options
        self._listener = listener
        self._resolve = resolve
        self._trials = Trials(workload, machine, self._tell, show_output=options.show_output)
        self._started_at = time.time()
        self._clock = clock
        self._started = clock()
        self._rng = random.Random(options.seed)
        self._all: list[Trial] = []
        self._warnings: list[str] = []
        self._entries: dict[str, _Entry] = {}
        self._baseline: Baseline | None = None
        self._baseline_values: dict[_Round, float] = {}
        self._observation: Observation | None = None
        self._race: Race | None = None
        self._reserve_runs = 0
        self._trials_s: list[float] = []
        self._seen_drops: set[str] = set()
        self._refused: list[str] = []
        self._last_run: Run | None = None
        self._failure: str | None = None

    def run(self) -> Session:
        ended = _caught(self._session)
        if ended is not None:
            ended = self._give_back() or ended
        cleaning = _caught(self._cleanup)  # starts a helper of its own
        if ended is not None and self._baseline is None and not _is_interruption(ended):
            self._warn_of_cleanup(cleaning)
            raise ended
        return self._finish(ended, cleaning)

    def _give_back(self) -> BaseException | None:
        """Close the machine whatever comes meanwhile: what kept it from being given back, which weighs more than what
        ended the session; None when it was."""
        first = _caught(self._machine.close)
        again = None if first is None else _caught(self._machine.close)  # after a second Ctrl-C
        return again or (None if first is None or _is_interruption(first) else first)

    def _finish(self, ended: BaseException | None, cleaning: BaseException | None) -> Session:
        """All that is known, whatever `ended` the session before its time, and whatever became of cleanup."""
        interrupted = ended is not None and _is_interruption(ended)
        first = None if self._failure else ended or cleaning
        if ended is not None and not interrupted:
            self._failure = self._failure or _said(ended)
            self._warn(_said(ended))
        self._warn_of_cleanup(cleaning)
        session = self._summary(interrupted, self._failure)
        self._tell(Finished(session, first))
        return session

    def _cleanup(self) -> None:
        with contextlib.suppress(MachineLost):  # what there was to clean up went with it
            self._trials.cleanup()

    def _warn_of_cleanup(self, error: BaseException | None) -> None:
        if error is not None:
            what = "the cleanup command was interrupted" if _is_interruption(error) else _said(error)
            self._warn(what)

    def _session(self) -> None:
        self._tell(MachineReady(self._machine.info, self._workload))
        self._trials.setup()
        self._measure_baseline()
        with contextlib.suppress(_OutOfBudget):
            self._tune()

    def _tune(self) -> None:
        race = self._first_race()
        if race is None:
            return
        sets = 1
        while True:
            self._race_on(race)
            if sets == MAX_SETS or self._options.user_candidates or not self._affordable():
                break
            more = self._propose()
            if not more:
                break
            race.add([entry.proposal.candidate.key for entry in more])
            sets += 1
        self._confirm(race)

    # --- baseline ---

    def _measure_baseline(self) -> None:
        outcomes = [self._baseline_run("warmup", number + 1) for number in range(self._options.warmup)]
        self._trials_s.clear()  # a first run may be far slower than all later ones
        runs = max(BASELINE_RUNS, self._options.min_rounds)
        measured = [self._baseline_run("baseline", number + 1) for number in range(runs)]
        trials = [outcome.trial for outcome in measured]
        self._baseline_values = {(one.phase, one.round): one.value for one in trials if one.value is not None}
        values = list(self._baseline_values.values())
        self._caution([outcome.trial.run.wall_s for outcome in [*outcomes, *measured]])
        self._last_run = measured[-1].trial.run
        noise = stats.noise(values) or 0.0
        self._baseline = Baseline(
            median=stats.median(values) or 0.0, runs=len(values), noise=noise, floor=confirmable(noise)
        )
        cpus = self._machine.info.cpus
        seen = [counters.observe(item.before, item.after, item.trial.run, cpus) for item in measured]
        self._observation = counters.average(seen)
        self._tell(BaselineKnown(self._baseline, self._observation))

    def _baseline_run(self, phase: Phase, number: int) -> TrialOutcome:
        outcome = self._again_if_lost(lambda: self._trials.baseline(phase, number))
        if isinstance(outcome, LostTrial):
            raise WorkloadError(f"the baseline could not be measured: {outcome.reason}", hint="run again")
        self._all.append(outcome.trial)
        self._trials.learn_from_baseline(outcome.trial)
        return outcome

    def _caution(self, wall_s: list[float]) -> None:
        prepared = self._workload.prepare is not None or self._workload.pristine
        for caution in stats.cautions(wall_s, prepared=prepared):
            if caution.kind != "slow start" or not self._options.warmup:  # that is what the warm-up is for
                self._warn(caution.text)

    # --- candidates ---

    def _first_race(self) -> Race | None:
        runs = self._runs_left()
        self._reserve_runs = budget.reserve(runs)
        proposals = self._user_proposals() if self._options.user_candidates else self._proposals()
        allotted = budget.allot(
            proposed=len(proposals),
            runs=runs,
            most_rounds=self._options.max_rounds,
            spent_s=self._clock() - self._started,
            run_s=self._cost_s(1),
        )
        entries, untried = self._admit(proposals, allotted.fitting)
        if proposals:
            self._say_allotment(allotted, untried)
        if not entries:
            return None
        self._race = Race(
            [entry.proposal.candidate.key for entry in entries],
            goal=self._workload.goal,
            rng=self._rng,
            min_rounds=self._options.min_rounds,
            max_rounds=self._options.max_rounds,
        )
        return self._race

    def _say_allotment(self, allotted: Allotment, untried: Sequence[str]) -> None:
        """Say before the race what the budget has room for; as a warning when candidates are left untried."""
        if untried:
            self._warn(f"{documents.allotment_sentence(allotted)} Not tried: {', '.join(untried)}.")
        else:
            self._tell(RacePlanned(allotted))

    def _user_proposals(self) -> list[Proposal]:
        return [Proposal(candidate, "asked for with --scheduler") for candidate in self._options.user_candidates]

    def _propose(self) -> list[_Entry]:
        """A further set of candidates, as far as the budget has room for all their rounds."""
        fresh, untried = self._admit(self._proposals(), self._affordable())
        self._refused += [f"{key}: the budget has no room for it" for key in untried]
        return fresh

    def _proposals(self) -> Sequence[Proposal]:
        assert self._baseline is not None
        assert self._observation is not None
        assert self._last_run is not None
        self._tell(Step("plan", self._planner.name))
        situation = Situation(
            machine=self._machine.info,
            workload=self._workload,
            baseline=self._baseline,
            observation=self._observation,
            run=self._last_run,
            results=tuple(self._candidate_results()),
            budget_left_s=self._left_s(),
            candidates_affordable=self._affordable(),
            refused=tuple(self._refused),
        )
        self._refused = []
        try:
            proposals = self._planner.propose(situation)
        except PlannerError as error:
            if not self._entries:
                raise
            self._failure = str(error)  # what is known so far still deserves its confirmation
            self._warn(f"planning has ended: {error}")
            return []
        for remark in self._planner.remarks():
            self._warn(remark)
        return proposals

    def _admit(self, proposals: Sequence[Proposal], at_most: int) -> tuple[list[_Entry], list[str]]:
        """Take in what can be built and was not tried before, the first `at_most`; say what cannot be built. Returns
        what was taken in, and the keys of what there was no room for."""
        fresh: list[_Entry] = []
        untried: list[str] = []
        for proposal in proposals:
            key = proposal.candidate.key
            if key in self._entries:
                continue
            if len(fresh) == at_most:
                untried.append(key)
                continue
            self._tell(Step("build", key))
            try:
                entry = _Entry(proposal, self._resolve(proposal.candidate))
            except (AttachError, BuildError, UsageError) as error:
                self._refused.append(f"{key}: {error}")
                self._warn(f"{key} is left out: {error}")
                continue
            self._entries[key] = entry
            fresh.append(entry)
        if fresh:
            self._tell(Proposed(self._planner_name(), tuple(entry.proposal for entry in fresh)))
        return fresh, untried

    def _planner_name(self) -> str:
        return "user" if self._options.user_candidates else self._planner.name

    # --- rounds ---

    def _race_on(self, race: Race) -> None:
        """Run the rounds of one set, as far as the budget leaves room for a first look at the leader after them."""
        while not race.set_finished and not race.done:
            if self._runs_left() < race.racing + 1 + self._reserve_runs:
                self._warn("the budget ends the race before all its rounds; a larger --budget tells more apart")
                return
            self._one_round(race)

    def _confirm(self, race: Race) -> None:
        if race.done:
            return
        looks_at = budget.looks(self._runs_left() // 2)
        if not looks_at:
            self._warn("the budget ended before the leader could be confirmed; give a larger --budget")
            return
        if race.begin_confirm(looks_at) is None:
            return
        while not race.done:
            if self._left_s() < self._cost_s(1):  # a pair that fits by half is run: the look was promised
                self._warn("the budget ended before the leader was confirmed; give a larger --budget")
                return
            self._one_round(race)

    def _one_round(self, race: Race) -> None:
        upcoming = race.next_round()
        if upcoming is None:
            return
        self._tell(RoundStarted(upcoming.phase, upcoming.number, upcoming.at_most, upcoming.order))
        race.record(dict(self._one_run(race, upcoming, key) for key in upcoming.order))
        self._say_drops(race)
        if upcoming.phase == "race":  # what confirmation finds is told when it is done
            self._say_standings(race)

    def _one_run(self, race: Race, upcoming: Round, key: str) -> tuple[str, float | None]:
        """Run one of a round; the key it ran under, which the user may have changed, and its value."""
        if self._left_s() <= 0.0:
            raise _OutOfBudget
        if key == BASELINE:
            run = self._again_if_lost(lambda: self._trials.baseline(upcoming.phase, upcoming.number))
            return key, self._note(race, key, run)
        approved = self._approved(race, key)
        if approved is None:
            race.drop(key, "left out by the user", failed=False)
            return key, None
        return approved, self._candidate_run(race, upcoming, approved)

    def _approved(self, race: Race, key: str) -> str | None:
        """The key of what the user lets run in the place of a candidate; None when nothing."""
        entry = self._entries[key]
        candidate = entry.proposal.candidate
        if self._options.approve is None:
            return key
        editable = not entry.values and not entry.last_problem
        chosen = self._options.approve(candidate, entry.proposal, editable=editable)
        if chosen is None or chosen == candidate:
            return None if chosen is None else key
        return self._swap(race, key, chosen)

    def _swap(self, race: Race, key: str, chosen: Candidate) -> str | None:
        """Put what the user made of a candidate in its place."""
        if chosen.key in self._entries:
            self._warn(f"{chosen.key} is in the race already; {key} is left out")
            return None
        entry = self._entries[key]
        reason = f"{entry.proposal.reason} (knobs changed by the user, from {key})"
        try:
            spec = self._resolve(chosen)
        except (AttachError, BuildError, UsageError) as error:
            self._warn(f"{chosen.key} is left out: {error}")
            return None
        self._entries[chosen.key] = _Entry(Proposal(chosen, reason, entry.proposal.expected), spec)
        del self._entries[key]
        race.rename(key, chosen.key)
        return chosen.key

    def _candidate_run(self, race: Race, upcoming: Round, key: str) -> float | None:
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
        """A run that was lost with its helper or its VM says nothing about the candidate: it gets another."""
        started = self._clock()
        outcome = trial()
        if isinstance(outcome, LostTrial):
            self._warn(f"a run was lost and is repeated: {outcome.reason}")
            outcome = trial()
        self._trials_s.append(self._clock() - started)
        return outcome

    def _note(self, race: Race, key: str, outcome: TrialOutcome | LostTrial) -> float | None:
        """Keep a trial, and drop the candidate at once when the kernel threw it out."""
        entry = self._entries.get(key)
        if isinstance(outcome, LostTrial):
            self._warn(f"a run of {key} was lost: {outcome.reason}")
            if entry is not None:
                entry.last_problem = outcome.reason
            return None
        self._all.append(outcome.trial)
        value = outcome.trial.value
        if value is not None:
            values = self._baseline_values if entry is None else entry.values
            values[outcome.trial.phase, outcome.trial.round] = value
        elif entry is not None:
            entry.last_problem = outcome.trial.invalid or ""
        if outcome.ejected:
            race.drop(key, (outcome.trial.invalid or "ejected"))
        return value

    # --- budget ---

    def _left_s(self) -> float:
        return self._options.budget_s - (self._clock() - self._started)

    def _runs_left(self) -> int:
        """Runs that fit into what is left of the budget, as far as those so far tell."""
        return max(0, math.floor(self._left_s() / max(1e-3, self._cost_s(1))))

    def _cost_s(self, runs: int) -> float:
        """What so many trials will take, switches and prepare included, as far as those so far tell."""
        mean_s = statistics.fmean(self._trials_s) if self._trials_s else 0.0
        spread = statistics.stdev(self._trials_s) / mean_s if len(self._trials_s) > 1 and mean_s else 0.0
        return runs * mean_s * (1.0 + min(MOST_MARGIN, max(LEAST_MARGIN, spread)))

    def _affordable(self) -> int:
        """How many candidates are worth proposing now."""
        if self._race is None:
            return budget.candidates_worth_proposing(self._runs_left(), self._options.max_rounds)
        return budget.more_candidates(self._runs_left(), self._options.max_rounds)

    # --- telling ---

    def _tell(self, event: Event) -> None:
        self._listener(event)

    def _warn(self, text: str) -> None:
        if text not in self._warnings:
            self._warnings.append(text)
            self._tell(Warned(text))

    def _say_drops(self, race: Race) -> None:
        for standing in race.standings():
            if standing.dropped is not None and standing.key not in self._seen_drops:
                self._seen_drops.add(standing.key)
                self._tell(Dropped(standing.key, self._note_of(standing)))

    def _say_standings(self, race: Race) -> None:
        self._tell(Standings(tuple(self._results(race.winner))))

    # --- results ---

    def _candidate_results(self) -> list[CandidateResult]:
        if self._race is None:
            return []
        return [self._result(standing) for standing in self._race.standings()]

    def _result(self, standing: Standing) -> CandidateResult:
        entry = self._entries[standing.key]
        phase: Phase = "confirm" if standing.fresh else "race"
        compared = [(phase, number) for number in standing.rounds]
        own = [entry.values[one] for one in compared] or list(entry.values.values())
        return CandidateResult(
            candidate=entry.proposal.candidate,
            reason=entry.proposal.reason,
            verdict=standing.verdict,
            speedup=standing.plain,
            median=stats.median(own),
            baseline_median=stats.median([self._baseline_values[one] for one in compared]),
            runs=len(entry.values),
            invalid_runs=standing.invalid,
            confirmed=standing.confirmed,
            note=self._note_of(standing),
            expected=entry.proposal.expected,
            prediction=entry.proposal.prediction,
            held=ranking.held(entry.proposal.prediction, standing.verdict),
        )

    def _note_of(self, standing: Standing) -> str:
        entry = self._entries[standing.key]
        if standing.fresh and not standing.confirmed and not entry.last_problem:
            return f"not confirmed in {standing.pairs} fresh rounds"
        if standing.dropped is None or standing.dropped == entry.last_problem:
            return entry.last_problem
        if standing.verdict == "invalid" and entry.last_problem:
            return entry.last_problem
        return standing.dropped

    def _baseline_result(self) -> CandidateResult:
        return CandidateResult(
            candidate=Candidate(BASELINE),
            reason="the kernel's own scheduler",
            verdict=None,
            speedup=None,
            median=stats.median(list(self._baseline_values.values())),
            runs=len(self._baseline_values),
            invalid_runs=sum(1 for trial in self._all if trial.candidate == BASELINE and trial.invalid is not None),
            confirmed=False,
        )

    def _results(self, winner: str | None) -> list[CandidateResult]:
        return ranking.rank([*self._candidate_results(), self._baseline_result()], winner)

    def _summary(self, interrupted: bool, failure: str | None) -> Session:
        winner = self._race.winner if self._race is not None else None
        results = tuple(self._results(winner))
        is_time = self._workload.metric_regex is None
        return Session(
            schema=documents.SCHEMA_VERSION,
            autotune_version=autotune.__version__,
            started_at=self._started_at,
            elapsed_s=self._clock() - self._started,
            machine=self._machine.info,
            workload=self._workload,
            seed=self._options.seed,
            planner=self._planner_name(),
            metric=self._workload.metric_regex or documents.WALL_METRIC,
            baseline=self._baseline,
            observation=self._observation,
            results=results,
            winner=winner,
            recommendation=ranking.recommend(results, winner, self._baseline, is_time=is_time),
            trials=tuple(self._all),
            warnings=tuple(self._warnings),
            versions={"autotune": autotune.__version__, "kernel": self._machine.info.kernel},
            interrupted=interrupted,
            spending=self._planner.spending,
            transcript=self._planner.transcript,
            failure=failure,
        )


def _caught(step: Callable[[], None]) -> BaseException | None:
    """What ended the step; None when nothing did."""
    try:
        step()
    except BaseException as error:
        return error
    return None


def _is_interruption(error: BaseException) -> bool:
    return isinstance(error, (KeyboardInterrupt, Interrupted))


def _said(error: BaseException) -> str:
    return str(error) if isinstance(error, AutotuneError) else f"{type(error).__name__}: {error}"
