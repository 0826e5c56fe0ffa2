# SPDX-License-Identifier: MIT
"""The table of a session, which every document shows. Pure.

Results are in the order of the session's ranking; a unit is chosen once per table (`table`).
"""

from __future__ import annotations

from autotune.records import Session
from autotune.report import sweep
from autotune.report.table import Table, footnote, table

WALL_METRIC = "wall_s"
"""`Session.metric` when it is wall time."""


def session_table(session: Session) -> Table:
    """Return the table of a session."""
    return table(session.results, is_time=session.metric == WALL_METRIC, winner=session.winner, of=judged_of(session))


def judged_of(session: Session) -> str:
    """Return what the columns of values show: `median`, or the statistic that was judged instead."""
    return "median" if session.statistic == "typical" else session.statistic


def session_footnote(session: Session) -> str:
    """Return what the columns of the session's table mean."""
    known = footnote(is_time=session.metric == WALL_METRIC, of=judged_of(session))
    return " ".join([known, *sweep.footnotes(session)])
