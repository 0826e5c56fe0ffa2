# SPDX-License-Identifier: MIT
"""Reciprocal rank fusion: one ranking from several."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotune.search import fusion, vectors
from autotune.search.documents import Searchable

rankings = st.lists(
    st.permutations(list("abcde")).flatmap(lambda all_: st.integers(0, 5).map(lambda n: all_[:n])), max_size=4
)


def test_what_both_rank_high_wins_over_what_one_ranks_first() -> None:
    assert fusion.fused([["a", "b", "c"], ["d", "b", "a"]])[:2] == ["a", "b"]
    assert fusion.fused([["a"], []]) == ["a"]
    assert fusion.fused([]) == []


@given(rankings)
def test_each_is_there_once_and_none_is_made_up(given_rankings: list[list[str]]) -> None:
    found = fusion.fused(given_rankings)
    assert sorted(found) == sorted({key for ranking in given_rankings for key in ranking})


@given(rankings)
def test_what_is_before_another_in_every_ranking_stays_before_it(given_rankings: list[list[str]]) -> None:
    found = fusion.fused(given_rankings)
    for one in found:
        for other in found:
            both = [ranking for ranking in given_rankings if one in ranking or other in ranking]
            if all(one in r and (other not in r or r.index(one) < r.index(other)) for r in both) and one != other:
                assert found.index(one) < found.index(other)


def test_words_alone_are_searched_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectors, "place", lambda: None)
    documents = [Searchable("a", ("music",)), Searchable("b", ("games", "music"))]
    assert fusion.search(documents, "games music", 1) == ["b"]
    assert fusion.search(documents, "a song", 5) == []
