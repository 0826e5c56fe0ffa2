# SPDX-License-Identifier: MIT
"""Queries within bounds: what of them counts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from autotune.search.documents import MOST_QUERY, MOST_WORDS, bounded_query, gist, words_of_query


def test_words_that_tell_nothing_are_left_out_unless_there_are_no_others() -> None:
    assert words_of_query("How do I make my build faster? A build!") == ["make", "build", "faster"]
    assert words_of_query("what is it") == ["what", "is", "it"]
    assert gist("what can I use for games?") == "games?"
    assert gist("what is it") == "what is it"
    assert (words_of_query("  \n"), gist(" \t ")) == ([], "")


@given(st.text(max_size=3000))
def test_any_query_is_bounded_and_on_one_line(text: str) -> None:
    assert len(bounded_query(text)) <= MOST_QUERY
    assert len(gist(text)) <= MOST_QUERY
    assert len(bounded_query(text).splitlines()) <= 1
    assert len(words_of_query(text)) <= MOST_WORDS


def test_a_huge_query_is_cut() -> None:
    assert len(words_of_query("a" * 10_000_000)[0]) == MOST_QUERY
    assert len(words_of_query(" ".join(f"w{number}" for number in range(1000)))) == MOST_WORDS
