# SPDX-License-Identifier: MIT
"""Records of a finished session: knowledge and reports, written whatever ended it.

A report that cannot be written does not stop the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from autotune import signals
from autotune.errors import AutotuneError
from autotune.events import Listener, Problem
from autotune.knowledge.store import Knowledge
from autotune.records import Session
from autotune.report import documents
from autotune.session.recorder import beside
from autotune.session.request import ReportKind, Sink
from autotune.views import exports

OPTIONS: dict[ReportKind, str] = {"json": "--json", "markdown": "--export-markdown", "csv": "--export-csv"}
"""Option that names a report in messages."""

Reports = Mapping[ReportKind, Path | Sink]


def check(reports: Reports) -> None:
    """Raise UsageError when a report cannot be written."""
    for kind, target in reports.items():
        if isinstance(target, Path):
            exports.check_writable(target, OPTIONS[kind])


def keep(session: Session, reports: Reports, given: Sequence[str], listener: Listener) -> None:
    """Record the session and write its reports; each failure is a Problem. Ctrl-C is delayed meanwhile, except while
    writing to a pipe that nobody may read. `given` are the options that repeat the session."""
    texts: dict[ReportKind, Callable[[], str]] = {
        "json": lambda: documents.json_text(session),
        "markdown": lambda: documents.markdown(session, given),
        "csv": lambda: documents.csv_text(session),
    }
    slow = {kind for kind, target in reports.items() if not isinstance(target, Path) or _may_wait(target)}
    try:
        with signals.delayed():
            _record(session, listener)
            for kind in reports.keys() - slow:
                _write(kind, reports[kind], texts[kind], listener)
    finally:
        for kind in sorted(slow, key=lambda one: callable(reports[one])):
            _write(kind, reports[kind], texts[kind], listener)


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


def _record(session: Session, listener: Listener) -> None:
    if session.baseline is None:
        return

    def warn(text: str) -> None:
        listener(Problem("knowledge", AutotuneError(text, stage="history")))

    try:
        with Knowledge(warn=warn) as knowledge:
            knowledge.record(session)
    except Exception as error:
        listener(Problem("knowledge", beside("history", error)))
