# SPDX-License-Identifier: MIT
"""Past sessions for a terminal: the list, two beside each other, and the known best of a command. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from autotune.knowledge import best
from autotune.knowledge.archive import title
from autotune.knowledge.best import KnownBest
from autotune.knowledge.experience import KnownCandidate, place_of
from autotune.knowledge.past import PastResult, PastSession, finding
from autotune.knowledge.swept import BestValues
from autotune.records import BASELINE, Interval, is_baseline
from autotune.report.table import interval_text
from autotune.report.text import counted, printable
from autotune.verdict.workload_kind import WorkloadKind
from autotune.views.paragraphs import Lines, paragraph

_LEAST_COMMAND = 12
"""Columns that a command has in a narrow terminal."""
_PLACES = {"none": "host", "kvm": "micro-VM", "tcg": "emulated VM"}
_AGES = ((365 * 86400, "year"), (30 * 86400, "month"), (86400, "day"), (3600, "hour"), (60, "minute"))


def age_text(seconds: float) -> str:
    """Say how long ago something was: `3 days ago`."""
    for unit_s, name in _AGES:
        if seconds >= unit_s:
            return f"{counted(int(seconds // unit_s), name)} ago"
    return "just now"


# --- the list ------------------------------------------------------------------------------------------------


def listing(sessions: Sequence[PastSession], *, width: int, now: float) -> Lines:
    """List sessions, one a line: name, age, place, runs, what was found, command."""
    header = ("session", "when", "where", "kernel", "runs", "result")
    lines = [header, *(_cells(one, now) for one in sessions)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    for cells, command in zip(lines, ["command", *(printable(one.command) for one in sessions)], strict=True):
        padded = [
            cell.rjust(size) if name == "runs" else cell.ljust(size)
            for cell, size, name in zip(cells, widths, header, strict=True)
        ]
        line = "  ".join(padded)
        room = max(_LEAST_COMMAND, width - len(line) - 2)
        yield f"{line}  {command if len(command) <= room else f'{command[: room - 3]}...'}".rstrip()


def _cells(session: PastSession, now: float) -> tuple[str, ...]:
    return (
        title(session),
        age_text(now - session.started_at),
        _PLACES.get(session.acceleration, printable(session.machine)),
        printable(session.kernel),
        str(session.measured_runs),
        result_text(session),
    )


def result_text(session: PastSession) -> str:
    """Return what a session found, in few words: `at_fifo 1.084`."""
    won = next((one for one in session.results if one.key == session.winner), None)
    if won is not None:
        gain = f" {won.speedup.estimate:.3f}" if won.speedup is not None else ""
        return f"{printable(won.key)}{gain}"
    if session.state == "lost":
        return "cut off"
    return "no answer" if session.failure or session.interrupted or session.baseline_median is None else "EEVDF"


def notes(found: Iterable[Mapping[str, Any]], *, width: int, now: float) -> Lines:
    """List notes that models keep, a paragraph each."""
    for one in found:
        about = f" ({one['scheduler']})" if one["scheduler"] else ""
        said = f"{one['workload']}, {age_text(now - one['created_at'])}{about}: {one['result']}"
        yield from paragraph(said, width, 0, 2)
        yield from paragraph(f"of {one['description']}, in {one['directory'] or 'no directory'}", width, 2, 2)


# --- two beside each other -----------------------------------------------------------------------------------


def compared(first: PastSession, second: PastSession, *, width: int) -> Lines:
    """Show what differs between two sessions, and what each found of every candidate."""
    for one in (first, second):
        where = best.place_of(place_of(one))
        said = f"{title(one)}: {one.command} in {one.cwd}, {where}, Linux {one.kernel}: {finding(one)}"
        yield from paragraph(said, width, 0, 2)
    changes = best.differences(place_of(first), place_of(second))
    if (first.command, first.cwd) != (second.command, second.cwd):
        changes = ("they are of different commands or directories", *changes)
    for change in changes:
        yield from paragraph(f"differs: {change}", width, 0, 2)
    yield ""
    yield from _side_by_side(first, second)
    yield ""
    yield from paragraph(agreement(first, second), width, 0)


def _side_by_side(first: PastSession, second: PastSession) -> Lines:
    of_first, of_second = ({one.key: one for one in session.results} for session in (first, second))
    keys = list(dict.fromkeys([*of_first, *of_second]))
    header = ("candidate", title(first), title(second))
    lines = [header, *((printable(key), _outcome(of_first.get(key)), _outcome(of_second.get(key))) for key in keys)]
    widths = [max(len(line[column]) for line in lines) for column in range(3)]
    for line in lines:
        yield "  ".join(cell.ljust(size) for cell, size in zip(line, widths, strict=True)).rstrip()


def _outcome(result: PastResult | None) -> str:
    if result is None:
        return "not tried"
    if is_baseline(result.key):
        return "baseline" if result.median is None else f"baseline, median {result.median:.4g}"
    gain = f" {interval_text(result.speedup)}" if result.speedup is not None else ""
    return f"{result.verdict}{gain}{', confirmed' if result.confirmed else ''}"


def agreement(first: PastSession, second: PastSession) -> str:
    """Say whether two sessions reached the same verdict."""
    if first.winner is not None and first.winner == second.winner:
        ranges = [one.speedup for session in (first, second) for one in session.results if one.key == session.winner]
        if None not in ranges and not _overlap(*ranges):  # type: ignore[arg-type]
            return f"Both found {first.winner}, but their intervals do not overlap: its gain differs."
        return f"Both found {first.winner}."
    unanswered = [title(one) for one in (first, second) if one.winner is None and result_text(one) != "EEVDF"]
    if unanswered:
        return f"{' and '.join(unanswered)} ended without an answer, so they cannot be compared."
    if first.winner is None and second.winner is None:
        return "Both found nothing that beats EEVDF."
    return f"They differ: {first.winner or BASELINE.upper()} and {second.winner or BASELINE.upper()}."


def _overlap(one: Interval, other: Interval) -> bool:
    return one.low <= other.high and other.low <= one.high


# --- the known best ------------------------------------------------------------------------------------------


def known(found: KnownBest, command: str, kind: WorkloadKind, *, width: int, now: float) -> Lines:
    """Show the known best of a command with its evidence, its age, and what has changed since."""
    yield from paragraph(f"{found.spec} is the best known for {command!r}{_whose(found)}.", width, 0)
    interval = Interval(found.speedup, found.low, found.high, found.confidence)
    place, where = best.place_of(found.where), found.where
    said = (
        f"Measured {age_text(now - found.measured_at)} {place} (Linux {where.kernel}, {counted(where.cpus, 'CPU')}, "
        f"{where.cpu_model}): speedup over EEVDF{' at its best values:' if found.params else ''} "
        f"{interval_text(interval)}."
    )
    yield from paragraph(said, width, 2, 2)
    if found.kind:
        origin = {"bpf": "one of ours", "binary": "a program", "generated": "generated"}.get(found.kind, found.kind)
        yield from paragraph(f"It is {origin}{f', version {found.version}' if found.version else ''}.", width, 2, 2)
    if kind.kinds:
        yield from paragraph(kind.sentence, width, 2, 2)
    yield from freshness(found.stale, width=width)
    if found.session:
        yield from paragraph(f"The whole report: autotune history show {found.session}", width, 2, 2)


def _whose(found: KnownBest) -> str:
    place = f" in {found.directory}" + (", another clone of the project" if found.is_elsewhere else "")
    return f" ({found.params} of the values that were tried){place}" if found.params else place


def best_values(found: BestValues | None, *, width: int) -> Lines:
    """Say with which values of its parameters a command did best; nothing where it has none."""
    if found is not None:
        under = BASELINE.upper() if is_baseline(found.scheduler) else found.scheduler
        said = (
            f"Of the values that session {found.session} tried, {found.values} was the best, under {under}: "
            f"{found.command}"
        )
        yield from paragraph(said, width, 2, 2)


def known_bad(bad: Sequence[KnownCandidate], *, width: int) -> Lines:
    """List the candidates that are known to be bad, with the reason."""
    if bad:
        yield "Known to be no good for it here:"
    for one in bad:
        yield from paragraph(f"- {one.candidate.key}: {one.why}", width, 2, 2)


def freshness(reasons: Iterable[str], *, width: int) -> Lines:
    """Say whether a result holds here and now, and why not."""
    told = list(reasons)
    if not told:
        yield from paragraph("Fresh: nothing has changed since.", width, 2, 2)
        return
    yield from paragraph("Stale, since something has changed:", width, 2, 2)
    for reason in told:
        yield from paragraph(f"- {reason}", width, 4, 2)
