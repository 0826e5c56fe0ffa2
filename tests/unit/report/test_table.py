# SPDX-License-Identifier: MIT
"""Rows, intervals and the plain table."""

from __future__ import annotations

import math

from autotune.report import session_table, table
from tests.support import sessions


def test_faster_without_confirmation_says_so_and_is_not_the_winner() -> None:
    gain = sessions.interval(1.1, 1.05, 1.15)
    rows = table.table([sessions.result(sessions.FIFO, "faster", speedup=gain)], is_time=True).rows
    assert (rows[0].kind, rows[0].note) == ("faster", "not confirmed")


def test_intervals_without_end_and_tiny_ones_stay_short() -> None:
    assert table.interval_text(sessions.interval(1.5, 1e-9, math.inf)) == "1.500 [0.000, >999]"
    assert table.interval_text(sessions.interval(9.9999, 30.271, 123.45)) == "10.00 [30.27, 123.5]"


def test_the_plain_table_is_aligned_ascii_without_trailing_space() -> None:
    lines = table.plain_table(session_table.session_table(sessions.session())).split("\n")
    assert all(line == line.rstrip() and line.isascii() for line in lines)
    assert len({line.index(word) for line, word in zip(lines[1:3], ("faster", "baseline"), strict=True)}) == 1
    assert lines[0].index("verdict") == lines[1].index("faster")
