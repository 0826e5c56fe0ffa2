# SPDX-License-Identifier: MIT
"""The ranked table at terminals of all widths."""

from __future__ import annotations

import re

import pytest

from autotune.records import BASELINE, Candidate
from autotune.views.terminal_table import final_table, standings
from tests.support import sessions
from tests.support.drawn_text import drawn


@pytest.mark.parametrize("width", [80, 100, 110, 120, 140])
def test_the_final_table_fits_the_terminal_and_loses_nothing(width: int) -> None:
    text = drawn(final_table(sessions.session(), width), width)
    assert max(len(line) for line in text.splitlines()) <= width
    squeezed = re.sub(r"\s+", "", text)
    for piece in ("median[s]", "slice_us=20000", "stay=true", "confirmed", "1.084[1.051,1.118]", "undecided"):
        assert piece in squeezed, piece
    for word in ("ejected:", "runnable", "stall;"):
        assert word in text


def test_very_wide_intervals_and_many_rows_do_not_push_the_table_off_the_screen() -> None:
    wide = sessions.interval(1.796, 0.000174, 1.85e4)
    results = tuple(sessions.result(sessions.BATCH, "undecided", speedup=wide, median=0.7 + n) for n in range(12))
    text = drawn(final_table(sessions.session(results=results, winner=None), 80), 80)
    assert text.count("1.796 [0.000, >999]") == 12
    assert len(re.findall(r"^ ?=  at_batch", text, re.MULTILINE)) == 12


@pytest.mark.parametrize("width", [60, 70, 80, 90, 100, 110, 120])
@pytest.mark.parametrize("knobs", [(("slice_us", 20000),), (("slice_min_us", 2000), ("slice_us", 320000))])
def test_no_setting_is_broken_in_two(width: int, knobs: tuple[tuple[str, int], ...]) -> None:
    """`slice_us=2000` and below it `0` reads as another value."""
    one = sessions.result(Candidate("at_interactive", knobs), "undecided", note="5.1 % behind at_fifo after 3 rounds")
    results = (one, *sessions.results())
    for text in (
        drawn(final_table(sessions.session(results=results, winner=None), width), width),
        drawn(standings(results, width, is_time=True), width),
    ):
        for name, value in knobs:
            assert re.search(rf"\b{name}={value}\b", text), text
        assert max(len(line) for line in text.splitlines()) <= width


def test_a_terminal_without_room_for_names_shows_a_block_for_each_scheduler() -> None:
    text = drawn(final_table(sessions.session(), 60), 60)
    assert " 1  at_batch:slice_us=20000,stay=true\n" in text
    assert "median [s] 2.221, EEVDF [s] 2.408, speedup 1.084" in text
    assert "11.8 % slower than eevdf after 3 rounds" in text
    assert all(len(line) <= 60 for line in text.splitlines())


# --- the strip ---


@pytest.mark.parametrize("width", [100, 110, 120, 160])
def test_a_strip_stands_beside_each_row_where_there_is_room(width: int) -> None:
    lines = drawn(final_table(sessions.session(), width), width).splitlines()
    [winner] = [line for line in lines if "1.084" in line]
    assert "\u25cf\u2500" in winner or "\u251c\u25cf" in winner
    assert max(len(line) for line in lines) <= width
    assert drawn(final_table(sessions.session(), width, ascii_only=True), width).replace("\u2500", "").isascii()


@pytest.mark.parametrize("width", [40, 60, 80])
def test_the_strip_is_dropped_where_the_terminal_is_narrow(width: int) -> None:
    assert "\u25cf" not in drawn(final_table(sessions.session(), width), width)


def test_a_table_without_intervals_has_no_strip() -> None:
    early = sessions.session(results=(sessions.result(Candidate(BASELINE), None),), winner=None)
    assert "\u2502" not in drawn(final_table(early, 160), 160)
