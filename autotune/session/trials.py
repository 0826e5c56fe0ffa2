# SPDX-License-Identifier: MIT
"""One trial: prepare, attach, run, check the evidence, detach, decide whether the run counts (`validity`), conclude.

The order is the safety order: nothing is attached while prepare or conclude runs, and the scheduler is detached
before the outcome is examined.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import replace

from autotune.deadline import Deadline, unlimited
from autotune.errors import (
    AttachError,
    AutotuneError,
    BusyError,
    HolderLost,
    MachineFault,
    NotAttached,
    RunnerLost,
    WorkloadError,
)
from autotune.events import (
    Attached,
    AttachFailed,
    Detached,
    Listener,
    OutputSeen,
    RunFinished,
    RunStarted,
    Step,
    Warned,
)
from autotune.frozen import dataclass
from autotune.machine.base import Machine, OutputHandler
from autotune.measure.client import shell_argv
from autotune.records import (
    BASELINE,
    AttachSpec,
    Candidate,
    Detachment,
    Measurement,
    Phase,
    ProbeSpec,
    RunSpec,
    Snapshot,
    Stage,
    Trial,
    Watched,
    Workload,
)
from autotune.schedext.evidence import compare
from autotune.schedext.holding.client import bounded
from autotune.schedext.holding.holder import refuse_unless_free
from autotune.session import validity
from autotune.session.limits import CLEANUP, COMMAND, Limits
from autotune.session.remarks import Remarks
from autotune.session.spending import OutOfBudget
from autotune.verdict import metrics


@dataclass(frozen=True)
class TrialOutcome:
    """A trial, with what only the tuner needs: the machine's counters before and after the run, and `ejected`: the
    kernel ejected the scheduler, or its program ended or restarted."""

    trial: Trial
    before: Snapshot
    after: Snapshot
    ejected: bool


@dataclass(frozen=True)
class LostTrial:
    """A trial without a run, because a helper died or the machine was at fault. It may be tried again."""

    reason: str
    by_machine: bool
    """The machine stood still or was lost: neither the command nor the candidate can be blamed."""


def _lost(error: AutotuneError) -> LostTrial:
    return LostTrial(error.message, by_machine=isinstance(error, MachineFault))


class Trials:
    """Runs trials of one workload on one machine. No command outlasts the `deadline`: OutOfBudget is raised for one
    that it ended."""

    def __init__(
        self,
        workload: Workload,
        machine: Machine,
        listener: Listener,
        *,
        show_output: bool,
        deadline: Deadline | None = None,
        baseline: str = BASELINE,
        setups: dict[str, int] | None = None,
    ) -> None:
        """`baseline` is the key of EEVDF's runs. `setups` notes in which generation of the machine a setup command has
        run, for all that share it."""
        self._baseline = baseline
        self._setups = {} if setups is None else setups
        self._deadline = deadline or unlimited()
        self._limits = Limits(self._deadline, workload.timeout_s)
        self._workload = workload
        self._machine = machine
        self._listener = listener
        self._show_output = show_output
        self._expected_exit: int | None = 0
        self._is_known = False
        self._noted: set[str] = set()
        self._remarks = Remarks(workload, listener)
        self._generation = machine.generation

    @property
    def workload(self) -> Workload:
        return self._workload

    # --- before and after the trials ---

    def setup(self) -> None:
        """Run the setup command, a second time if the first is lost with its helper or its VM. Raises BusyError, before
        it runs anything, when somebody else's scheduler is attached."""
        try:
            self._generation = self._set_up()
        except RunnerLost as error:
            self._listener(Warned(f"setup was lost and is repeated: {error.message}"))
            self._generation = self._set_up()

    def _set_up(self) -> int:
        """Set up the current machine. Return its generation."""
        generation = self._machine.generation
        refuse_unless_free(self._machine.state())
        setup = self._workload.setup
        if setup is not None and self._setups.get(setup) != generation:
            self._helper("setup", setup)
            self._setups[setup] = generation
        return generation

    def cleanup(self) -> None:
        """Run the cleanup command, a second time if the first is lost with its helper but not with its machine. Then
        what setup left running is ended."""
        if self._workload.cleanup is None:
            self._end_setup()
            return
        self._helper_after("cleanup", self._workload.cleanup)

    def _helper_after(self, name: Stage, command: str) -> None:
        """Run a command that undoes what was done before it, a second time if the first is lost with its helper but not
        with its machine."""
        generation = self._machine.generation
        try:
            self._helper(name, command)
        except RunnerLost as error:
            if self._machine.generation != generation:
                return
            self._listener(Warned(f"{name} was lost and is repeated: {error.message}"))
            self._helper(name, command)

    def _end_setup(self) -> None:
        """End what setup left running, where no cleanup command does."""
        if self._workload.setup is not None:
            spec = self._run_spec(CLEANUP, shell_argv(":"))
            spec = replace(spec, metric_regex=None, stage="cleanup")
            with contextlib.suppress(RunnerLost):  # then it is ended with its helper
                self._remarks.see_ended(self._machine.run(spec), "setup")

    def learn_from_baseline(self, trial: Trial) -> None:
        """Set the expected exit code and the timeout from a baseline run. Raises WorkloadError when the workload cannot
        be measured, BusyError when it did not run under the kernel's own scheduler."""
        if trial.evidence.problem is not None:
            raise BusyError(f"the baseline cannot be measured: {trial.evidence.problem}", hint="stop what attaches it")
        if trial.invalid is not None:
            advice = validity.advice(trial, self._workload)
            raise WorkloadError(f"the workload cannot be measured: {trial.invalid}", hint=advice)
        if not self._is_known:  # what the first output lacks is a mistake of the options
            validity.refuse_not_found(trial.run, self._workload)
        self._is_known = True
        self._expected_exit = trial.run.exit_code
        self._limits.learn_from_baseline(trial.run)

    # --- trials ---

    def baseline(self, phase: Phase, number: int) -> TrialOutcome | LostTrial:
        """Run the workload under the kernel's own scheduler."""
        try:
            self._prepare()
        except RunnerLost as error:
            return _lost(error)
        self._listener(RunStarted(phase, number, self._baseline))
        return self._measured(phase, number, self._baseline, None, None)

    def candidate(self, phase: Phase, number: int, candidate: Candidate, spec: AttachSpec) -> TrialOutcome | LostTrial:
        """Run the workload under a candidate. Raises AttachError or BuildError when it cannot be attached."""
        try:
            self._prepare()
            self._listener(Step("attach" if spec.program is None else "start", candidate.key))
            attachment = self._machine.attach(bounded(spec, self._deadline))
        except (HolderLost, RunnerLost) as error:
            return _lost(error)
        except AttachError as error:
            if self._deadline.is_over:
                raise OutOfBudget(f"attaching {candidate.key}") from error
            self._listener(AttachFailed(candidate.key, error.message, error.detail))
            raise
        self._listener(Attached(candidate.key, attachment))
        self._listener(RunStarted(phase, number, candidate.key))
        return self._measured(phase, number, candidate.key, spec, lambda: self._detach(candidate))

    def watched(self, probe: ProbeSpec) -> Watched:
        """Run the workload under the kernel's own scheduler while a probe watches its tasks. Raises WorkloadError when
        the run would not count either."""
        self._prepare()
        spec = self._command_spec()
        return self._valid(self._watch(spec, probe), spec, None)

    def watched_under(self, candidate: Candidate, spec: AttachSpec, probe: ProbeSpec) -> Watched:
        """Do the same under a candidate. Raises AttachError, and WorkloadError also when it was not in charge all the
        time."""
        self._prepare()
        self._listener(Step("attach" if spec.program is None else "start", candidate.key))
        self._listener(Attached(candidate.key, self._machine.attach(bounded(spec, self._deadline))))
        try:
            before = self._machine.state()
            run_spec = self._command_spec(partial=spec.partial)
            seen = self._watch(run_spec, probe)
            problem = compare(spec.ops, before, self._machine.state())
        finally:
            self._detach(candidate)
        return self._valid(seen, run_spec, problem)

    def _watch(self, spec: RunSpec, probe: ProbeSpec) -> Watched:
        """Run the command with a probe beside it. Raises OutOfBudget when the budget ended it."""
        seen = self._machine.watch(spec, probe, self._show())
        self._limits.note(COMMAND, seen.run, spec.timeout_s)
        return seen

    def _valid(self, seen: Watched, spec: RunSpec, problem: str | None) -> Watched:
        """Conclude a run that was watched, and return it. Raises WorkloadError when it would not count."""
        problem = problem or validity.run_problem(seen.run, self._workload, self._expected_exit, limit_s=spec.timeout_s)
        self._conclude(problem)
        if problem is not None:
            raise WorkloadError(f"the run that was watched failed: {problem}", hint="run it again")
        return seen

    def _detach(self, candidate: Candidate) -> Detachment:
        detachment = self._machine.detach()
        self._listener(Detached(candidate.key, detachment))
        if detachment.note and candidate.key not in self._noted:
            self._noted.add(candidate.key)
            self._listener(Warned(f"{candidate.key}: {detachment.note}"))
        return detachment

    def _measured(
        self,
        phase: Phase,
        number: int,
        key: str,
        spec: AttachSpec | None,
        detach: Callable[[], Detachment] | None,
    ) -> TrialOutcome | LostTrial:
        started_at = time.time()
        run_spec = self._command_spec(partial=spec is not None and spec.partial)
        try:
            measurement = self._machine.measure(run_spec, spec.ops if spec else None, self._show())
        except RunnerLost as error:
            measurement = None
            lost = _lost(error)
        try:
            detachment = detach() if detach is not None else None
        except (HolderLost, NotAttached, RunnerLost) as error:
            return lost if measurement is None else _lost(error)
        if measurement is None:
            return lost
        self._limits.note(COMMAND, measurement.run, run_spec.timeout_s)
        by_error = detachment is not None and detachment.exit is not None and detachment.exit.is_error
        by_itself = spec is not None and spec.program is not None and measurement.evidence.problem is not None
        ejected = by_error or by_itself
        outcome = self._outcome(phase, number, key, started_at, measurement, run_spec.timeout_s, ejected=ejected)
        self._conclude(outcome.trial.invalid)
        return outcome

    def _outcome(
        self,
        phase: Phase,
        number: int,
        key: str,
        started_at: float,
        measurement: Measurement,
        limit_s: float | None,
        *,
        ejected: bool,
    ) -> TrialOutcome:
        invalid = validity.problem_of(measurement, self._workload, self._expected_exit, limit_s=limit_s)
        value = None if invalid else validity.metric_value(measurement.run, self._workload)
        others = {} if invalid else validity.other_values(measurement, self._workload)
        trial = Trial(
            phase=phase,
            round=number,
            candidate=key,
            started_at=started_at,
            run=measurement.run,
            evidence=measurement.evidence,
            value=value,
            invalid=invalid,
            others=others,
            surroundings=measurement.surroundings,
            events=measurement.events,
        )
        self._listener(RunFinished(trial))
        self._remarks.see(trial)
        return TrialOutcome(trial, measurement.before, measurement.after, ejected)

    # --- commands ---

    def _prepare(self) -> None:
        self._settle()
        self._machine.fresh()
        if self._workload.prepare is not None:
            self._helper("prepare", self._workload.prepare)

    def _conclude(self, problem: str | None) -> None:
        """Run the conclude command. What is wrong with the run itself, the `problem`, is more to the point than a
        conclude command that fails after it."""
        if self._workload.conclude is None:
            return
        try:
            self._helper_after("conclude", self._workload.conclude)
        except RunnerLost as error:
            self._listener(Warned(f"conclude was lost: {error.message}"))
        except WorkloadError as error:
            if problem is None:
                raise
            self._listener(Warned(f"after a run that does not count, {error.message}"))

    def _settle(self) -> None:
        """Repeat setup and warm-up on a machine that was replaced. If that is lost half-way, the next trial begins it
        anew."""
        if self._machine.generation == self._generation:
            return
        generation = self._set_up()
        try:
            self._warm_up()
        except RunnerLost:
            self._setups.clear()
            raise
        self._generation = generation

    def _warm_up(self) -> None:
        self._machine.fresh()
        if self._workload.prepare is not None:
            self._helper("prepare", self._workload.prepare)
        self._listener(Step("warm up", "once, since the machine is a new one"))
        spec = self._command_spec()
        self._limits.note(COMMAND, self._machine.run(spec, self._show()), spec.timeout_s)
        if self._workload.conclude is not None:
            self._helper("conclude", self._workload.conclude)

    def _helper(self, name: Stage, command: str) -> None:
        """Run one of the workload's own commands, not measured. Raises WorkloadError when it fails."""
        self._listener(Step(name, command))
        what = f"the {name} command"
        argv = shell_argv(command, self._workload.shell)
        spec = replace(self._run_spec(what, argv), metric_regex=None, stage=name)
        run = self._machine.run(spec, self._show())
        self._limits.note(what, run, spec.timeout_s)
        self._remarks.see_ended(run, ENDS.get(name, name))
        if run.exit_code != 0:
            raise WorkloadError(
                f"{what} failed: {validity.exit_text(run, spec.timeout_s)}",
                hint=f"try it by hand: {command}",
                stage=name,
                detail=validity.last_lines(run.stderr) or validity.last_lines(run.stdout),
            )

    def _command_spec(self, *, partial: bool = False) -> RunSpec:
        spec = self._run_spec(COMMAND, self._workload.argv, partial=partial)
        return replace(spec, keeps_prepared=self._workload.conclude is not None)

    def _run_spec(self, what: str, argv: tuple[str, ...], *, partial: bool = False) -> RunSpec:
        return RunSpec(
            argv=argv,
            cwd=self._workload.cwd,
            env=self._workload.env,
            stdin_path=self._workload.input_path,
            timeout_s=self._limits.of(what),
            stream=self._show_output,
            metric_regex=self._workload.metric_regex,
            policy_ext=partial,
            more_regexes=metrics.expressions(self._workload) if what == COMMAND else (),
            probe=what == COMMAND and any(one.name == "latency" and one.regex is None for one in self._workload.guards),
        )

    def _show(self) -> OutputHandler | None:
        if not self._show_output:
            return None
        return lambda stream, data: self._listener(OutputSeen("stderr" if stream == "stderr" else "stdout", data))


ENDS: dict[Stage, str] = {"cleanup": "setup", "conclude": "prepare"}
"""Whose processes a command ends, where not its own."""
