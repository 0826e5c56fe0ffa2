# SPDX-License-Identifier: MIT
"""Intervals as characters."""

from __future__ import annotations

import math

import pytest

from autotune.records import Interval
from autotune.report import strip
from autotune.report.table import Row, table
from tests.support import sessions


def rows(*intervals: Interval | None) -> tuple[Row, ...]:
    results = [sessions.result(sessions.FIFO, "undecided", speedup=one) for one in intervals]
    return table(results, is_time=True).rows


def drawn(*intervals: Interval | None, columns: int = 21, ascii_only: bool = False) -> list[str]:
    several = rows(*intervals)
    strips = strip.strips(several, columns, ascii_only=ascii_only)
    return [strips.of(row) for row in several]


def test_an_interval_lies_where_it_lies_around_1() -> None:
    better, worse, same = drawn(
        sessions.interval(1.1, 1.05, 1.15), sessions.interval(0.9, 0.87, 0.95), sessions.interval(1.0, 0.95, 1.05)
    )
    assert better.index("\u2502") == 10 < better.index("\u251c") < better.index("\u25cf") < better.index("\u2524")
    assert worse.index("\u251c") < worse.index("\u25cf") < worse.index("\u2524") < worse.index("\u2502") == 10
    assert same[10] == "\u25cf"
    assert {len(one) for one in (better, worse, same)} == {21}


def test_no_interval_is_the_line_of_1_alone() -> None:
    assert drawn(None) == [" " * 10 + "\u2502" + " " * 10]


def test_ascii_where_the_terminal_is_no_utf8() -> None:
    text = "".join(drawn(sessions.interval(1.1, 1.05, 1.15), None, ascii_only=True))
    assert text.isascii()
    assert "|" in text
    assert "o" in text


@pytest.mark.parametrize("wild", [(1.0, 0.0, math.inf), (50.0, 0.001, 1e9), (1e-9, 0.0, 1e-8)])
@pytest.mark.parametrize("columns", [13, 14, 25])
def test_a_wild_interval_neither_fails_nor_hides_the_others(wild: tuple[float, float, float], columns: int) -> None:
    tame = sessions.interval(1.1, 1.05, 1.15)
    lines = drawn(sessions.interval(*wild), tame, tame, tame, columns=columns)
    assert {len(one) for one in lines} == {columns - 1 + columns % 2}
    assert "<" in lines[0] or ">" in lines[0]
    assert lines[1].index("\u25cf") > len(lines[1]) // 2


def test_the_header_says_how_far_it_reaches() -> None:
    header = strip.strips(rows(sessions.interval(1.1, 1.0, 1.25)), 21, ascii_only=False).header()
    assert header == "0.80      1      1.25"
    assert header.index("1 ") == 10
