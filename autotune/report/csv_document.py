# SPDX-License-Identifier: MIT
"""The CSV document of a session. Pure."""

from __future__ import annotations

import csv
import io

from autotune.records import Session
from autotune.report.session_table import session_table
from autotune.report.text import printable

CSV_HEADER = (
    "rank",
    "scheduler",
    "knobs",
    "median",
    "baseline_median",
    "speedup",
    "speedup_low",
    "speedup_high",
    "verdict",
    "confirmed",
    "runs",
    "invalid_runs",
    "note",
    "reason",
)
"""Followed by `parameter_NAME` for each parameter of the workload, as in hyperfine."""


def csv_text(session: Session) -> str:
    """Return the table as CSV, one line for each candidate and for EEVDF. Numbers are not rounded; the median is in
    seconds or in the metric's own unit; a cell without a value is empty."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow((*CSV_HEADER, *(f"parameter_{one.name}" for one in session.workload.parameters)))
    for row, result in zip(session_table(session).rows, session.results, strict=True):
        interval = result.speedup
        bounds = (interval.estimate, interval.low, interval.high) if interval else ("", "", "")
        counts = (str(result.confirmed).lower(), result.runs, result.invalid_runs)
        place = row.rank if row.rank.isdigit() else ""
        medians = ("" if value is None else value for value in (result.median, result.baseline_median))
        texts = (row.note, printable(result.reason), *(printable(value) for _, value in result.candidate.params))
        writer.writerow(
            (place, result.candidate.scheduler, ",".join(row.knobs), *medians, *bounds, row.verdict, *counts, *texts)
        )
    return out.getvalue()
