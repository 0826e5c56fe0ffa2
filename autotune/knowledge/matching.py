# SPDX-License-Identifier: MIT
"""Which workloads of the store a command belongs to: in its own directory, and in other clones of its project.

A workload with parameters (`make -j{jobs}`) is the command's at those values that give it. Imported by what must start
within milliseconds: what takes time is imported where it is used.
"""

from __future__ import annotations

from autotune.knowledge import commands

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3
    from typing import Any

MOST_WORKLOADS = 1000
"""Newest workloads that are looked at."""
MOST_POINTS = 200
"""Combinations of values of one workload's parameters that are looked at."""


class Match:
    """A workload that is a command: its number, its directory, and with parameters the values that give the command, as
    the keys of its results end (` jobs=4`); `params` is empty for most. `is_elsewhere`: in another clone."""

    __slots__ = ("directory", "is_elsewhere", "params", "workload")

    def __init__(self, workload: int, directory: str, params: str, *, is_elsewhere: bool) -> None:
        self.workload = workload
        self.is_elsewhere = is_elsewhere
        self.directory = directory
        self.params = params


def in_directory(db: sqlite3.Connection, words: tuple[str, ...], directory: str) -> list[Match]:
    """Return the workloads with these words in this directory, whatever is prepared or measured, newest first."""
    rows = _rows(db, words, "cwd = ?", storable(directory))
    return [one for row in rows if (one := _match(db, row, words, is_elsewhere=False)) is not None]


def in_clones(db: sqlite3.Connection, words: tuple[str, ...], directory: str) -> list[Match]:
    """Return those at the same place of other clones of the project, newest first. Where no other directory has such a
    command, nobody asks which project this is."""
    rows = _rows(db, words, "cwd <> ? AND project <> ''", storable(directory))
    found = [(row[4], one) for row in rows if (one := _match(db, row, words, is_elsewhere=True)) is not None]
    if not found:
        return []
    from autotune.knowledge.projects import project_of

    project = storable(project_of(directory))
    return [one for theirs, one in found if theirs == project]


def _rows(db: sqlite3.Connection, words: tuple[str, ...], where: str, value: str) -> list[Any]:
    programs = {commands.program_of(words), "sh"}
    if "-c" in words[:-1]:  # a text for a shell is kept by the program that it starts
        programs.add(commands.program_of(("sh", "-c", words[-1])))
    query = (
        f"SELECT id, cwd, command, argv, project FROM workloads WHERE {where} "
        f"AND (program IN ({', '.join('?' * len(programs))}) OR program LIKE '%{{%') ORDER BY id DESC LIMIT ?"
    )
    return db.execute(query, (value, *map(storable, programs), MOST_WORKLOADS)).fetchall()


def _match(db: sqlite3.Connection, row: Any, words: tuple[str, ...], *, is_elsewhere: bool) -> Match | None:
    number, directory, command, argv, _ = row
    theirs = _words(db, command, argv)
    if theirs == words:
        return Match(int(number), directory, "", is_elsewhere=is_elsewhere)
    params = _params(db, number, command, argv, words) if "{" in command else None
    return None if params is None else Match(int(number), directory, params, is_elsewhere=is_elsewhere)


def _words(db: sqlite3.Connection, command: str, argv: str | None) -> tuple[str, ...]:
    """Return the words of a kept workload; of an older autotune's, those of its text for sh."""
    return commands.words_of(command if argv is None else [str(word) for _, word, _ in parsed(db, argv)])


_POINTS = """
    SELECT DISTINCT substr(r.key, 6) FROM results r JOIN sessions s ON s.id = r.session
    WHERE s.workload = ? AND r.scheduler = 'eevdf' AND r.key LIKE 'eevdf %' LIMIT ?
"""
"""Values of a workload's parameters, each of which has a result of EEVDF: ` jobs=4` of the key `eevdf jobs=4`."""


def _params(db: sqlite3.Connection, number: int, command: str, argv: str | None, words: tuple[str, ...]) -> str | None:
    """Return the values of a workload's parameters that give the command, as keys end; None where none do."""
    points = db.execute(_POINTS, (number, MOST_POINTS)).fetchall()
    if not points:
        return None
    import shlex

    texts = [command] if argv is None else [str(word) for _, word, _ in parsed(db, argv)]
    for (params,) in points:
        values = dict(word.partition("=")[::2] for word in shlex.split(params))
        filled = [fill(text, values) for text in texts]
        if commands.words_of(filled[0] if argv is None else filled) == words:
            return str(params)
    return None


def fill(text: str, values: dict[str, str]) -> str:
    """Put values in the place of their names in braces, as `parameters.at` does: in one pass, and `${name}` is left to
    the shell."""
    parts: list[str] = []
    at = 0
    while (opens := text.find("{", at)) >= 0:
        closes = text.find("}", opens)
        name = text[opens + 1 : closes] if closes >= 0 else ""
        if name in values and text[opens - 1 : opens] != "$":
            parts += (text[at:opens], values[name])
            at = closes + 1
        else:
            parts.append(text[at : opens + 1])
            at = opens + 1
    return "".join(parts) + text[at:]


def parsed(db: sqlite3.Connection, document: str | None) -> list[tuple[Any, Any, str]]:
    """Return keys, values and kinds of values of an array or object of JSON, by SQLite: Python's own module would take
    as long to import as all the rest. Raises ValueError for anything else, sqlite3.Error for what is no JSON."""
    kinds = db.execute("SELECT json_type(?)", (document,)).fetchone()
    if kinds[0] not in ("array", "object"):
        raise ValueError("a part of it is neither a list nor an object")
    return db.execute("SELECT key, value, type FROM json_each(?)", (document,)).fetchall()


def storable(text: str) -> str:
    """Write a text as the store keeps it (`sqlite.storable`)."""
    return text.encode("utf-8", "backslashreplace").decode()
