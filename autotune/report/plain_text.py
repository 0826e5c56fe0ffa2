# SPDX-License-Identifier: MIT
"""The report as plain text, for a pipe or a file. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from autotune.records import Session
from autotune.report import sweep
from autotune.report.commands import keep_command, next_step, repeat_command
from autotune.report.continuing import continues_sentence
from autotune.report.sentences import cautions, conclusion, heading, spending_sentence, why_lines
from autotune.report.session_table import session_footnote, session_table
from autotune.report.table import plain_table
from autotune.report.text import printable


def plain_text(session: Session, given: Sequence[str] = ()) -> str:
    """Return the report for a pipe or a file: the table, the recommendation, the command that repeats it."""
    shown = [plain_table(session_table(session)), "", session_footnote(session), *continues_sentence(session), ""]
    parts = [*heading(session), *shown]
    parts = parts if session.results else heading(session)
    parts += [conclusion(session), *why_lines(session), *cautions(session), *next_step(session, given)]
    if session.spending is not None and session.spending.calls:
        parts.append(spending_sentence(session.spending))
    if session.transcript is not None:
        parts.append(f"The conversation: {printable(session.transcript)}")
    if session.results:
        parts.append(f"To repeat it: {repeat_command(session, given)}")
    keep = keep_command(session)
    if keep is not None:
        parts.append(f"To keep it: {keep}")
    parts += sweep.winner_lines(session)
    return "\n".join(parts)
