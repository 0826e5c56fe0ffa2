# SPDX-License-Identifier: MIT
"""Sentences on the workload's parameters, and on EEVDF at their values. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from autotune import parameters
from autotune.records import CandidateResult, Point, Session, Workload, point_text
from autotune.report.text import counted, printable, shell_word, value_text
from autotune.verdict.stats import ratio_text


def parameter_lines(workload: Workload) -> list[str]:
    """Return a line on the parameters and their values; none without parameters."""
    if not workload.parameters:
        return []
    named = "; ".join(f"{one.name} = {', '.join(map(_value, one.values))}" for one in workload.parameters)
    several = len(parameters.points(workload.parameters))
    sets = f" ({counted(several, 'set')} of values)" if len(workload.parameters) > 1 else ""
    return [printable(f"Parameters: {named}{sets}")]


def _value(text: str) -> str:
    """Write a value as `--param` takes it; the empty one is quoted."""
    return parameters.joined((text,)) or "''"


def flags(workload: Workload) -> list[str]:
    """Return the options of `autotune cc` that give the parameters."""
    given = (f"{one.name}={parameters.joined(one.values)}" for one in workload.parameters)
    return [word for text in given for word in ("--param", text)]


def value_lines(results: Sequence[CandidateResult], *, is_time: bool) -> list[str]:
    """Return a line for each value at which EEVDF ran, best first."""
    return ["EEVDF by value, best first:", *(f"  {_of_value(one, is_time=is_time)}" for one in results)]


def _of_value(result: CandidateResult, *, is_time: bool) -> str:
    named = printable(point_text(result.candidate.params))
    median = "no valid run" if result.median is None else f"median {value_text(result.median, is_time=is_time)}"
    speedup = result.speedup
    if speedup is None:
        return f"{named}: {median}"
    bounds = f"{ratio_text(speedup.estimate)} [{ratio_text(speedup.low)}, {ratio_text(speedup.high)}]"
    says = "slower" if result.verdict == "slower" else "may be as good: a winner must beat it too"
    return f"{named}: {median}, {bounds} of the best one's speed; {says}"


def footnotes(session: Session) -> list[str]:
    """Return what the session's table compares with where the workload has parameters."""
    baseline = session.baseline
    if baseline is None or not baseline.params or len(parameters.points(session.workload.parameters)) < 2:
        return []
    best = printable(point_text(baseline.params))
    return [f"Every row is compared with EEVDF at its best value, {best}, unless its note says otherwise."]


AT_ITS_BEST = "The command at its best:"


def winner_commands(session: Session) -> list[str]:
    """Return the command line of the workload at the winner's values, or at EEVDF's best where nothing won; none
    without parameters, and when nothing is known."""
    point = _best_point(session)
    if not point:
        return []
    workload = parameters.at(session.workload, point)
    words = (workload.command,) if workload.shell else tuple(map(shell_word, workload.argv))
    return [printable(" ".join(words))]


def winner_lines(session: Session) -> list[str]:
    """Return `winner_commands` as lines of a report."""
    return [f"{AT_ITS_BEST} {command}" for command in winner_commands(session)]


def _best_point(session: Session) -> Point:
    if session.winner is not None and session.is_worth_it:
        return next((one.candidate.params for one in session.results if one.candidate.key == session.winner), ())
    return session.baseline.params if session.baseline is not None else ()
