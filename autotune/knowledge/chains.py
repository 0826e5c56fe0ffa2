# SPDX-License-Identifier: MIT
"""Chains of sessions in the database: which one can be continued, and by whom each was.

What always holds here:
- a session has one continuation: whoever continues it notes that first, in one transaction with the question whether
  somebody else did;
- that note is void once its process is gone and its session began no confirmation: then it took none of the risk that
  was left, and the session before is there to be continued again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from autotune.frozen import dataclass
from autotune.knowledge import rows, sqlite
from autotune.records import Session

IsHeld = Callable[["int | None"], bool]
"""Whether a process that lives has this claim."""


@dataclass(frozen=True)
class Kept:
    """A session as it was kept, without its runs, and its place in its chain."""

    session: Session
    is_running: bool
    continued_by: str | None
    """The session that continues it; None when none does."""
    is_void: bool
    """It continues another one and began no confirmation: that one is to be continued instead."""


def named(db: sqlite3.Connection, name: str, is_held: IsHeld) -> Kept | None:
    """Return the session of that name; None when there is none that a continuation could know."""
    row = sqlite.run(db, "SELECT * FROM sessions WHERE name = ? ORDER BY id DESC", name).fetchone()
    return _kept(db, row, is_held) if row is not None else None


def in_directory(db: sqlite3.Connection, cwd: str, command: str | None, is_held: IsHeld) -> list[Kept]:
    """Return the newest sessions of a directory, and of a command if one is given, newest first."""
    query = (
        "SELECT s.* FROM sessions s JOIN workloads w ON w.id = s.workload WHERE s.name IS NOT NULL AND w.cwd = ? "
        "AND w.command = coalesce(?, w.command) ORDER BY s.started_at DESC, s.id DESC LIMIT 50"
    )
    found = sqlite.run(db, query, cwd, command).fetchall()
    return [kept for row in found if (kept := _kept(db, row, is_held)) is not None]


def take(db: sqlite3.Connection, before: Session, name: str, claim: int | None, is_held: IsHeld) -> str | None:
    """Note that the session `name` continues `before`. Return None, or the session that does already."""
    other = _continued_by(db, before.id, is_held)
    if other is not None:
        return other
    alpha_left = before.chain.alpha_left if before.chain is not None else 0.0
    row = (before.id, name, alpha_left, claim)
    sqlite.run(
        db, "INSERT OR REPLACE INTO continuations (continues, name, alpha_left, claim) VALUES (?, ?, ?, ?)", *row
    )
    return None


def _kept(db: sqlite3.Connection, row: sqlite3.Row, is_held: IsHeld) -> Kept | None:
    session = _session(row)
    if session is None:
        return None
    running = row["state"] == "running" and is_held(row["claim"])
    is_void = session.continues is not None and not _has_begun(db, session)
    return Kept(session, running, _continued_by(db, session.id, is_held), is_void)


def _session(row: sqlite3.Row) -> Session | None:
    try:
        return rows.session_of(str(row["document"]))
    except ValueError:  # of a version that had other fields
        return None


def _continued_by(db: sqlite3.Connection, name: str, is_held: IsHeld) -> str | None:
    note = sqlite.run(db, "SELECT * FROM continuations WHERE continues = ?", name).fetchone()
    if note is None:
        return None
    if note["claim"] is not None and is_held(note["claim"]):
        return str(note["name"])
    row = sqlite.run(db, "SELECT * FROM sessions WHERE name = ?", note["name"]).fetchone()
    if row is None:
        return None
    session = _session(row)
    return str(note["name"]) if session is None or _has_begun(db, session) else None


def _has_begun(db: sqlite3.Connection, session: Session) -> bool:
    """Return whether a continuation took some of the risk that the session before had left."""
    note = sqlite.run(db, "SELECT * FROM continuations WHERE name = ?", session.id).fetchone()
    if note is None:
        return False
    left = session.chain.alpha_left if session.chain is not None else note["alpha_left"]
    return session.winner is not None or bool(left < note["alpha_left"])
