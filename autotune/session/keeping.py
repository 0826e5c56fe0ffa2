# SPDX-License-Identifier: MIT
"""Records of a session that is over: knowledge and reports, written whatever ended it.

A report that cannot be written does not stop the others. No report of an earlier session is left under its name.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from autotune import signals
from autotune.errors import AutotuneError, UsageError
from autotune.events import Listener, Problem
from autotune.records import Session
from autotune.report import formats
from autotune.report.formats import OPTIONS, ReportKind
from autotune.session.recorder import beside
from autotune.session.request import Sink
from autotune.views import exports

Reports = Mapping[ReportKind, Path | Sink]
Record = Callable[[], None]
"""Writes the session into the knowledge store. Raises AutotuneError."""


def check(reports: Reports) -> None:
    """Raise UsageError when a report cannot be written, or two would be written to one file."""
    taken: dict[str, ReportKind] = {}
    for kind, target in reports.items():
        if not isinstance(target, Path):
            continue
        exports.check_writable(target, OPTIONS[kind])
        other = kind if _may_wait(target) else taken.setdefault(os.path.realpath(target), kind)
        if other != kind:
            raise UsageError(f"{OPTIONS[other]} and {OPTIONS[kind]} name the same file, {target}", hint="name two")


def keep(session: Session, record: Record, reports: Reports, given: Sequence[str], listener: Listener) -> None:
    """Record the session by `record` and write its reports; each failure is a Problem. Ctrl-C is delayed meanwhile,
    except while writing to a pipe that nobody may read. `given` are the options that repeat the session."""

    def write(kind: ReportKind) -> None:
        _write(kind, reports[kind], lambda: formats.text(kind, session, given), listener)

    slow = {kind for kind, target in reports.items() if not isinstance(target, Path) or _may_wait(target)}
    try:
        with signals.delayed():
            _record(record, listener)
            for kind in reports.keys() - slow:
                write(kind)
    finally:
        for kind in sorted(slow, key=lambda one: callable(reports[one])):
            write(kind)


def _may_wait(path: Path) -> bool:
    """Return whether writing may block: the path is a pipe or a device."""
    return path.exists() and not path.is_file()


def _write(kind: ReportKind, target: Path | Sink, text: Callable[[], str], listener: Listener) -> None:
    try:
        if isinstance(target, Path):
            exports.write(target, text(), OPTIONS[kind])
        else:
            target(text())
    except Exception as error:
        listener(Problem("report", beside(OPTIONS[kind], error)))


def _record(record: Record, listener: Listener) -> None:
    try:
        record()
    except Exception as error:
        listener(Problem("knowledge", beside("history", error)))


def remove_older(reports: Reports, listener: Listener) -> None:
    """Remove the reports of an earlier session, which would be taken for those of this one: it has none. What is not a
    regular file stays."""
    for kind, target in reports.items():
        if isinstance(target, Path) and target.is_file():
            try:
                target.unlink()
            except OSError as error:
                text = f"{OPTIONS[kind]} {target} is of an earlier session and could not be removed: {error.strerror}"
                listener(Problem("report", AutotuneError(text, hint="remove it", stage="report")))
