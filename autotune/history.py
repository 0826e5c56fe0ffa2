# SPDX-License-Identifier: MIT
"""What was learned: workloads, sessions, candidates and verdicts, in SQLite in the user's state directory.

The baseline is kept like any candidate. The workload's environment is not kept, since environments hold secrets. A
session must never be lost because its memory cannot be written: whoever records catches AutotuneError.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autotune import resources
from autotune.errors import AutotuneError, UsageError
from autotune.records import BASELINE, CandidateResult, Interval, Session, Workload

BUSY_S = 5.0
"""How long to wait for another autotune that is writing."""
TEXT_CHARACTERS = 2000
MOST_PROFILES = 1000
MOST_NOTES = 1000

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
)
"""One script a version; the database's `user_version` is the number of those it has gone through."""


@dataclass(frozen=True)
class PastResult:
    """What came of one candidate (or of EEVDF) in a past session."""

    key: str
    verdict: str | None
    speedup: Interval | None
    median: float | None
    runs: int
    confirmed: bool
    note: str


@dataclass(frozen=True)
class PastSession:
    """A session of the past, its results best first."""

    id: int
    command: str
    cwd: str
    started_at: float
    machine: str
    kernel: str
    cpus: int
    acceleration: str
    winner: str | None
    recommendation: str
    baseline_median: float | None
    results: tuple[PastResult, ...]


def fingerprint(workload: Workload) -> str:
    """What makes two workloads the same for learning: the command, where it runs, what prepares it and what is
    measured; neither its environment nor its limits."""
    parts = [*workload.argv, "\0", workload.cwd, workload.setup, workload.prepare, workload.metric_regex, workload.goal]
    text = json.dumps([*parts, workload.pristine], ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def program_of(workload: Workload) -> str:
    """The name of what runs: `make` of `/usr/bin/make -j8`, and of `make -j8 | tee log` for a shell."""
    words = workload.command.split() if workload.argv[:2] == ("sh", "-c") else list(workload.argv)
    plain = [word for word in words if "=" not in word]  # leading VARIABLE=value
    return os.path.basename(plain[0])[:200] if plain else ""


class History:
    """The memory of one user. Opened at its first use; usable from several processes at once. `warn` hears of a damaged
    file that was put aside. Every method raises AutotuneError (stage `history`) when the file cannot be used."""

    def __init__(self, path: Path | None = None, *, warn: Callable[[str], None] = lambda _text: None) -> None:
        self._path = path or resources.state_dir() / "history.sqlite3"
        self._warn = warn
        self._connection: sqlite3.Connection | None = None

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    # --- sessions ---

    def record(self, session: Session) -> int:
        """Keep a session with all its results, whole or not at all; its number."""
        with self._transaction() as db:
            workload = self._workload_id(db, session)
            number = _insert(db, "sessions", _session_row(session, workload))
            for rank, result in enumerate(session.results, 1):
                _insert(db, "results", _result_row(number, rank, result))
            return number

    def sessions_of(self, workload: Workload, limit: int = 10) -> list[PastSession]:
        """Past sessions of this very workload, newest first."""
        return self._sessions("w.fingerprint = ?", (fingerprint(workload),), limit)

    def similar(self, workload: Workload, limit: int = 5) -> list[PastSession]:
        """Past sessions of other workloads that run the same program, newest first."""
        where = "w.program = ? AND w.fingerprint <> ?"
        return self._sessions(where, (program_of(workload), fingerprint(workload)), limit)

    def best_known(self, workload: Workload) -> PastResult | None:
        """The confirmed winner of the newest session of this workload that knew its baseline; None without such a
        session, and when it found that nothing beats EEVDF."""
        known = [session for session in self.sessions_of(workload) if session.baseline_median is not None]
        if not known or known[0].winner is None:
            return None
        return next((result for result in known[0].results if result.key == known[0].winner), None)

    def _sessions(self, where: str, values: tuple[str, ...], limit: int) -> list[PastSession]:
        query = (
            "SELECT s.*, w.command AS command, w.cwd AS cwd FROM sessions s JOIN workloads w ON w.id = s.workload "
            f"WHERE {where} ORDER BY s.started_at DESC, s.id DESC LIMIT ?"
        )
        with self._transaction() as db:
            return [_past_session(db, row) for row in db.execute(query, (*values, limit)).fetchall()]

    def _workload_id(self, db: sqlite3.Connection, session: Session) -> int:
        workload = session.workload
        row = db.execute("SELECT id FROM workloads WHERE fingerprint = ?", (fingerprint(workload),)).fetchone()
        if row is not None:
            return int(row["id"])
        return _insert(
            db,
            "workloads",
            {
                "fingerprint": fingerprint(workload),
                "program": _storable(program_of(workload)),
                "command": _storable(workload.command),
                "cwd": _storable(workload.cwd),
                "prepare": _storable(workload.prepare),
                "setup": _storable(workload.setup),
                "metric": _storable(session.metric),
                "goal": workload.goal,
                "first_seen": session.started_at,
            },
        )

    # --- profiles: the notes that a model keeps ---

    def create_profile(self, description: str) -> str:
        with self._transaction() as db:
            number = _next(db, "profiles", MOST_PROFILES)
            now = time.time()
            profile = f"workload-{number}"
            text = _bounded(description)
            _insert(db, "profiles", {"id": profile, "description": text, "created_at": now, "updated_at": now})
            return profile

    def list_profiles(self, limit: int = 50) -> list[dict[str, Any]]:
        """Newest first."""
        with self._transaction() as db:
            rows = db.execute("SELECT * FROM profiles ORDER BY created_at DESC, id DESC LIMIT ?", (limit,))
            return [dict(row) for row in rows]

    def profile_history(self, profile: str, limit: int = 50) -> dict[str, Any]:
        """A profile with its notes, newest first. Raises UsageError for one that does not exist."""
        with self._transaction() as db:
            found = _profile(db, profile)
            query = "SELECT * FROM profile_notes WHERE profile = ? ORDER BY created_at DESC, id DESC LIMIT ?"
            return {"profile": found, "history": [dict(row) for row in db.execute(query, (profile, limit))]}

    def add_profile_note(self, profile: str, execution_id: str | None, scheduler: str | None, result: str) -> str:
        """Add a note; an execution is not needed, so that a baseline can be noted too."""
        with self._transaction() as db:
            _profile(db, profile)
            note = f"note-{_next(db, 'profile_notes', MOST_NOTES)}"
            row = {"id": note, "profile": profile, "execution_id": execution_id, "scheduler": scheduler}
            _insert(db, "profile_notes", {**row, "result": _bounded(result), "created_at": time.time()})
            db.execute("UPDATE profiles SET updated_at = ? WHERE id = ?", (time.time(), profile))
            return note

    # --- the file ---

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            db = self._open()
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            self.close()
            raise AutotuneError(
                f"what was learned cannot be read or written: {error}",
                hint=f"look at {self._path} and at the space on its disk; the session itself is not harmed",
                stage="history",
            ) from error

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            try:
                self._connection = _connect(self._path)
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.OperationalError):  # busy, disk full, no permission: nothing is damaged
                    raise
                self._put_aside()
                self._connection = _connect(self._path)
        return self._connection

    def _put_aside(self) -> None:
        number = 1
        while (aside := self._path.with_name(f"{self._path.name}.damaged-{number}")).exists():
            number += 1
        self._path.rename(aside)
        for suffix in ("-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
        self._warn(f"what was learned before is damaged; it was put aside as {aside}")


def _connect(path: Path) -> sqlite3.Connection:
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))  # sqlite3 itself would ask the umask
    db = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
    try:
        db.row_factory = sqlite3.Row
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA foreign_keys = ON")
        _migrate(db)
    except BaseException:
        db.close()
        raise
    return db


def _migrate(db: sqlite3.Connection) -> None:
    """Bring the database to this version. Raises AutotuneError for one of a newer autotune."""
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    if version > len(MIGRATIONS):
        raise AutotuneError(
            f"what was learned is in version {version}, which this autotune does not know",
            hint="use a newer autotune",
            stage="history",
        )
    if version == len(MIGRATIONS):
        return
    db.execute("BEGIN IMMEDIATE")  # and look again: another process may have done it meanwhile
    try:
        version = int(db.execute("PRAGMA user_version").fetchone()[0])
        for script in MIGRATIONS[version:]:
            for statement in filter(str.strip, script.split(";")):
                db.execute(statement)
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


def _insert(db: sqlite3.Connection, table: str, row: dict[str, Any]) -> int:
    marks = ", ".join("?" * len(row))
    cursor = db.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", tuple(row.values()))
    return int(cursor.lastrowid or 0)


def _session_row(session: Session, workload: int) -> dict[str, Any]:
    machine, baseline = session.machine, session.baseline
    return {
        "workload": workload,
        "started_at": session.started_at,
        "elapsed_s": session.elapsed_s,
        "autotune_version": session.autotune_version,
        "machine": machine.kind,
        "kernel": machine.kernel,
        "cpus": machine.cpus,
        "cpu_model": machine.cpu_model,
        "acceleration": machine.acceleration,
        "planner": session.planner,
        "seed": session.seed,
        "baseline_median": baseline.median if baseline else None,
        "baseline_noise": baseline.noise if baseline else None,
        "baseline_runs": baseline.runs if baseline else None,
        "winner": session.winner,
        "recommendation": session.recommendation,
        "interrupted": session.interrupted,
        "failure": _storable(session.failure),
    }


def _result_row(session: int, rank: int, result: CandidateResult) -> dict[str, Any]:
    speedup = result.speedup
    return {
        "session": session,
        "rank": rank,
        "key": result.candidate.key,
        "scheduler": result.candidate.scheduler,
        "knobs": json.dumps(dict(result.candidate.knobs), sort_keys=True),
        "verdict": result.verdict,
        "speedup": speedup.estimate if speedup else None,
        "low": speedup.low if speedup else None,
        "high": speedup.high if speedup else None,
        "median": result.median,
        "runs": result.runs,
        "invalid_runs": result.invalid_runs,
        "confirmed": result.confirmed,
        "reason": _bounded(result.reason),
        "prediction": result.prediction,
        "held": result.held,
        "note": _bounded(result.note),
    }


def _past_session(db: sqlite3.Connection, row: sqlite3.Row) -> PastSession:
    results = db.execute("SELECT * FROM results WHERE session = ? ORDER BY rank", (row["id"],))
    kept = ("id", "command", "cwd", "started_at", "machine", "kernel", "cpus", "acceleration", "winner")
    return PastSession(
        **{name: row[name] for name in (*kept, "recommendation", "baseline_median")},
        results=tuple(_past_result(result) for result in results),
    )


def _past_result(row: sqlite3.Row) -> PastResult:
    known = row["speedup"] is not None
    return PastResult(
        key=row["key"],
        verdict=row["verdict"],
        speedup=Interval(row["speedup"], row["low"], row["high"], 0.95) if known else None,
        median=row["median"],
        runs=row["runs"],
        confirmed=bool(row["confirmed"]),
        note=row["note"],
    )


def _profile(db: sqlite3.Connection, profile: str) -> dict[str, Any]:
    row = db.execute("SELECT * FROM profiles WHERE id = ?", (profile,)).fetchone()
    if row is None:
        raise UsageError(f"there is no workload '{profile[:100]}'", hint="the command 'list' lists them")
    return dict(row)


def _next(db: sqlite3.Connection, table: str, most: int) -> int:
    count = int(db.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0])
    if count >= most:
        raise UsageError(f"there are {count} already, which is the most that are kept")
    return count + 1


def _storable(text: str | None) -> str | None:
    """SQLite keeps UTF-8: bytes that are not (in a command or a path) become escapes."""
    return None if text is None else text.encode("utf-8", "backslashreplace").decode()


def _bounded(text: str) -> str:
    return (_storable(text) or "")[:TEXT_CHARACTERS]


def sentences(sessions: list[PastSession]) -> list[str]:
    """Past sessions for people and models, one sentence each."""
    return [_sentence(session) for session in sessions]


def _sentence(session: PastSession) -> str:
    day = time.strftime("%Y-%m-%d", time.gmtime(session.started_at))
    told = [result for result in session.results if result.key != BASELINE and result.verdict is not None]
    tried = "; ".join(f"{result.key} {result.verdict}{_speedup(result)}" for result in told[:8])
    place = {"none": "host", "kvm": "micro-VM", "tcg": "emulated micro-VM"}.get(session.acceleration, session.machine)
    won = f"won by {session.winner}" if session.winner else "nothing beat EEVDF"
    return (
        f"{day}, {place}, Linux {session.kernel}, {session.cpus} CPUs: {session.command[:100]!r}: {won}. Tried: {tried}"
    )


def _speedup(result: PastResult) -> str:
    if result.speedup is None:
        return ""
    return f" {result.speedup.estimate:.3f} [{result.speedup.low:.3f}, {result.speedup.high:.3f}]"
