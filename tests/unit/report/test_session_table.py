# SPDX-License-Identifier: MIT
"""The table of a session."""

from __future__ import annotations

from autotune.report import session_table
from tests.support import sessions


def test_the_table_ranks_what_was_shown_to_differ_from_eevdf() -> None:
    shown = session_table.session_table(sessions.session())
    assert shown.header[2] == "median [s]"
    assert [(row.rank, row.scheduler, row.verdict, row.kind) for row in shown.rows] == [
        ("1", "at_batch", "faster", "winner"),
        ("2", "EEVDF", "baseline", "baseline"),
        ("=", "at_fifo", "undecided", "undecided"),
        ("3", "at_interactive", "slower", "slower"),
        ("-", "at_vtime", "invalid", "invalid"),
    ]


def test_a_row_holds_all_that_is_known_of_a_candidate() -> None:
    first = session_table.session_table(sessions.session()).rows[0]
    assert first.cells == (
        "1", "at_batch:slice_us=20000,stay=true", "2.221", "2.408", "1.084 [1.051, 1.118]", "faster", "12", "confirmed"
    )  # fmt: skip


def test_notes_say_what_happened() -> None:
    rows = session_table.session_table(sessions.session()).rows
    assert [row.note for row in rows] == [
        "confirmed",
        "",
        "",
        "11.8 % slower than eevdf after 3 rounds",
        "ejected: runnable task stall; 2 invalid runs",
    ]
