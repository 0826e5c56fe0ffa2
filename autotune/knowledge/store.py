# SPDX-License-Identifier: MIT
"""The knowledge store: workloads, sessions, candidates and verdicts, in SQLite in the user's state directory.

What always holds here:
- each run of a session is kept when it ends, and the rest when the session does: after kill -9 the runs are there, and
  the session is known to be lost because nobody has its claim;
- the baseline is kept like any candidate; the workload's environment is not kept, since environments hold secrets;
- a session must not fail because its knowledge cannot be written: callers catch AutotuneError, the only exception that
  a full disk, a missing permission, a busy or damaged file, or odd text can cause;
- several processes may use the file at once. It is created, migrated and moved aside under a lock file beside it.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from autotune import durable, resources
from autotune.errors import AutotuneError, BusyError, UsageError
from autotune.knowledge import chains, expected, rows, sqlite, watched
from autotune.knowledge.chains import Kept
from autotune.knowledge.claims import Claim, is_held
from autotune.knowledge.past import PastRun, PastSession
from autotune.knowledge.projects import project_of
from autotune.knowledge.workloads import fingerprint, program_of
from autotune.records import Expectations, MachineInfo, Profile, Session, Workload

T = TypeVar("T")
BETWEEN_RUNS_S = 0.2
"""How long a run waits to be written, while others write: it is written with the next one otherwise."""
MOST_PROFILES = 1000
MOST_NOTES = 100
"""Most notes of one profile. A limit over all of them would block every note once it is reached."""


class Knowledge:
    """The knowledge of one user. Opened at its first use; usable from several processes at once. `warn` receives a
    sentence about a damaged file that was moved aside, or a newer one that is left alone. Every method raises
    AutotuneError (stage `history`) when the file cannot be used; the next call tries again. `between_runs` waits for
    other writers only a moment, and leaves the disk to the kernel: what it writes survives any end of this process, and
    an end of the machine once another instance has written."""

    def __init__(
        self,
        path: Path | None = None,
        *,
        warn: Callable[[str], None] = lambda _text: None,
        between_runs: bool = False,
    ) -> None:
        self._path = path or resources.state_dir() / "history.sqlite3"
        self._warn = warn
        self._between_runs = between_runs
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
        """Keep a session with its results and runs, whole or not at all; return its number. Callers catch
        AutotuneError: the measurements matter more than their record."""
        return self.keep(session, None)

    def keep(self, session: Session, number: int | None, running: Claim | None = None) -> int:
        """Keep a session as it is now, whole or not at all: under its number, or as a new one (None, or when that
        number is gone with a store that was moved aside). `running` is the claim of a session that goes on; without
        one it is over. Its runs are never removed or changed. Returns its number."""
        with self.transaction(writes=True) as db:
            self._note_lost(db)
            row = rows.session_row(session, self._workload_id(db, session))
            row |= {"state": "running" if running else "ended", "claim": running.number if running else None}
            if number is None or not sqlite.update(db, "sessions", number, row):
                number = sqlite.insert(db, "sessions", row)
            sqlite.run(db, "DELETE FROM results WHERE session = ?", number)
            for rank, result in enumerate(session.results, 1):
                sqlite.insert(db, "results", rows.result_row(number, rank, result))
            kept = int(sqlite.run(db, "SELECT COUNT(*) FROM runs WHERE session = ?", number).fetchone()[0])
            for position, trial in enumerate(session.trials[kept:], kept + 1):
                sqlite.insert(db, "runs", rows.run_row(number, position, trial))
            return number

    def claim(self) -> Claim:
        """Return a claim for `keep`, which shows others that a session is running for as long as it is open."""
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return Claim(self._claims)

    @property
    def _claims(self) -> Path:
        """Return the file of the claims, the same for all stores of this directory."""
        return self._path.with_name("history.running")

    # --- chains of sessions ---

    def session_named(self, name: str) -> Kept | None:
        """Return a session by its own name (`Session.id`), without its runs; None when it is not known."""
        with self.transaction() as db:
            return chains.named(db, name, self._is_held)

    def sessions_in(self, cwd: str, command: str | None = None) -> list[Kept]:
        """Return the newest sessions of this directory, and of this command if one is given, newest first, without
        their runs. Those of older versions, which have no name, are left out."""
        with self.transaction() as db:
            return chains.in_directory(db, cwd, command, self._is_held)

    def take(self, before: Session, name: str, claim: Claim) -> str | None:
        """Note that the session `name`, whose process has the claim, continues `before`, unless another does. Return
        that one's name; None when the note was made."""
        with self.transaction(writes=True) as db:
            return chains.take(db, before, name, claim.number, self._is_held)

    def compact(self) -> None:
        """Give back the space of what was deleted, so that nothing of it is left in the file or in its log. While
        others use the store that is left out."""
        with contextlib.suppress(AutotuneError):
            with self.transaction():
                pass  # it is open, or an error says why not
            assert self._connection is not None
            with contextlib.suppress(sqlite3.OperationalError):
                self._connection.execute("VACUUM")
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _is_held(self, claim: int | None) -> bool:
        return is_held(self._claims, claim)

    # --- runs, and what is known of workloads ---

    def runs_of(self, session: int) -> list[PastRun]:
        """Return the runs of a session in their order."""
        with self.transaction() as db:
            found = sqlite.run(db, "SELECT * FROM runs WHERE session = ? ORDER BY number", session)
            return [rows.past_run(row) for row in found]

    def newest_in(self, cwd: str) -> PastSession | None:
        """Return the last session in this directory that knew its baseline, whatever its command; None when there was
        none."""
        return next(iter(self._sessions("w.cwd = ? AND s.baseline_median IS NOT NULL", (cwd,), 1)), None)

    def sessions_of(self, workload: Workload, limit: int = 10) -> list[PastSession]:
        """Return past sessions of this very workload, newest first; those that did not know their baseline come
        last."""
        return self._sessions("w.fingerprint = ?", (fingerprint(workload),), limit)

    def others(self, workload: Workload, limit: int = 200) -> list[PastSession]:
        """Return the newest sessions of other workloads that knew their baseline, whatever they run."""
        return self._sessions("w.fingerprint <> ? AND s.baseline_median IS NOT NULL", (fingerprint(workload),), limit)

    def _sessions(self, where: str, values: tuple[str | None, ...], limit: int) -> list[PastSession]:
        query = (
            "SELECT s.*, w.command AS command, w.cwd AS cwd, w.argv AS argv, w.project AS project "
            "FROM sessions s JOIN workloads w ON w.id = s.workload "
            f"WHERE {where} AND s.id NOT IN ({{running}}) "
            "ORDER BY s.baseline_median IS NULL, s.started_at DESC, s.id DESC LIMIT ?"
        )
        with self.transaction() as db:
            running = ", ".join(map(str, self.running(db)))
            found = sqlite.run(db, query.format(running=running), *values, max(limit, 0)).fetchall()
            return [rows.past_session(db, row) for row in found]

    def running(self, db: sqlite3.Connection) -> list[int]:
        """Return the sessions that are going on, of whatever process; the others that are noted as running are
        lost."""
        noted = sqlite.run(db, "SELECT id, claim FROM sessions WHERE state = 'running'").fetchall()
        return [int(row["id"]) for row in noted if is_held(self._claims, row["claim"])]

    def _note_lost(self, db: sqlite3.Connection) -> None:
        """Note the sessions whose process is gone as lost."""
        running = ", ".join(map(str, self.running(db)))
        query = "UPDATE sessions SET state = 'lost', claim = NULL WHERE state = 'running' AND id NOT IN ({running})"
        sqlite.run(db, query.format(running=running))

    def _workload_id(self, db: sqlite3.Connection, session: Session) -> int:
        workload = session.workload
        row = sqlite.run(db, "SELECT id FROM workloads WHERE fingerprint = ?", fingerprint(workload)).fetchone()
        argv = json.dumps(workload.argv)
        if row is not None:  # one of an older version may have no words yet
            sqlite.run(db, "UPDATE workloads SET argv = ? WHERE id = ? AND argv IS NULL", argv, row["id"])
            return int(row["id"])
        return sqlite.insert(
            db,
            "workloads",
            {
                "fingerprint": fingerprint(workload),
                "program": program_of(workload),
                "command": workload.command,
                "argv": argv,
                "project": project_of(workload.cwd),
                "name": workload.name or None,
                "cwd": workload.cwd,
                "prepare": workload.prepare,
                "setup": workload.setup,
                "metric": session.metric,
                "goal": workload.goal,
                "first_seen": session.started_at,
            },
        )

    # --- what workloads do ---

    def learn_workload(self, workload: Workload, machine: MachineInfo, seen: Profile) -> None:
        """Keep what a run of this workload showed that was watched on this machine, merged with those before."""
        with self.transaction(writes=True) as db:
            watched.learn(db, fingerprint(workload), machine, seen)

    def known_workload(self, workload: Workload, machine: MachineInfo) -> Profile | None:
        """Return what runs of this workload that were watched on such a machine showed; None where none was. One that
        is damaged is passed over with a warning."""
        return self._known("what is known of this command", watched.known, workload, machine)

    def learn_expected(self, workload: Workload, machine: MachineInfo, seen: Expectations) -> Expectations:
        """Merge what a run of this workload lets expect of its tasks with what those before did. Return the whole."""
        with self.transaction(writes=True) as db:
            return expected.learn(db, fingerprint(workload), machine, seen)

    def known_expected(self, workload: Workload, machine: MachineInfo) -> Expectations | None:
        """Return what to expect of this workload's tasks on such a machine; None where nothing is known. What is
        damaged is passed over with a warning."""
        return self._known("what to expect of this command's tasks", expected.known, workload, machine)

    def _known(
        self,
        what: str,
        read: Callable[[sqlite3.Connection, str, MachineInfo], T | None],
        workload: Workload,
        machine: MachineInfo,
    ) -> T | None:
        try:
            with self.transaction() as db:
                return read(db, fingerprint(workload), machine)
        except watched.Damaged as error:
            self._warn(f"{what} is damaged and not used: {error}")
            return None

    # --- profiles: the notes that a model keeps ---

    def create_profile(self, description: str, directory: str = "") -> str:
        """Begin a profile of a workload and return its id. Only sessions in the same directory see it: what a model
        noted of one project is none of the next one's business. Raises UsageError when the limit is reached."""
        with self.transaction(writes=True) as db:
            count = sqlite.count(db, "profiles")
            if count >= MOST_PROFILES:
                raise UsageError(
                    f"there are {count} workloads already, which is the most that are kept",
                    hint="the command 'list' names the newest: add to one of those",
                )
            now = time.time()
            profile = f"workload-{count + 1}"
            row = {"id": profile, "description": rows.bounded(description), "created_at": now, "updated_at": now}
            sqlite.insert(db, "profiles", {**row, "directory": sqlite.storable(directory)})
            return profile

    def list_profiles(self, limit: int = 50, directory: str = "") -> list[dict[str, Any]]:
        """Return the profiles of a directory, newest first."""
        with self.transaction() as db:
            query = f"SELECT {_PROFILE} FROM profiles WHERE directory = ? ORDER BY rowid DESC LIMIT ?"
            return [dict(row) for row in sqlite.run(db, query, sqlite.storable(directory), max(limit, 0))]

    def profile_history(self, profile: str, limit: int = 50, directory: str = "") -> dict[str, Any]:
        """Return a profile with its notes, newest first. Raises UsageError for one that does not exist."""
        with self.transaction() as db:
            found = _profile(db, profile, directory)
            query = "SELECT * FROM profile_notes WHERE profile = ? ORDER BY rowid DESC LIMIT ?"
            return {"profile": found, "history": [dict(row) for row in sqlite.run(db, query, profile, max(limit, 0))]}

    def add_profile_note(
        self, profile: str, execution_id: str | None, scheduler: str | None, result: str, directory: str = ""
    ) -> str:
        """Add a note and return its id. It needs no execution, so that a baseline can be noted too. Raises UsageError
        for a profile that does not exist or is full."""
        with self.transaction(writes=True) as db:
            _profile(db, profile, directory)
            count = int(sqlite.run(db, "SELECT COUNT(*) FROM profile_notes WHERE profile = ?", profile).fetchone()[0])
            if count >= MOST_NOTES:
                raise UsageError(
                    f"'{profile}' has {count} notes, which is the most that are kept",
                    hint="the command 'create' begins another workload",
                )
            note, now = f"note-{sqlite.count(db, 'profile_notes') + 1}", time.time()
            texts = {"execution_id": execution_id, "scheduler": scheduler, "result": result}
            row = {"id": note, "profile": profile, "created_at": now}
            sqlite.insert(db, "profile_notes", row | {name: rows.bounded(text) for name, text in texts.items()})
            sqlite.run(db, "UPDATE profiles SET updated_at = ? WHERE id = ?", now, profile)
            return note

    # --- the file ---

    @contextlib.contextmanager
    def transaction(self, *, writes: bool = False) -> Iterator[sqlite3.Connection]:
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
            with durable.locked(self._path.with_name(f"{self._path.name}.lock"), self._busy, wait_s=self._wait_s):
                self._connection = self._connect_or_begin_anew(self._path)
        return self._connection

    @property
    def _wait_s(self) -> float:
        return BETWEEN_RUNS_S if self._between_runs else sqlite.BUSY_S

    def _connect(self, path: Path) -> sqlite3.Connection:
        return sqlite.connect(path, self._wait_s, sync="NORMAL" if self._between_runs else "FULL")

    def _busy(self) -> BusyError:
        return BusyError(
            f"another autotune has been opening {self._path} for {self._wait_s:g} s",
            hint="try again; the session itself is not harmed",
            stage="history",
        )

    def _connect_or_begin_anew(self, path: Path) -> sqlite3.Connection:
        """Connect. A damaged file is moved aside; one of a newer autotune stays as it is, since that will look for it,
        and is replaced by one beside it."""
        try:
            return self._connect(path)
        except sqlite.NewerStore as error:
            if path != self._path:
                raise
            own = path.with_name(f"{path.stem}-version-{len(sqlite.MIGRATIONS)}{path.suffix}")
            self._warn(
                f"the knowledge store {path} is of a newer autotune (version {error.version}): it is left as it is, "
                f"and this autotune uses {own.name} beside it"
            )
            return self._connect_or_begin_anew(own)
        except sqlite3.DatabaseError as error:
            if type(error) is not sqlite3.DatabaseError:  # its subclasses: busy, disk full, no permission; no damage
                raise
            self._put_aside(path)
            return self._connect(path)

    def _put_aside(self, path: Path) -> None:
        number = 1
        while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
            number += 1
        for suffix in ("-wal", "-shm", ""):  # the log goes first, or SQLite would play it into the new database
            with contextlib.suppress(FileNotFoundError):
                path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
        self._warn(f"the knowledge store was damaged, and was moved aside as {aside}")


_PROFILE = "id, description, created_at, updated_at"


def _profile(db: sqlite3.Connection, profile: str, directory: str) -> dict[str, Any]:
    query = f"SELECT {_PROFILE} FROM profiles WHERE id = ? AND directory = ?"
    row = sqlite.run(db, query, profile, sqlite.storable(directory)).fetchone()
    if row is None:
        raise UsageError(f"there is no workload '{rows.bounded(profile[:100])}'", hint="the command 'list' lists them")
    return dict(row)
