# SPDX-License-Identifier: MIT
"""Ranks texts by the words they have in common with a query: SQLite's FTS5, with stems, or plain comparison without it.

Every word is quoted, so that no query is taken for FTS5's own language.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Mapping, Sequence

from autotune.search.documents import MOST_FIELD, Searchable, words_of_query

HEAD_WEIGHT = 2.0
"""How much more a word in a head counts than one in a text."""


def ranked(documents: Sequence[Searchable], query: str) -> list[str]:
    """Return the keys of the documents that have a word of the query, or one with the same stem, best first."""
    words = words_of_query(query)
    if not words:
        return []
    with contextlib.closing(_index()) as db:
        try:
            db.execute("CREATE VIRTUAL TABLE found USING fts5 (head, body, tokenize = 'porter unicode61')")
        except sqlite3.OperationalError:
            return _by_comparison(documents, words)
        rows = ((_joined(one.heads), _joined(one.texts)) for one in documents)
        db.executemany("INSERT INTO found VALUES (?, ?)", rows)
        query_rows = "SELECT rowid FROM found WHERE found MATCH ? ORDER BY bm25(found, ?, 1.0), rowid"
        found = db.execute(query_rows, (quoted(words, " OR "), HEAD_WEIGHT))
        return [documents[number - 1].key for (number,) in found]


def _index() -> sqlite3.Connection:
    return sqlite3.connect(":memory:")


def _by_comparison(documents: Sequence[Searchable], words: Sequence[str]) -> list[str]:
    """Return the documents by how many of the words are in them."""
    counted = [(sum(word in _joined((*one.heads, *one.texts)).casefold() for word in words), one) for one in documents]
    return [one.key for count, one in sorted(counted, key=lambda pair: -pair[0]) if count]


def _joined(texts: Iterable[str]) -> str:
    return storable("\n".join(text[:MOST_FIELD] for text in texts))


def storable(text: str) -> str:
    """Return a text as SQLite takes it: what is not UTF-8 becomes escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


def quoted(words: Sequence[str], between: str, end: str = "") -> str:
    """Return words as a query of FTS5 that means nothing but them. `end` is `*` for words that begin so."""
    return between.join('"' + storable(one).replace('"', '""').replace("\0", " ") + f'"{end}' for one in words)


def matching(texts: Mapping[int, str], words: Sequence[str], *, every: bool) -> list[int]:
    """Return the numbers of the texts that have the words, or words that begin with them, all or any: best first."""
    holds = all if every else any
    with contextlib.closing(_index()) as db:
        try:
            db.execute("CREATE VIRTUAL TABLE found USING fts5 (text, number UNINDEXED, tokenize = 'unicode61')")
        except sqlite3.OperationalError:
            folded = [word.casefold() for word in words]
            return [one for one, text in texts.items() if holds(word in text.casefold() for word in folded)]
        db.executemany("INSERT INTO found VALUES (?, ?)", ((storable(text), one) for one, text in texts.items()))
        rank = "SELECT number FROM found WHERE found MATCH ? ORDER BY round(bm25(found), 1), rowid"
        return [int(number) for (number,) in db.execute(rank, (quoted(words, " " if every else " OR ", "*"),))]
