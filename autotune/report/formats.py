# SPDX-License-Identifier: MIT
"""The formats of a report: one table of options and of the functions that write them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TypeAlias

from autotune.records import Session
from autotune.report import csv_document, html, hyperfine, json_document, markup

ReportKind: TypeAlias = Literal["json", "markdown", "csv", "asciidoc", "orgmode", "hyperfine", "html"]

OPTIONS: Mapping[ReportKind, str] = {
    "json": "--json",
    "markdown": "--export-markdown",
    "csv": "--export-csv",
    "asciidoc": "--export-asciidoc",
    "orgmode": "--export-orgmode",
    "hyperfine": "--export-json",
    "html": "--export-html",
}
"""Option of `autotune cc` that asks for a report, which messages name."""

_TEXTS: Mapping[ReportKind, Callable[[Session, Sequence[str]], str]] = {
    "json": lambda session, _given: json_document.json_text(session),
    "markdown": markup.markdown,
    "csv": lambda session, _given: csv_document.csv_text(session),
    "asciidoc": markup.asciidoc,
    "orgmode": markup.orgmode,
    "hyperfine": lambda session, _given: hyperfine.hyperfine_json(session),
    "html": html.page,
}


def text(kind: ReportKind, session: Session, given: Sequence[str] = ()) -> str:
    """Return a report. `given` are the options that repeat the session."""
    return _TEXTS[kind](session, given)
