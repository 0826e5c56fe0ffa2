# SPDX-License-Identifier: MIT
"""The database: private, of a known version, and used by several processes at once."""

from __future__ import annotations

import contextlib
import fcntl
import json
import sqlite3
import stat
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from autotune.errors import AutotuneError
from autotune.knowledge import best, experience, sqlite
from autotune.knowledge.store import Knowledge
from tests.support import sessions


def test_only_the_user_can_read_it(knowledge: Knowledge, path: Path) -> None:
    knowledge.record(sessions.session())
    files = sorted(path.parent.iterdir())
    assert path.with_name("history.sqlite3-wal") in files
    assert {file.name: oct(stat.S_IMODE(file.stat().st_mode)) for file in files} == {f.name: "0o600" for f in files}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_bytes_that_are_not_utf8_are_kept_as_escapes(knowledge: Knowledge) -> None:
    odd = sessions.workload(command="\udcff run", cwd="/x\udcfe")
    knowledge.record(sessions.session(workload=odd))
    assert knowledge.sessions_of(odd)[0].command == "\\udcff run"
    assert len(knowledge.others(replace(odd, cwd="/"))) == 1


def test_one_from_a_newer_autotune_is_left_alone_and_another_is_used_beside_it(path: Path) -> None:
    path.parent.mkdir()
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")
    before = path.read_bytes()
    warnings: list[str] = []
    with Knowledge(path, warn=warnings.append) as knowledge:
        knowledge.record(sessions.session())
    own = path.with_name(f"history-version-{len(sqlite.MIGRATIONS)}.sqlite3")
    assert path.read_bytes() == before
    assert own.exists()
    assert warnings == [
        f"the knowledge store {path} is of a newer autotune (version 99): it is left as it is, and this autotune uses "
        f"{own.name} beside it"
    ]
    with Knowledge(path) as again:
        assert len(again.sessions_of(sessions.workload())) == 1


LATER = (
    *sqlite.MIGRATIONS,
    "ALTER TABLE sessions ADD COLUMN mood TEXT NOT NULL DEFAULT 'calm; quiet';",
    "CREATE TABLE moods (mood TEXT); INSERT INTO moods SELECT mood FROM sessions;",
)


def test_an_older_database_is_brought_up_to_date_with_all_it_holds(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Knowledge(path) as knowledge:
        knowledge.record(sessions.session())
        before = knowledge.sessions_of(sessions.workload())
    monkeypatch.setattr(sqlite, "MIGRATIONS", LATER)
    with Knowledge(path) as knowledge:
        assert knowledge.sessions_of(sessions.workload()) == before
    with contextlib.closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT mood FROM moods").fetchall() == [("calm; quiet",)]
        assert db.execute("PRAGMA user_version").fetchone() == (len(LATER),)


def test_a_step_that_fails_leaves_the_older_database_whole(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Knowledge(path) as knowledge:
        knowledge.record(sessions.session())
    with monkeypatch.context() as later:
        later.setattr(sqlite, "MIGRATIONS", (*LATER, "INSERT INTO nowhere VALUES (1);"))
        with pytest.raises(AutotuneError, match="nowhere"):
            Knowledge(path).list_profiles()
    with Knowledge(path) as knowledge:
        assert len(knowledge.sessions_of(sessions.workload())) == 1
    with contextlib.closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT name FROM sqlite_master WHERE name = 'moods'").fetchall() == []


def test_a_full_disk_is_an_error_and_nothing_half_is_kept(knowledge: Knowledge, path: Path) -> None:
    knowledge.record(sessions.session())
    assert knowledge._connection is not None  # a real limit of SQLite plays the full disk
    knowledge._connection.execute(
        f"PRAGMA max_page_count = {knowledge._connection.execute('PRAGMA page_count').fetchone()[0]}"
    )

    def fill() -> None:
        for _ in range(50):
            knowledge.record(sessions.session())

    with pytest.raises(AutotuneError, match="full"):
        fill()
    with Knowledge(path) as again:
        assert all(len(past.results) == 5 for past in again.sessions_of(sessions.workload(), limit=100))


def test_a_transaction_that_sqlite_itself_has_ended_tells_the_true_reason(knowledge: Knowledge) -> None:
    knowledge.list_profiles()
    assert knowledge._connection is not None  # as SQLite may do when the disk is full; a trigger can make it
    knowledge._connection.execute(
        "CREATE TRIGGER gone BEFORE INSERT ON results BEGIN SELECT RAISE(ROLLBACK, 'the disk is gone'); END"
    )
    with pytest.raises(AutotuneError, match="the disk is gone"):
        knowledge.record(sessions.session())
    assert knowledge.sessions_of(sessions.workload()) == []


def test_a_reader_does_not_wait_for_a_writer(knowledge: Knowledge, path: Path) -> None:
    knowledge.record(sessions.session())
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        begun = time.monotonic()
        assert len(knowledge.sessions_of(sessions.workload())) == 1
        assert time.monotonic() - begun < sqlite.BUSY_S


def test_a_writer_that_has_waited_long_enough_is_an_error(
    knowledge: Knowledge, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_S", 0.1)
    knowledge.record(sessions.session())
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(AutotuneError, match="locked"):
            knowledge.record(sessions.session())
    knowledge.record(sessions.session())
    assert len(knowledge.sessions_of(sessions.workload())) == 2


def test_an_autotune_that_never_finishes_opening_holds_others_up_only_so_long(
    knowledge: Knowledge, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_S", 0.1)
    path.parent.mkdir()
    with open(path.with_name("history.sqlite3.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(AutotuneError, match="another autotune"):
            knowledge.list_profiles()
    assert knowledge.list_profiles() == []


def test_a_second_one_in_the_same_process_leaves_the_locks_of_the_first(knowledge: Knowledge, path: Path) -> None:
    knowledge.record(sessions.session())
    with Knowledge(path) as second:
        second.list_profiles()
    code = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('SELECT count(*) FROM sessions').fetchall()"
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)
    # The last to close removes the log; another process must not believe that it is the last.
    assert path.with_name("history.sqlite3-wal").exists()


WRITER = """
import json, sys
from pathlib import Path
from autotune.knowledge.store import Knowledge
from tests.support import sessions as builders

told = []
sys.stdin.readline()
with Knowledge(Path(sys.argv[1]), warn=told.append) as knowledge:
    for _ in range(20):
        knowledge.record(builders.session())
print(json.dumps(told))
"""


def write_at_once(path: Path) -> list[list[str]]:
    """Processes that all open the knowledge at the same moment and record 20 sessions each; what each was told."""
    top = Path(__file__).parents[3]
    argv = [sys.executable, "-c", WRITER, str(path)]
    pipe = subprocess.PIPE
    writers = [subprocess.Popen(argv, stdin=pipe, stdout=pipe, text=True, cwd=top) for _ in range(WRITERS)]
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    outputs = [writer.communicate(timeout=60)[0] for writer in writers]
    assert [writer.returncode for writer in writers] == [0] * WRITERS
    return [json.loads(output) for output in outputs]


WRITERS = 6


@pytest.mark.slow
def test_several_processes_write_at_once_from_the_very_beginning(path: Path) -> None:
    assert write_at_once(path) == [[]] * WRITERS
    with Knowledge(path) as knowledge:
        kept = knowledge.sessions_of(sessions.workload(), limit=1000)
    assert len(kept) == 20 * WRITERS
    assert all(len(past.results) == 5 for past in kept)


@pytest.mark.slow
def test_of_several_processes_that_find_it_damaged_one_puts_it_aside_and_none_loses_a_session(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"this is no database" * 100)
    heard = write_at_once(path)
    assert sum(map(len, heard)) == 1
    assert [file.name for file in path.parent.glob("*.damaged-*")] == ["history.sqlite3.damaged-1"]
    with Knowledge(path) as knowledge:
        assert len(knowledge.sessions_of(sessions.workload(), limit=1000)) == 20 * WRITERS


def test_a_store_from_before_runs_were_kept_keeps_its_sessions(path: Path) -> None:
    """Version 2: what it has of runs is their number in each result."""
    path.parent.mkdir()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        for script in sqlite.MIGRATIONS[:2]:
            db.executescript(script)
        db.execute("PRAGMA user_version = 2")
        db.execute("INSERT INTO workloads VALUES (1, 'f', 'make', 'make', '/x', NULL, NULL, 'wall_s', 'min', 1.0)")
        where = "'0.1', 'vm', '6.18', 2, 'cpu', 'tcg', 'offline'"
        db.execute(f"INSERT INTO sessions VALUES (7, 1, 1.0, 9.0, {where}, 3, 1.0, 0.1, 3, NULL, 'none', 0, NULL)")
        kept = "'eevdf', 'eevdf', '{}', NULL, NULL, NULL, NULL, 1.0, 5, 2, 0, 'own', NULL, NULL, ''"
        db.execute(f"INSERT INTO results VALUES (7, 1, {kept})")
    with Knowledge(path) as knowledge:
        past = knowledge.newest_in("/x")
        assert past is not None
        assert (past.id, past.state, past.measured_runs) == (7, "ended", 7)
        assert knowledge.runs_of(7) == []


KILLED = """
import sys
from dataclasses import replace
from pathlib import Path
from autotune.knowledge.store import Knowledge
from tests.support import sessions

with Knowledge(Path(sys.argv[1]), between_runs=True) as knowledge:
    while True:
        claim, number, session = knowledge.claim(), None, sessions.session()
        for count in range(1, 9):
            session = replace(session, trials=(sessions.trial(),) * count)
            number = knowledge.keep(session, number, claim)
            print(number, count, flush=True)
        knowledge.keep(session, number)
        claim.close()
"""


@pytest.mark.slow
def test_a_writer_that_is_killed_at_any_moment_loses_no_run_that_it_had_written(path: Path) -> None:
    top = Path(__file__).parents[3]
    for lines in (1, 5, 14, 23):
        argv = [sys.executable, "-c", KILLED, str(path)]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=top) as writer:
            assert writer.stdout is not None
            for _ in range(lines):
                number, count = map(int, writer.stdout.readline().split())
            writer.kill()
        with Knowledge(path) as knowledge:
            assert len(knowledge.runs_of(number)) >= count
            past = knowledge.sessions_of(sessions.workload(), limit=100)
            assert {one.measured_runs for one in past if one.state == "ended"} <= {8}
            assert sum(one.state == "lost" for one in past) <= 4
            assert all(len(one.results) == 5 for one in past)


# --- from version 7 ---


def as_version_7(path: Path) -> None:
    """Turn a store into one of the version before words, memory and builds were kept."""
    older = path.with_name("older")
    with contextlib.closing(sqlite3.connect(older, isolation_level=None)) as db:
        for script in sqlite.MIGRATIONS[:7]:
            db.executescript(script)
        db.execute("PRAGMA user_version = 7")
        db.execute("ATTACH ? AS newer", (str(path),))
        for (table,) in db.execute("SELECT name FROM main.sqlite_master WHERE type = 'table'").fetchall():
            columns = ", ".join(row[1] for row in db.execute(f"PRAGMA main.table_info({table})"))
            db.execute(f"INSERT INTO main.{table} SELECT {columns} FROM newer.{table}")
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    older.rename(path)


def test_a_store_of_version_7_learns_what_its_documents_tell(path: Path) -> None:
    machine = sessions.machine(topology="1 socket")
    with Knowledge(path) as knowledge:
        knowledge.record(sessions.session(id="0a1b2c3d", machine=machine))
        knowledge.record(sessions.session(started_at=1.0, workload=sessions.workload(command="ninja")))
    as_version_7(path)
    with pytest.raises(best.StoreProblem, match="older"):
        best.known_best("make -j8", "/home/me/project", here=experience.here_of(machine), store=str(path))
    with Knowledge(path) as knowledge:
        (past,) = knowledge.sessions_of(sessions.workload())
        (other,) = knowledge.sessions_of(sessions.workload(command="ninja"))
    assert (past.memory_bytes, past.topology, past.argv) == (4 << 30, "1 socket", ("sh", "-c", "make -j8"))
    assert (other.memory_bytes, other.argv) == (None, None)
    found = best.known_best("make -j8", "/home/me/project", here=experience.here_of(machine), store=str(path))
    assert found is not None
    assert found.stale == ("it is not known which build of at_batch was measured",)


@pytest.mark.parametrize("document", ["", "{", "[]", "7", '{"machine": 3}'])
def test_a_document_that_tells_nothing_does_not_keep_a_store_from_being_migrated(path: Path, document: str) -> None:
    with Knowledge(path) as knowledge:
        knowledge.record(sessions.session(id="0a1b2c3d"))
    as_version_7(path)
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE sessions SET document = ?", (document,))
        db.commit()
    with Knowledge(path) as knowledge:
        (past,) = knowledge.sessions_of(sessions.workload())
    assert (past.memory_bytes, past.winner) == (None, sessions.BATCH.key)


# --- a disk that is really full ---

FULL = """
import sys
from pathlib import Path
from autotune.errors import AutotuneError
from autotune.knowledge import best, experience
from autotune.knowledge.archive import History
from autotune.knowledge.store import Knowledge
from tests.support import sessions

path, filler = Path(sys.argv[1], "history.sqlite3"), Path(sys.argv[1], "filler")
filler.write_bytes(b"x" * 100_000)
here, kept = experience.here_of(sessions.machine()), 0
with Knowledge(path) as knowledge:
    try:
        while True:
            knowledge.record(sessions.session(id=f"{kept:08x}", started_at=float(kept)))
            kept += 1
    except AutotuneError as error:
        assert "full" in str(error), error
    assert kept > 3, kept
    history = History(knowledge)
    assert len(history.newest(limit=10_000)) == kept
    found = best.known_best("make -j8", "/home/me/project", here=here, store=str(path))
    assert found is not None and found.session == f"{kept - 1:08x}", found
    try:
        history.forget(history.newest(limit=2))
    except AutotuneError as error:
        assert "full" in str(error), error
    left = history.newest(limit=10_000)
    assert len(left) in (kept, kept - 2), len(left)
    assert all(len(one.results) == 5 for one in left)
    filler.unlink()
    knowledge.record(sessions.session(id="ffffffff", started_at=1e9))
    assert len(history.newest(limit=10_000)) == len(left) + 1
print("sound", kept)
"""


@pytest.mark.slow
def test_on_a_full_disk_nothing_that_was_kept_is_lost_and_it_goes_on_once_there_is_room(tmp_path: Path) -> None:
    mounted = f'mount -t tmpfs -o size=1m none "$0" && exec {sys.executable} -c "$1" "$0"'
    whole = ["unshare", "-m", "sh", "-c", mounted, str(tmp_path), FULL]
    top = Path(__file__).parents[3]
    done = subprocess.run(whole, cwd=top, capture_output=True, text=True, check=False, timeout=120)
    if "mount:" in done.stderr or "unshare:" in done.stderr:
        pytest.skip(f"no file system of our own can be mounted here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("sound ")
