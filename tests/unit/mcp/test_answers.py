# SPDX-License-Identifier: MIT
"""What leaves is bounded and printable, whatever it is made of."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autotune.mcp import answers

TEXTS = st.text(max_size=30) | st.text("\x1b\x07\u202e\ud800a", max_size=10)
DATA = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXTS, inner, max_size=5),
    max_leaves=30,
)


def texts_of(data: Any) -> list[str]:
    if isinstance(data, str):
        return [data]
    if isinstance(data, dict):
        return [text for pair in data.items() for part in pair for text in texts_of(part)]
    return [text for item in data for text in texts_of(item)] if isinstance(data, list) else []


@given(DATA)
@settings(max_examples=60)
def test_what_leaves_has_no_character_that_moves_or_hides(data: Any) -> None:
    for text in texts_of(answers.safe(data, lambda found: found)):
        assert not [c for c in text if c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Cs")]


@pytest.mark.slow
@given(st.integers(1, 400), st.integers(1, 400), st.sampled_from("aä\U0001f600"))
@settings(max_examples=30, deadline=None)
def test_what_leaves_is_within_the_bound(width: int, rows: int, character: str) -> None:
    data = {"rows": [{"text": character * width * 10, "more": [character * width] * 20} for _ in range(rows)]}
    assert answers.size_bytes(answers.safe(data, lambda found: found)) <= answers.MOST_BYTES


def test_what_fits_is_not_cut() -> None:
    data = {"rows": [{"text": "x" * 5000}] * 9, "number": 1.5, "nothing": None}
    assert answers.safe(data, lambda found: found) == data


def test_what_is_nested_without_end_is_cut() -> None:
    data: Any = "x"
    for _ in range(500):
        data = [data]
    assert answers.LEFT_OUT in texts_of(answers.safe(data, lambda found: found))


def test_pages_say_where_the_next_one_begins() -> None:
    assert answers.page("rows", [1, 2, 3], 0, 2) == {"rows": [1, 2], "total": 3, "next_offset": 2}
    assert answers.page("rows", [1, 2, 3], 2, 2) == {"rows": [3], "total": 3}
    assert answers.page("rows", [1, 2, 3], 9, 2) == {"rows": [], "total": 3}
