# SPDX-License-Identifier: MIT
"""One trial: prepare, attach, run, check the evidence, detach, decide whether the run counts, conclude.

The order is the safety order: nothing is attached while prepare or conclude runs, and the scheduler is detached
before the outcome is examined. A run counts only when its evidence, its exit code and its metric are all valid.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

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
from autotune.machine.base import Machine, OutputHandler
from autotune.measure.client import shell_argv
from autotune.records import (
    BASELINE,
    AttachSpec,
    Candidate,
    Detachment,
    Measurement,
    Output,
    Phase,
    ProbeSpec,
    Run,
    RunSpec,
    Snapshot,
    Stage,
    Trial,
    Watched,
    Workload,
)
from autotune.schedext.holding.client import bounded
from autotune.schedext.holding.holder import refuse_unless_free
from autotune.session.limits import CLEANUP, COMMAND, Limits, timed_out_text
from autotune.session.nearest import nearest_line
from autotune.session.remarks import Remarks
from autotune.session.spending import OutOfBudget
from autotune.verdict import guards, metrics


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
            advice = _advice(trial, self._workload)
            raise WorkloadError(f"the workload cannot be measured: {trial.invalid}", hint=advice)
        if not self._is_known:  # what the first output lacks is a mistake of the options
            _refuse_not_found(trial.run, self._workload)
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
        seen = self._machine.watch(spec, probe, self._show())
        problem = run_problem(seen.run, self._workload, self._expected_exit, limit_s=spec.timeout_s)
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
        invalid = problem_of(measurement, self._workload, self._expected_exit, limit_s=limit_s)
        value = None if invalid else metric_value(measurement.run, self._workload)
        others = {} if invalid else other_values(measurement, self._workload)
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
                f"{what} failed: {exit_text(run, spec.timeout_s)}",
                hint=f"try it by hand: {command}",
                stage=name,
                detail=last_lines(run.stderr) or last_lines(run.stdout),
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


# --- what counts -----------------------------------------------------------------------------------------


def problem_of(
    measurement: Measurement,
    workload: Workload,
    expected_exit: int | None,
    *,
    limit_s: float | None = None,
) -> str | None:
    """Return why a run does not count; None when it does. The evidence comes first: an ejection explains the rest."""
    if measurement.evidence.problem is not None:
        return measurement.evidence.problem
    return run_problem(measurement.run, workload, expected_exit, limit_s=limit_s)


def run_problem(run: Run, workload: Workload, expected_exit: int | None, *, limit_s: float | None = None) -> str | None:
    """Return why the command itself makes a run not count; None when it does not."""
    if run.start_error is not None:
        return run.start_error
    if run.timed_out:
        return timed_out_text(run, limit_s)
    if run.exit_code != expected_exit and not _is_ignored(run, workload):
        return exit_text(run)
    if workload.metric_regex is not None:
        return metric_problem(run)
    return None


def _is_ignored(run: Run, workload: Workload) -> bool:
    """Return whether a run counts however it ended: one rule for the baseline and the candidates."""
    code = shell_exit(run)
    return workload.ignore_failure and (not workload.ignored_exits or code == 0 or code in workload.ignored_exits)


def shell_exit(run: Run) -> int | None:
    """Return the exit code as a shell shows it: 128 + N for signal N."""
    return run.exit_code if run.signal is None else 128 + run.signal


def metric_problem(run: Run) -> str | None:
    """Return why the output does not contain exactly one number; None when it does."""
    if run.metric_error is not None:
        return run.metric_error
    if run.metric_count == 0:
        return "the metric's expression matched nothing in the output"
    if run.metric_count > 1:
        return f"the metric's expression matched {run.metric_count} times; it must match once"
    try:
        number = float(run.metric_matches[0])
    except ValueError:
        return f"the metric's expression found {run.metric_matches[0]!r}, which is not a number"
    if not metrics.is_usable(number) or number <= 0.0:
        bound = "" if not number > 0.0 else f", from {metrics.LEAST:g} to {metrics.MOST:g}"
        return f"the metric is {number:g}; a ratio needs a number above 0{bound}"
    return None


def _refuse_not_found(run: Run, workload: Workload) -> None:
    """Raise WorkloadError when a guard's or a further metric's expression does not find its number."""
    for expression, found in zip(metrics.expressions(workload), run.found, strict=False):
        problem = metrics.problem_of(found)
        if problem is not None:
            guard = next((one for one in workload.guards if one.regex == expression), None)
            what = f"--guard {guard.name}" if guard is not None else f"--metric {expression!r}"
            nearest = nearest_line(expression, run)
            advice = f"the nearest line is '{nearest}'" if nearest else "make its group 1 match one number"
            raise WorkloadError(f"{what} cannot be measured: {problem}", hint=advice)


def other_values(measurement: Measurement, workload: Workload) -> dict[str, float]:
    """Return the values of guards and of further metrics of a run that counts."""
    built_in = guards.values(workload.guards, measurement.run, measurement.side)
    return {**built_in, **metrics.values(workload, measurement.run)}


def metric_value(run: Run, workload: Workload) -> float:
    """Return the metric of a run that counts."""
    return run.wall_s if workload.metric_regex is None else float(run.metric_matches[0])


def exit_text(run: Run, limit_s: float | None = None) -> str:
    """Describe how a run ended."""
    if run.start_error is not None:
        return run.start_error
    if run.timed_out:
        return timed_out_text(run, limit_s)
    return f"killed by signal {run.signal}" if run.signal is not None else f"exit code {run.exit_code}"


def last_lines(output: Output, count: int = 5) -> str:
    """Return the last lines of a stream."""
    return "\n".join((output.tail or output.head).strip().splitlines()[-count:])


def _metric_advice(run: Run, expression: str) -> str:
    if run.metric_count > 1:
        return "name more of the line, or begin the expression with '(?s).*' to take the last match"
    if run.metric_count == 1:
        return "group 1 must be a number above 0"
    nearest = nearest_line(expression, run)
    if nearest is None:
        return "the command printed no number" if run.stdout.head + run.stderr.head else "the command printed nothing"
    return f"the nearest line is '{nearest}'; group 1 is the number"


def _advice(trial: Trial, workload: Workload) -> str:
    """Advise what to do about a workload that fails under the baseline."""
    run = trial.run
    if run.start_error is not None:
        return "check the command and the directory it runs in"
    if run.timed_out:
        return "give it more time with --timeout"
    if run.metric_error is not None:
        return "make the expression simpler: a repetition within a repetition, as in (a+)+, can take for ever"
    if workload.metric_regex is not None and trial.invalid == metric_problem(run):
        return _metric_advice(run, workload.metric_regex)
    said = last_lines(run.stderr, 1) or last_lines(run.stdout, 1)
    code = shell_exit(run)
    others = ",".join(map(str, dict.fromkeys([*workload.ignored_exits, code]))) if workload.ignored_exits else ""
    advice = f"make it succeed first, or use --ignore-failure{'=' if others else ''}{others}"
    return f"its last line: {said[:200]}; {advice}" if said else advice
