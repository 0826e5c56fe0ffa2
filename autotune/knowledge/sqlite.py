# SPDX-License-Identifier: MIT
"""Opens, checks and migrates the database file, and has the small steps of reading and writing.

What always holds here:
- a new file is readable by its user only;
- a database is migrated to this version by all steps or by none, and a newer one is not changed.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from autotune import opening
from autotune.errors import AutotuneError


class NewerStore(AutotuneError):
    """The database was made by a newer autotune. `version` is its version."""

    default_stage = "history"
    version = 0

    @classmethod
    def of(cls, version: int) -> NewerStore:
        error = cls(
            f"the knowledge store has version {version}, which this autotune does not know",
            hint="use a newer autotune, or set XDG_STATE_HOME to another directory",
        )
        error.version = version
        return error


BUSY_S = 5.0
"""How long to wait for another autotune that is writing."""

MIGRATIONS = (
    """
    CREATE TABLE workloads (
        id INTEGER PRIMARY KEY, fingerprint TEXT NOT NULL UNIQUE, program TEXT NOT NULL, command TEXT NOT NULL,
        cwd TEXT NOT NULL, prepare TEXT, setup TEXT, metric TEXT NOT NULL, goal TEXT NOT NULL, first_seen REAL NOT NULL
    );
    CREATE INDEX workloads_by_program ON workloads (program);
    CREATE TABLE sessions (
        id INTEGER PRIMARY KEY, workload INTEGER NOT NULL REFERENCES workloads (id), started_at REAL NOT NULL,
        elapsed_s REAL NOT NULL, autotune_version TEXT NOT NULL, machine TEXT NOT NULL, kernel TEXT NOT NULL,
        cpus INTEGER NOT NULL, cpu_model TEXT NOT NULL, acceleration TEXT NOT NULL, planner TEXT NOT NULL,
        seed INTEGER NOT NULL, baseline_median REAL, baseline_noise REAL, baseline_runs INTEGER, winner TEXT,
        recommendation TEXT NOT NULL, interrupted INTEGER NOT NULL, failure TEXT
    );
    CREATE INDEX sessions_by_workload ON sessions (workload, started_at);
    CREATE TABLE results (
        session INTEGER NOT NULL REFERENCES sessions (id) ON DELETE CASCADE, rank INTEGER NOT NULL, key TEXT NOT NULL,
        scheduler TEXT NOT NULL, knobs TEXT NOT NULL, verdict TEXT, speedup REAL, low REAL, high REAL, median REAL,
        runs INTEGER NOT NULL, invalid_runs INTEGER NOT NULL, confirmed INTEGER NOT NULL, reason TEXT NOT NULL,
        prediction TEXT, held INTEGER, note TEXT NOT NULL, PRIMARY KEY (session, rank)
    );
    CREATE TABLE profiles (
        id TEXT PRIMARY KEY, description TEXT NOT NULL, created_at REAL NOT NULL, updated_at REAL NOT NULL
    );
    CREATE TABLE profile_notes (
        id TEXT PRIMARY KEY, profile TEXT NOT NULL REFERENCES profiles (id) ON DELETE CASCADE, execution_id TEXT,
        scheduler TEXT, result TEXT NOT NULL, created_at REAL NOT NULL
    );
    """,
    "ALTER TABLE profiles ADD COLUMN directory TEXT NOT NULL DEFAULT '';",
    """
    ALTER TABLE sessions ADD COLUMN state TEXT NOT NULL DEFAULT 'ended';
    ALTER TABLE sessions ADD COLUMN claim INTEGER;
    CREATE INDEX running_sessions ON sessions (state) WHERE state = 'running';
    CREATE TABLE runs (
        session INTEGER NOT NULL REFERENCES sessions (id) ON DELETE CASCADE, number INTEGER NOT NULL,
        phase TEXT NOT NULL, round INTEGER NOT NULL, key TEXT NOT NULL, started_at REAL NOT NULL, value REAL,
        invalid TEXT, wall_s REAL NOT NULL, user_s REAL NOT NULL, system_s REAL NOT NULL,
        max_rss_bytes INTEGER NOT NULL, voluntary_switches INTEGER NOT NULL, involuntary_switches INTEGER NOT NULL,
        minor_faults INTEGER NOT NULL, major_faults INTEGER NOT NULL, exit_code INTEGER, signal INTEGER,
        timed_out INTEGER NOT NULL, left_running INTEGER NOT NULL, evidence TEXT NOT NULL,
        PRIMARY KEY (session, number)
    );
    """,
    """
    ALTER TABLE results ADD COLUMN confidence REAL;
    UPDATE results SET confidence = 0.95 WHERE speedup IS NOT NULL;
    """,
    """
    ALTER TABLE sessions ADD COLUMN name TEXT;
    ALTER TABLE sessions ADD COLUMN continues TEXT;
    ALTER TABLE sessions ADD COLUMN document TEXT;
    CREATE INDEX sessions_by_name ON sessions (name);
    CREATE TABLE continuations (
        continues TEXT PRIMARY KEY, name TEXT NOT NULL, alpha_left REAL NOT NULL, claim INTEGER
    );
    """,
    """
    CREATE TABLE watched (
        fingerprint TEXT NOT NULL, machine TEXT NOT NULL, runs INTEGER NOT NULL, updated_at REAL NOT NULL,
        document TEXT NOT NULL, PRIMARY KEY (fingerprint, machine)
    );
    """,
    """
    CREATE TABLE expected (
        fingerprint TEXT NOT NULL, machine TEXT NOT NULL, runs INTEGER NOT NULL, updated_at REAL NOT NULL,
        document TEXT NOT NULL, PRIMARY KEY (fingerprint, machine)
    );
    """,
    """
    ALTER TABLE workloads ADD COLUMN argv TEXT;
    ALTER TABLE workloads ADD COLUMN project TEXT;
    ALTER TABLE workloads ADD COLUMN name TEXT;
    CREATE INDEX workloads_by_directory ON workloads (cwd, program);
    ALTER TABLE sessions ADD COLUMN memory_bytes INTEGER;
    ALTER TABLE sessions ADD COLUMN topology TEXT;
    ALTER TABLE results ADD COLUMN attached TEXT;
    ALTER TABLE runs ADD COLUMN more TEXT;
    UPDATE sessions SET
        memory_bytes = json_extract(document, '$.machine.memory_bytes'),
        topology = json_extract(document, '$.machine.topology')
    WHERE json_valid(document);
    UPDATE workloads SET argv = (
        SELECT json_extract(s.document, '$.workload.argv') FROM sessions s
        WHERE s.workload = workloads.id AND json_valid(s.document) ORDER BY s.id DESC LIMIT 1
    );
    """,
    """
    CREATE TABLE uses (
        id INTEGER PRIMARY KEY, workload INTEGER NOT NULL REFERENCES workloads (id) ON DELETE CASCADE,
        started_at REAL NOT NULL, key TEXT NOT NULL, kernel TEXT NOT NULL, wall_s REAL NOT NULL, status INTEGER,
        attached_after_s REAL, lost TEXT
    );
    CREATE INDEX uses_by_workload ON uses (workload, id);
    """,
)
"""One script for each version; the database's `user_version` is the number of scripts it has gone through."""


@contextlib.contextmanager
def all_or_nothing(db: sqlite3.Connection, mode: str) -> Iterator[None]:
    db.execute(f"BEGIN {mode}")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:  # a full disk may have rolled it back already
            db.execute("ROLLBACK")
        raise


def connect(path: Path, wait_s: float, *, sync: str = "FULL") -> sqlite3.Connection:
    """Connect to a sound database of this version, made when there is none. Each call waits for `wait_s` at most for
    another writer; `sync` is SQLite's `synchronous`. Raises sqlite3.DatabaseError itself, not a subclass, for a damaged
    one, and NewerStore for one of a newer autotune."""
    _create_private(path)
    db = sqlite3.connect(path, timeout=wait_s, isolation_level=None)
    try:
        db.row_factory = sqlite3.Row
        _version(db)  # first: a newer database may contain what this SQLite takes for damage, and must not be changed
        _check(db)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(f"PRAGMA synchronous = {sync}")
        db.execute("PRAGMA foreign_keys = ON")
        db.execute("PRAGMA secure_delete = ON")  # what is forgotten is not to be found in the file
        _migrate(db)
    except BaseException:
        db.close()
        raise
    return db


def _create_private(path: Path) -> None:
    """Create an empty file that only the user can read; sqlite3 itself would go by the umask. An existing file is not
    opened: closing it would drop the locks that this process holds on it through other connections (fcntl(2))."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        opening.require_regular(os.stat(path))  # SQLite would wait for a pipe for ever


def _version(db: sqlite3.Connection) -> int:
    """Return the version of the database. Raises NewerStore for one of a newer autotune."""
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    if version > len(MIGRATIONS):
        raise NewerStore.of(version)
    return version


def _check(db: sqlite3.Connection) -> None:
    """Raise sqlite3.DatabaseError for damage beyond the header, which would show only when it is read."""
    problem = str(db.execute("PRAGMA quick_check(1)").fetchone()[0])
    if problem != "ok":
        raise sqlite3.DatabaseError(problem)


def _migrate(db: sqlite3.Connection) -> None:
    """Bring the database to this version, by all steps or by none."""
    if _version(db) == len(MIGRATIONS):
        return
    with all_or_nothing(db, "IMMEDIATE"):
        for script in MIGRATIONS[_version(db) :]:
            for statement in _statements(script):
                db.execute(statement)
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


def _statements(script: str) -> Iterator[str]:
    """Yield the statements of a script one by one: `executescript` would commit before it begins."""
    statement = ""
    for piece in script.split(";")[:-1]:
        statement += piece + ";"
        if sqlite3.complete_statement(statement):  # else the semicolon was within a text or a trigger
            yield statement
            statement = ""


def run(db: sqlite3.Connection, query: str, *values: Any) -> sqlite3.Cursor:
    return db.execute(query, tuple(storable(value) for value in values))


def insert(db: sqlite3.Connection, table: str, row: dict[str, Any]) -> int:
    marks = ", ".join("?" * len(row))
    cursor = run(db, f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", *row.values())
    return int(cursor.lastrowid or 0)


def update(db: sqlite3.Connection, table: str, number: int, row: dict[str, Any]) -> bool:
    """Change the row with that id. Returns False when there is none."""
    changes = ", ".join(f"{name} = ?" for name in row)
    return run(db, f"UPDATE {table} SET {changes} WHERE id = ?", *row.values(), number).rowcount > 0


def count(db: sqlite3.Connection, table: str) -> int:
    return int(db.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0])


def storable(value: Any) -> Any:
    """Turn a value into one that SQLite takes: in text that is not UTF-8 (a command, a path), the odd bytes become
    escapes."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
