# SPDX-License-Identifier: MIT
"""One ranking from several: reciprocal rank fusion (Cormack, Clarke and Buettcher, SIGIR 2009), which needs no scores
that compare."""

from __future__ import annotations

from collections.abc import Sequence

from autotune.search import fulltext, vectors
from autotune.search.documents import Searchable

K = 60.0
"""As in the paper: how little the first places count more than the next."""


def fused(rankings: Sequence[Sequence[str]], k: float = K) -> list[str]:
    """Return the keys of all rankings, best first: each ranking gives `1 / (k + place)`. Equal sums keep the order of
    the first ranking that has them."""
    sums: dict[str, float] = {}
    for ranking in rankings:
        for place, key in enumerate(ranking, 1):
            sums[key] = sums.get(key, 0.0) + 1.0 / (k + place)
    return sorted(sums, key=lambda key: -sums[key])


def search(documents: Sequence[Searchable], query: str, most: int) -> list[str]:
    """Return the keys of the documents that fit a query, best first: by words, and by meaning with the extra
    `search`."""
    by_words = fulltext.ranked(documents, query)
    by_meaning = [key for key, _ in vectors.alike(documents, query)]
    return fused([by_words, by_meaning])[: max(most, 0)]
