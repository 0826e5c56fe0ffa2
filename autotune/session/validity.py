# SPDX-License-Identifier: MIT
"""Decides whether a run counts, says why not, and reads the values of one that does. Pure.

One rule for the baseline and the candidates. A run counts only when its evidence, its exit code and its metric are all
valid.
"""

from __future__ import annotations

from autotune.errors import WorkloadError
from autotune.records import Measurement, Output, Run, Trial, Workload
from autotune.session.limits import timed_out_text
from autotune.session.nearest import nearest_line
from autotune.verdict import guards, metrics


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
        return _metric_problem(run)
    return None


def _is_ignored(run: Run, workload: Workload) -> bool:
    """Return whether a run counts however it ended."""
    code = _shell_exit(run)
    return workload.ignore_failure and (not workload.ignored_exits or code == 0 or code in workload.ignored_exits)


def _shell_exit(run: Run) -> int | None:
    """Return the exit code as a shell shows it: 128 + N for signal N."""
    return run.exit_code if run.signal is None else 128 + run.signal


def _metric_problem(run: Run) -> str | None:
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


def refuse_not_found(run: Run, workload: Workload) -> None:
    """Raise WorkloadError when a guard's or a further metric's expression does not find its number."""
    for expression, found in zip(metrics.expressions(workload), run.found, strict=False):
        problem = metrics.problem_of(found)
        if problem is not None:
            guard = next((one for one in workload.guards if one.regex == expression), None)
            what = f"--guard {guard.name}" if guard is not None else f"--metric {expression!r}"
            nearest = nearest_line(expression, run)
            hint = f"the nearest line is '{nearest}'" if nearest else "make its group 1 match one number"
            raise WorkloadError(f"{what} cannot be measured: {problem}", hint=hint)


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


def advice(trial: Trial, workload: Workload) -> str:
    """Advise what to do about a workload that fails under the baseline."""
    run = trial.run
    if run.start_error is not None:
        return "check the command and the directory it runs in"
    if run.timed_out:
        return "give it more time with --timeout"
    if run.metric_error is not None:
        return "make the expression simpler: a repetition within a repetition, as in (a+)+, can take for ever"
    if workload.metric_regex is not None and trial.invalid == _metric_problem(run):
        return _metric_advice(run, workload.metric_regex)
    said = last_lines(run.stderr, 1) or last_lines(run.stdout, 1)
    code = _shell_exit(run)
    others = ",".join(map(str, dict.fromkeys([*workload.ignored_exits, code]))) if workload.ignored_exits else ""
    remedy = f"make it succeed first, or use --ignore-failure{'=' if others else ''}{others}"
    return f"its last line: {said[:200]}; {remedy}" if said else remedy
