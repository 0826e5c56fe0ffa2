# SPDX-License-Identifier: MIT
"""The knowledge store: workloads, sessions, candidates and verdicts, in SQLite in the user's state directory.

What always holds here:
- the baseline is kept like any candidate; the workload's environment is not kept, since environments hold secrets;
- a session must not fail because its knowledge cannot be written: callers catch AutotuneError, the only exception that
  a full disk, a missing permission, a busy or damaged file, or odd text can cause;
- several processes may use the file at once. It is created, migrated and moved aside under a lock file beside it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from autotune import durable, reading, resources
from autotune.errors import AutotuneError, BusyError, UsageError
from autotune.knowledge import sqlite
from autotune.knowledge.past import PastResult, PastSession
from autotune.knowledge.workloads import fingerprint, program_of
from autotune.records import Candidate, CandidateResult, Interval, KnobValue, Session, Workload
from autotune.verdict.stats import CONFIDENCE

TEXT_CHARACTERS = 2000
MOST_PROFILES = 1000
MOST_NOTES = 100
"""Most notes of one profile. A limit over all of them would block every note once it is reached."""


class Knowledge:
    """The knowledge of one user. Opened at its first use; usable from several processes at once. `warn` receives a
    sentence about a damaged file that was moved aside. Every method raises AutotuneError (stage `history`) when the
    file cannot be used; the next call tries again."""

    def __init__(self, path: Path | None = None, *, warn: Callable[[str], None] = lambda _text: None) -> None:
        self._path = path or resources.state_dir() / "history.sqlite3"
        self._warn = warn
        self._connection: sqlite3.Connection | None = None

    def __enter__(self) -> Knowledge:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    # --- sessions ---

    def record(self, session: Session) -> int:
        """Keep a session with all its results, whole or not at all; return its number. Callers catch AutotuneError: the
        measurements matter more than their record."""
        with self._transaction(writes=True) as db:
            workload = self._workload_id(db, session)
            number = sqlite.insert(db, "sessions", _session_row(session, workload))
            for rank, result in enumerate(session.results, 1):
                sqlite.insert(db, "results", _result_row(number, rank, result))
            return number

    def newest_in(self, cwd: str) -> PastSession | None:
        """Return the last session that ran in this directory, whatever its command; None when there was none."""
        return next(iter(self._sessions("w.cwd = ?", (cwd,), 1)), None)

    def sessions_of(self, workload: Workload, limit: int = 10) -> list[PastSession]:
        """Return past sessions of this very workload, newest first."""
        return self._sessions("w.fingerprint = ?", (fingerprint(workload),), limit)

    def similar(self, workload: Workload, limit: int = 5) -> list[PastSession]:
        """Return past sessions of other workloads that run the same program, newest first."""
        program = program_of(workload)
        where = "w.program = ? AND w.fingerprint <> ?"
        return self._sessions(where, (program, fingerprint(workload)), limit) if program else []

    def best_known(self, workload: Workload, *, kernel: str | None = None) -> PastResult | None:
        """Return the confirmed winner of the newest session of this workload (under that kernel, if one is named) that
        knew its baseline; None without such a session, and when it found nothing that beats EEVDF."""
        where = "w.fingerprint = ? AND s.baseline_median IS NOT NULL AND s.kernel = coalesce(?, s.kernel)"
        newest = self._sessions(where, (fingerprint(workload), kernel), 1)
        return next((result for past in newest for result in past.results if result.key == past.winner), None)

    def _sessions(self, where: str, values: tuple[str | None, ...], limit: int) -> list[PastSession]:
        query = (
            "SELECT s.*, w.command AS command, w.cwd AS cwd FROM sessions s JOIN workloads w ON w.id = s.workload "
            f"WHERE {where} ORDER BY s.started_at DESC, s.id DESC LIMIT ?"
        )
        with self._transaction() as db:
            rows = sqlite.run(db, query, *values, max(limit, 0)).fetchall()
            return [_past_session(db, row) for row in rows]

    def _workload_id(self, db: sqlite3.Connection, session: Session) -> int:
        workload = session.workload
        row = sqlite.run(db, "SELECT id FROM workloads WHERE fingerprint = ?", fingerprint(workload)).fetchone()
        if row is not None:
            return int(row["id"])
        return sqlite.insert(
            db,
            "workloads",
            {
                "fingerprint": fingerprint(workload),
                "program": program_of(workload),
                "command": workload.command,
                "cwd": workload.cwd,
                "prepare": workload.prepare,
                "setup": workload.setup,
                "metric": session.metric,
                "goal": workload.goal,
                "first_seen": session.started_at,
            },
        )

    # --- profiles: the notes that a model keeps ---

    def create_profile(self, description: str, directory: str = "") -> str:
        """Begin a profile of a workload and return its id. Only sessions in the same directory see it: what a model
        noted of one project is none of the next one's business. Raises UsageError when the limit is reached."""
        with self._transaction(writes=True) as db:
            count = sqlite.count(db, "profiles")
            if count >= MOST_PROFILES:
                raise UsageError(
                    f"there are {count} workloads already, which is the most that are kept",
                    hint="the command 'list' names the newest: add to one of those",
                )
            now = time.time()
            profile = f"workload-{count + 1}"
            row = {"id": profile, "description": _bounded(description), "created_at": now, "updated_at": now}
            sqlite.insert(db, "profiles", {**row, "directory": sqlite.storable(directory)})
            return profile

    def list_profiles(self, limit: int = 50, directory: str = "") -> list[dict[str, Any]]:
        """Return the profiles of a directory, newest first."""
        with self._transaction() as db:
            query = f"SELECT {_PROFILE} FROM profiles WHERE directory = ? ORDER BY rowid DESC LIMIT ?"
            return [dict(row) for row in sqlite.run(db, query, sqlite.storable(directory), max(limit, 0))]

    def profile_history(self, profile: str, limit: int = 50, directory: str = "") -> dict[str, Any]:
        """Return a profile with its notes, newest first. Raises UsageError for one that does not exist."""
        with self._transaction() as db:
            found = _profile(db, profile, directory)
            query = "SELECT * FROM profile_notes WHERE profile = ? ORDER BY rowid DESC LIMIT ?"
            return {"profile": found, "history": [dict(row) for row in sqlite.run(db, query, profile, max(limit, 0))]}

    def add_profile_note(
        self, profile: str, execution_id: str | None, scheduler: str | None, result: str, directory: str = ""
    ) -> str:
        """Add a note and return its id. It needs no execution, so that a baseline can be noted too. Raises UsageError
        for a profile that does not exist or is full."""
        with self._transaction(writes=True) as db:
            _profile(db, profile, directory)
            count = int(sqlite.run(db, "SELECT COUNT(*) FROM profile_notes WHERE profile = ?", profile).fetchone()[0])
            if count >= MOST_NOTES:
                raise UsageError(
                    f"'{profile}' has {count} notes, which is the most that are kept",
                    hint="the command 'create' begins another workload",
                )
            note, now = f"note-{sqlite.count(db, 'profile_notes') + 1}", time.time()
            row = {"id": note, "profile": profile, "execution_id": _bounded(execution_id), "created_at": now}
            sqlite.insert(db, "profile_notes", {**row, "scheduler": _bounded(scheduler), "result": _bounded(result)})
            sqlite.run(db, "UPDATE profiles SET updated_at = ? WHERE id = ?", now, profile)
            return note

    # --- the file ---

    @contextlib.contextmanager
    def _transaction(self, *, writes: bool = False) -> Iterator[sqlite3.Connection]:
        """Run statements all or nothing. Readers wait for nobody. Writers BEGIN IMMEDIATE: a deferred transaction that
        upgrades to a write fails with SQLITE_BUSY without waiting."""
        try:
            db = self._open()
            with sqlite.all_or_nothing(db, "IMMEDIATE" if writes else "DEFERRED"):
                yield db
        except (sqlite3.Error, OSError, OverflowError, ValueError) as error:
            self.close()
            raise AutotuneError(
                f"the knowledge store cannot be read or written: {error}",
                hint=f"check {self._path} and the space on its disk; the session itself is not harmed",
                stage="history",
            ) from error

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            # SQLite cannot do this: two processes that both turn a new file to WAL mode are refused as busy without
            # waiting, and a damaged file has no locks, so that one process would move another's new one aside.
            with durable.locked(self._path.with_name(f"{self._path.name}.lock"), self._busy, wait_s=sqlite.BUSY_S):
                self._connection = self._connect_or_begin_anew()
        return self._connection

    def _busy(self) -> BusyError:
        return BusyError(
            f"another autotune has been opening {self._path} for {sqlite.BUSY_S:g} s",
            hint="try again; the session itself is not harmed",
            stage="history",
        )

    def _connect_or_begin_anew(self) -> sqlite3.Connection:
        try:
            return sqlite.connect(self._path)
        except sqlite3.DatabaseError as error:
            if type(error) is not sqlite3.DatabaseError:  # its subclasses: busy, disk full, no permission; no damage
                raise
            self._put_aside()
            return sqlite.connect(self._path)

    def _put_aside(self) -> None:
        number = 1
        while (aside := self._path.with_name(f"{self._path.name}.damaged-{number}")).exists():
            number += 1
        for suffix in ("-wal", "-shm", ""):  # the log goes first, or SQLite would play it into the new database
            with contextlib.suppress(FileNotFoundError):
                self._path.with_name(self._path.name + suffix).rename(aside.with_name(aside.name + suffix))
        self._warn(f"the knowledge store was damaged, and was moved aside as {aside}")


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
        "failure": session.failure,
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
    results = sqlite.run(db, "SELECT * FROM results WHERE session = ? ORDER BY rank", row["id"])
    fields = {field.name: row[field.name] for field in dataclasses.fields(PastSession) if field.name != "results"}
    fields["interrupted"] = bool(fields["interrupted"])
    return PastSession(**fields, results=tuple(_past_result(result) for result in results))


def _knobs(text: Any) -> tuple[tuple[str, KnobValue], ...]:
    """Raises ValueError for what is no object of JSON."""
    return reading.shaped(lambda knobs: tuple(knobs.items()), reading.parsed_json(str(text)))


def _past_result(row: sqlite3.Row) -> PastResult:
    speedup = (row["speedup"], row["low"], row["high"])
    return PastResult(
        key=row["key"],
        candidate=Candidate(row["scheduler"], _knobs(row["knobs"])),
        verdict=row["verdict"],
        speedup=None if None in speedup else Interval(*speedup, CONFIDENCE),
        median=row["median"],
        runs=row["runs"],
        invalid_runs=row["invalid_runs"],
        confirmed=bool(row["confirmed"]),
        reason=row["reason"],
        note=row["note"],
    )


_PROFILE = "id, description, created_at, updated_at"


def _profile(db: sqlite3.Connection, profile: str, directory: str) -> dict[str, Any]:
    query = f"SELECT {_PROFILE} FROM profiles WHERE id = ? AND directory = ?"
    row = sqlite.run(db, query, profile, sqlite.storable(directory)).fetchone()
    if row is None:
        raise UsageError(f"there is no workload '{_bounded(profile[:100])}'", hint="the command 'list' lists them")
    return dict(row)


def _bounded(text: str | None) -> str | None:
    return None if text is None else str(sqlite.storable(text))[:TEXT_CHARACTERS]
