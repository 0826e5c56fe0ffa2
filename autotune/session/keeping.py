# SPDX-License-Identifier: MIT
"""Records what a session found and writes its reports, whatever ended it.

One report that cannot be written keeps no other from being written.
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
"""By which messages name a report."""

Reports = Mapping[ReportKind, Path | Sink]


def check(reports: Reports) -> None:
    """Raises UsageError when a report could not be written."""
    for kind, target in reports.items():
        if isinstance(target, Path):
            exports.check_writable(target, OPTIONS[kind])


def keep(session: Session, reports: Reports, given: Sequence[str], listener: Listener) -> None:
    """Record what was learned and write the reports; each failure is a Problem. Ctrl-C waits for what is short, but not
    for a pipe that nobody reads. `given` are the options that repeat the session."""
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
    """Whether writing may wait for a reader: a pipe or a device."""
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
