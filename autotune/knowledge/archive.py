# SPDX-License-Identifier: MIT
"""All sessions of the store: listed, found, read as a whole, forgotten, taken out and taken in.

What always holds here:
- what is forgotten is overwritten, not only unlinked, and with the last session of a command what it does is forgotten;
- what is taken in was written by somebody: its size and shape are checked, it never replaces what is here, and it never
  says what is to be started as root (`CandidateResult.attached` is left out).
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from autotune import reading
from autotune.errors import AutotuneError, UsageError
from autotune.frozen import dataclass
from autotune.knowledge import rows, sqlite
from autotune.knowledge.commands import words_of
from autotune.knowledge.past import PastSession, RunningSession, finding
from autotune.knowledge.store import Knowledge
from autotune.records import Session
from autotune.search import fulltext, fusion
from autotune.search.documents import Searchable
from autotune.wire import from_json

MOST_SEARCHED = 5000
"""Newest sessions that are searched."""
MOST_COMPARED = 1000
"""Newest sessions that are compared by meaning, which takes longer."""
_NAME = re.compile(r"[0-9a-f]{3,8}")
_COLUMNS = (
    "s.*, w.command AS command, w.cwd AS cwd, w.argv AS argv, w.project AS project, w.metric AS metric, "
    "w.goal AS goal, w.setup AS setup, w.prepare AS prepare FROM sessions s JOIN workloads w ON w.id = s.workload"
)


@dataclass(frozen=True)
class TakenIn:
    """How many sessions and profiles were new, and how many were known already."""

    sessions: int = 0
    profiles: int = 0
    known: int = 0


class History:
    """The sessions of one store. Every method raises AutotuneError when the store cannot be used."""

    def __init__(self, knowledge: Knowledge) -> None:
        self._knowledge = knowledge

    # --- finding ---

    def newest(self, cwd: str | None = None, limit: int = 20) -> list[PastSession]:
        """Return the newest sessions that are over, of a directory or of all."""
        with self._knowledge.transaction() as db:
            return [rows.past_session(db, row) for row in self._rows(db, cwd, limit)]

    def running(self) -> list[RunningSession]:
        """Return the sessions that are going on, newest first."""
        with self._knowledge.transaction() as db:
            numbers = ", ".join(map(str, self._knowledge.running(db)))
            query = f"SELECT {_COLUMNS} WHERE s.id IN ({numbers}) ORDER BY s.started_at DESC"
            counted = "SELECT COUNT(*) FROM runs WHERE session = ?"
            return [
                RunningSession(
                    id=row["id"],
                    name=row["name"],
                    command=row["command"],
                    cwd=row["cwd"],
                    started_at=row["started_at"],
                    machine=row["machine"],
                    runs=int(sqlite.run(db, counted, row["id"]).fetchone()[0]),
                )
                for row in sqlite.run(db, query)
            ]

    def by_workload(self, cwd: str | None = None) -> list[list[PastSession]]:
        """Return the newest sessions that are over, newest first, those of one workload together."""
        with self._knowledge.transaction() as db:
            found: dict[int, list[PastSession]] = {}
            for row in self._rows(db, cwd, MOST_SEARCHED):
                found.setdefault(int(row["workload"]), []).append(rows.past_session(db, row))
            return list(found.values())

    def of_command(self, command: str | Sequence[str], cwd: str) -> list[PastSession]:
        """Return the newest sessions of a command in a directory, whatever its setup, metric or goal, newest first."""
        wanted = words_of(command)
        return [one for one in self.newest(cwd, MOST_SEARCHED) if words_of(one.argv or one.command) == wanted]

    def named(self, name: str) -> PastSession:
        """Return the session of that name, of the beginning of a name, or of a number for one of an older version.
        Raises UsageError when there is none, or more than one."""
        with self._knowledge.transaction() as db:
            return rows.past_session(db, self._named(db, name))

    def whole(self, session: PastSession) -> Session:
        """Return all that is kept of a session, with its runs. Raises UsageError when it is gone."""
        with self._knowledge.transaction() as db:
            row = sqlite.run(db, f"SELECT {_COLUMNS} WHERE s.id = ?", session.id).fetchone()
            if row is None:
                raise UsageError(f"session {title(session)} is gone", hint="another autotune has forgotten it")
            return rows.whole_session(db, row)

    def search(self, words: Sequence[str], limit: int = 20) -> list[PastSession]:
        """Return the sessions in which all of the words occur, or words that begin with them: in the command, the
        directory, the candidates, their verdicts and notes. The best match first, then the newest."""
        wanted = [word for word in " ".join(words).split() if any(character.isalnum() for character in word)]
        if not wanted:
            raise UsageError("there is no word to search for", hint="such as autotune history search make slower")
        with self._knowledge.transaction() as db:
            found = [rows.past_session(db, row) for row in self._rows(db, None, MOST_SEARCHED)]
        by_number = {one.id: one for one in found}
        return [by_number[number] for number in _matching(found, wanted)[: max(limit, 0)]]

    def nearest(self, query: str, limit: int = 20) -> list[PastSession]:
        """Return the sessions that have any of the words, or (with the extra `search`) are about what is meant, best
        first."""
        with self._knowledge.transaction() as db:
            found = [rows.past_session(db, row) for row in self._rows(db, None, MOST_COMPARED)]
        by_number = {str(one.id): one for one in found}
        return [by_number[key] for key in fusion.search([_document(one) for one in found], query, limit)]

    def notes(self, query: str, limit: int = 20) -> list[dict[str, Any]]:
        """Return the notes of models that fit a query, as `nearest` does, best first: `{workload, description,
        directory, scheduler, result, created_at}`."""
        kept = [
            {
                "workload": profile["id"],
                **{name: profile[name] for name in ("description", "directory")},
                **{name: note[name] for name in ("scheduler", "result", "created_at")},
            }
            for profile in self.profiles()
            for note in profile["notes"]
        ]
        documents = [
            Searchable(str(number), (one["result"],), (one["description"], one["scheduler"] or ""))
            for number, one in enumerate(kept)
        ]
        return [kept[int(key)] for key in fusion.search(documents, query, limit)]

    def _rows(self, db: sqlite3.Connection, cwd: str | None, limit: int) -> list[sqlite3.Row]:
        running = ", ".join(map(str, self._knowledge.running(db)))
        query = (
            f"SELECT {_COLUMNS} WHERE w.cwd = coalesce(?, w.cwd) AND s.id NOT IN ({running}) "
            "ORDER BY s.started_at DESC, s.id DESC LIMIT ?"
        )
        return sqlite.run(db, query, cwd, max(limit, 0)).fetchall()

    def _named(self, db: sqlite3.Connection, name: str) -> sqlite3.Row:
        found = sqlite.run(db, f"SELECT {_COLUMNS} WHERE s.name = ? ORDER BY s.id DESC", name).fetchall()[:1]
        if not found and name.isdecimal() and len(name) < 19:
            found = sqlite.run(db, f"SELECT {_COLUMNS} WHERE s.id = ? AND s.name IS NULL", int(name)).fetchall()
        if not found and _NAME.fullmatch(name):
            found = sqlite.run(db, f"SELECT {_COLUMNS} WHERE s.name GLOB ? ORDER BY s.id DESC", f"{name}*").fetchall()
        if not found:
            raise UsageError(f"session '{name[:40]}' is not known here", hint="'autotune history list' names them")
        if len({row["name"] for row in found}) > 1:
            names = ", ".join(str(row["name"]) for row in found[:4])
            raise UsageError(f"'{name}' may be one of several sessions: {names}", hint="give more of its name")
        row: sqlite3.Row = found[0]
        return row

    # --- forgetting ---

    def forget(self, sessions: Iterable[PastSession], *, profiles: bool = False) -> int:
        """Forget sessions, and what their commands do where no other session is left of them; with `profiles` also all
        notes. Return how many sessions were there."""
        with self._knowledge.transaction(writes=True) as db:
            gone = 0
            for one in sessions:
                sqlite.run(db, "DELETE FROM continuations WHERE continues = ? OR name = ?", one.name, one.name)
                gone += sqlite.run(db, "DELETE FROM sessions WHERE id = ?", one.id).rowcount
            unused = "SELECT fingerprint FROM workloads WHERE id NOT IN (SELECT workload FROM sessions)"
            for table in ("watched", "expected"):
                sqlite.run(db, f"DELETE FROM {table} WHERE fingerprint IN ({unused})")
            sqlite.run(db, "DELETE FROM workloads WHERE id NOT IN (SELECT workload FROM sessions)")
            if profiles:
                sqlite.run(db, "DELETE FROM profiles")
        self._knowledge.compact()
        return gone

    # --- out and in ---

    def profiles(self) -> list[dict[str, Any]]:
        """Return all profiles with their notes: `{id, description, created_at, updated_at, directory, notes}`."""
        with self._knowledge.transaction() as db:
            found = [dict(row) for row in sqlite.run(db, "SELECT * FROM profiles ORDER BY rowid")]
            for profile in found:
                notes = sqlite.run(db, "SELECT * FROM profile_notes WHERE profile = ? ORDER BY rowid", profile["id"])
                profile["notes"] = [dict(note) for note in notes]
            return found

    def take_in(self, documents: Iterable[Any]) -> TakenIn:
        """Add sessions that `--json` or an export wrote, without those that are known. Raises UsageError, before
        anything is added, when one of them is none."""
        sessions = [_session_of(one, number) for number, one in enumerate(documents, 1)]
        new = 0
        for session in sessions:
            if not self._has(session):
                self._knowledge.record(session)
                new += 1
        return TakenIn(new, 0, len(sessions) - new)

    def take_in_profiles(self, profiles: Sequence[dict[str, Any]]) -> TakenIn:
        """Add profiles in the form of `profiles`, without those that are known; notes that are new are added to known
        ones too. Raises UsageError, before anything is added, when one of them is none."""
        checked = [_profile_of(one, number) for number, one in enumerate(profiles, 1)]
        new = 0
        with self._knowledge.transaction(writes=True) as db:
            for profile, notes in checked:
                new += _insert_new(db, "profiles", profile)
                for note in notes:
                    _insert_new(db, "profile_notes", note)
        return TakenIn(0, new, len(checked) - new)

    def _has(self, session: Session) -> bool:
        with self._knowledge.transaction() as db:
            if session.id:
                return sqlite.run(db, "SELECT 1 FROM sessions WHERE name = ?", session.id).fetchone() is not None
            query = (
                "SELECT 1 FROM sessions s JOIN workloads w ON w.id = s.workload "
                "WHERE s.name IS NULL AND s.started_at = ? AND s.seed = ? AND w.command = ? AND w.cwd = ?"
            )
            at = (session.started_at, session.seed, session.workload.command, session.workload.cwd)
            return sqlite.run(db, query, *at).fetchone() is not None


def title(session: PastSession) -> str:
    """Return the name by which a session is asked for."""
    return session.name or str(session.id)


# --- words ---------------------------------------------------------------------------------------------------


def _matching(sessions: Sequence[PastSession], words: Sequence[str]) -> list[int]:
    """Return the numbers of the sessions that have all of the words, best first."""
    return fulltext.matching({one.id: _text(one) for one in sessions}, words, every=True)


def ranked_by_words(sessions: Sequence[PastSession], words: Sequence[str]) -> list[PastSession]:
    """Return the sessions whose command has one of the words, best match first."""
    by_number = {one.id: one for one in sessions}
    texts = {one.id: one.command for one in sessions}
    return [by_number[number] for number in fulltext.matching(texts, words, every=False)] if words else []


def _text(session: PastSession) -> str:
    place = {"none": "host", "kvm": "micro-VM", "tcg": "emulated micro-VM"}.get(session.acceleration, "")
    facts = [
        session.command,
        session.cwd,
        session.project,
        session.name or "",
        session.kernel,
        place,
        session.planner,
        finding(session),
    ]
    for one in session.results:
        facts += [one.key, one.verdict or "", "confirmed" if one.confirmed else "", one.note, one.reason]
    return "\n".join([*facts, session.recommendation, *session.why])


def _document(session: PastSession) -> Searchable:
    """Return what is compared by meaning: the command and what it is like, then what was found."""
    notes = (one.note for one in session.results if one.note)
    heads = (session.command, session.cwd, session.kind.text, finding(session))
    return Searchable(
        str(session.id), tuple(filter(None, heads)), tuple(filter(None, (session.recommendation, *notes)))
    )


# --- what somebody wrote -------------------------------------------------------------------------------------


def _session_of(document: Any, number: int) -> Session:
    try:
        session = reading.shaped(lambda found: from_json(Session, found), document)
        if session.id and not re.fullmatch(r"[0-9a-f]{8}", session.id):
            raise ValueError("its id is none of a session")
        results = tuple(replace(one, attached=None) for one in session.results)
        return replace(session, results=results, workload=replace(session.workload, env={}))
    except ValueError as error:
        raise UsageError(f"number {number} of the sessions is none: {error}", hint=_NOTHING_ADDED) from None


_NOTHING_ADDED = "nothing was added; 'autotune history export' writes what can be imported"


def _profile_of(found: Any, number: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    def texts(one: Any, *names: str) -> dict[str, Any]:
        return {name: rows.bounded(str(one[name])) for name in names}

    def made(one: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        at = {name: float(one[name]) for name in ("created_at", "updated_at")}
        profile = texts(one, "id", "description", "directory") | at
        notes = [
            texts(note, "id", "result")
            | {name: rows.bounded(note.get(name)) for name in ("execution_id", "scheduler")}
            | {"profile": profile["id"], "created_at": float(note["created_at"])}
            for note in one["notes"]
        ]
        return profile, notes

    try:
        return reading.shaped(made, found)
    except ValueError as error:
        raise UsageError(f"number {number} of the workloads is none: {error}", hint=_NOTHING_ADDED) from None


def _insert_new(db: sqlite3.Connection, table: str, row: dict[str, Any]) -> int:
    """Insert a row unless there is one of its id; return how many were inserted."""
    marks = ", ".join("?" * len(row))
    query = f"INSERT OR IGNORE INTO {table} ({', '.join(row)}) VALUES ({marks})"
    return sqlite.run(db, query, *row.values()).rowcount


def require(found: Sequence[PastSession], what: str) -> Sequence[PastSession]:
    """Return the sessions. Raises AutotuneError when there are none."""
    if not found:
        raise AutotuneError(f"there was no session {what} yet", hint="run one: autotune cc COMMAND")
    return found


def iterated(archive: History, cwd: str | None) -> Iterator[Session]:
    """Yield all sessions, oldest first, as a whole."""
    for one in reversed(archive.newest(cwd, 1_000_000)):
        yield archive.whole(one)
