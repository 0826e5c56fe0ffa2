# SPDX-License-Identifier: MIT
"""What is searched, and what is searched for, within bounds. Pure."""

from __future__ import annotations

import re

from autotune.frozen import dataclass

MOST_QUERY = 1000
"""Characters of a query that count."""
MOST_WORDS = 64
"""Words of a query that count."""
MOST_FIELD = 4000
"""Characters of a field that count."""
_WORD = re.compile(r"\w+")
IDLE_WORDS = frozenset(
    (
        "a", "about", "all", "also", "am", "an", "and", "any", "are", "as", "at", "be", "because", "been", "but", "by",
        "can", "could", "do", "does", "for", "from", "get", "gets", "give", "had", "has", "have", "how", "i", "if",
        "in", "into", "is", "it", "its", "me", "my", "need", "needs", "no", "not", "of", "on", "one", "only", "or",
        "our", "should", "so", "some", "such", "than", "that", "the", "their", "them", "then", "there", "these", "they",
        "this", "to", "too", "up", "use", "used", "uses", "want", "wants", "was", "we", "what", "when", "where",
        "which", "while", "who", "why", "will", "with", "without", "would", "you", "your",
    )
)  # fmt: skip
"""Words that tell nothing of what is wanted."""


@dataclass(frozen=True)
class Searchable:
    """One thing that can be found. Each text of `heads` and `texts` is a field of its own; heads say what it is for,
    and count more."""

    key: str
    heads: tuple[str, ...]
    texts: tuple[str, ...] = ()


def bounded_query(text: str) -> str:
    """Return the part of a query that counts, on one line."""
    return " ".join(text[: MOST_QUERY * 4].split())[:MOST_QUERY]


def words_of_query(query: str) -> list[str]:
    """Return the words of a query that tell something, each once; all of them where none does."""
    found = list(dict.fromkeys(_WORD.findall(bounded_query(query).casefold())))
    telling = [word for word in found if word not in IDLE_WORDS]
    return (telling or found)[:MOST_WORDS]


def gist(query: str) -> str:
    """Return a query without the words that tell nothing; the whole of it where none is left."""
    whole = bounded_query(query)
    kept = [word for word in whole.split() if word.strip(".,;:?!").casefold() not in IDLE_WORDS]
    return " ".join(kept) or whole
