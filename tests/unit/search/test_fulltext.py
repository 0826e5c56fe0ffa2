# SPDX-License-Identifier: MIT
"""Ranking by words: stems, heads before texts, and no query that is taken for FTS5's own language."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from autotune.search import fulltext
from autotune.search.documents import Searchable

DOCUMENTS = (
    Searchable("builds", ("compiling programs", "fast builds"), ("long slices",)),
    Searchable("games", ("games",), ("never compiles anything",)),
    Searchable("sound", ("audio",), ()),
)


def test_words_with_the_same_stem_match_and_those_in_heads_count_more() -> None:
    assert fulltext.ranked(DOCUMENTS, "who compiled it") == ["builds", "games"]
    assert set(fulltext.ranked(DOCUMENTS, "game or audio?")) == {"games", "sound"}
    assert fulltext.ranked(DOCUMENTS, "databases") == []
    assert fulltext.ranked(DOCUMENTS, "") == fulltext.ranked((), "audio") == []


@given(st.text(max_size=60))
@example('" OR body MATCH "')
@example("head:audio NEAR(games, 2) ^ * ( ) - + AND NOT")
@example("audio\0games")
@example("\ud800 audio")
@example("'; DROP TABLE found; --")
def test_any_query_is_words_and_nothing_else(text: str) -> None:
    keys = {one.key for one in DOCUMENTS}
    assert set(fulltext.ranked(DOCUMENTS, text)) <= keys
    texts = {number: one.heads[0] for number, one in enumerate(DOCUMENTS)}
    for every in (True, False):
        assert set(fulltext.matching(texts, [text], every=every)) <= texts.keys()


def test_all_words_or_any_of_them_or_words_that_begin_so() -> None:
    texts = {7: "make -j8 slower", 8: "make", 9: "ninja"}
    assert fulltext.matching(texts, ["make", "slow"], every=True) == [7]
    assert sorted(fulltext.matching(texts, ["make", "nin"], every=False)) == [7, 8, 9]


def test_without_fts5_words_are_compared_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    class Old(sqlite3.Connection):
        def execute(self, *_: Any) -> sqlite3.Cursor:
            raise sqlite3.OperationalError("no such module: fts5")

    monkeypatch.setattr(fulltext, "_index", lambda: sqlite3.connect(":memory:", factory=Old))
    assert fulltext.ranked(DOCUMENTS, "audio games compiling") == ["builds", "games", "sound"]
    assert fulltext.matching({1: "make", 2: "ninja"}, ["nin"], every=True) == [2]
