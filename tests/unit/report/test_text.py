# SPDX-License-Identifier: MIT
"""Text, times, scales and words for the shell."""

from __future__ import annotations

import subprocess
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotune.report.text import clock_text, duration_text, printable, scale_for, shell_word

# --- text ---


@given(st.text(st.characters(exclude_categories=[])))
def test_printable_text_is_one_line_that_can_be_encoded_and_moves_no_cursor(text: str) -> None:
    shown = printable(text)
    assert not {unicodedata.category(character) for character in shown} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert len(shown.splitlines()) <= 1
    shown.encode("utf-8")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("two\nlines\tand tab", "two lines and tab"),
        ("\x1b[31mred\x1b[0m", "[31mred[0m"),
        ("caf\u00e9 \u6f22", "caf\u00e9 \u6f22"),
        ("abc\u202edef", "abcdef"),
        ("\udcff", "\ufffd"),
        ("\x9b2J", "2J"),
    ],
)
def test_printable_leaves_text_alone_and_takes_control_away(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.00042, "420 us"),
        (0.00612, "6.12 ms"),
        (0.0853, "85.3 ms"),
        (1.2344, "1.234 s"),
        (95.14, "95.14 s"),
        (612, "612.0 s"),
    ],
)
def test_a_time_in_a_sentence_has_a_unit_that_suits_it(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (7.9, "0:07"), (760, "12:40"), (3760, "1:02:40"), (-1, "0:00")]
)
def test_a_span_of_a_progress_line_is_a_clock(seconds: float, text: str) -> None:
    assert clock_text(seconds) == text


# --- scale ---


@pytest.mark.parametrize(
    ("values", "texts", "unit"),
    [
        ([0.9, 0.85], ["900.0", "850.0"], "ms"),
        ([0.9, 1.1], ["0.900", "1.100"], "s"),
        ([0.00061, 0.0007], ["0.610", "0.700"], "ms"),
        ([95.0, 100.123], ["95.00", "100.12"], "s"),
        ([1234.5678, 1300.0], ["1235", "1300"], "s"),
    ],
)
def test_all_times_of_a_table_share_one_unit_and_its_decimals(values: list[float], texts: list[str], unit: str) -> None:
    scale = scale_for(values, is_time=True)
    assert scale.unit == unit
    assert [scale.text(value) for value in values] == texts


def test_a_metric_of_the_users_own_has_no_unit_and_counts_stay_whole() -> None:
    scale = scale_for([12.0, 14.0], is_time=False)
    assert (scale.unit, scale.text(12.0)) == ("", "12")
    assert scale_for([0.25, 12.5], is_time=False).text(0.25) == "0.250"


def test_without_a_value_there_is_still_a_scale() -> None:
    assert scale_for([], is_time=True).unit == "s"
    assert scale_for([0.0], is_time=False).text(0.0) == "0"


# --- words for the shell ---


@pytest.mark.parametrize(
    "word", ["plain", "it's", "two\nlines", "\x1b[2J", "caf\u00e9 \u202e", "back\\slash\n", "\udcff'x"]
)
def test_a_word_for_the_shell_is_one_line_that_the_shell_reads_back(word: str) -> None:
    quoted = shell_word(word)
    assert printable(quoted) == quoted
    shown = subprocess.run(["bash", "-c", f"printf %s {quoted}"], capture_output=True, check=True)
    assert shown.stdout == word.encode("utf-8", "surrogateescape")
