# SPDX-License-Identifier: MIT
"""What was learned is kept whole, by several processes at once, and never costs a session."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import builders
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotune import history
from autotune.errors import AutotuneError, UsageError
from autotune.history import History, fingerprint, program_of
from autotune.records import BASELINE


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "history.sqlite3"


@pytest.fixture
def memory(path: Path) -> Iterator[History]:
    kept = History(path)
    yield kept
    kept.close()


def test_a_session_is_kept_with_all_its_results_the_baseline_among_them(memory: History) -> None:
    session = builders.session()
    memory.record(session)
    (past,) = memory.sessions_of(session.workload)
    assert [result.key for result in past.results] == [result.candidate.key for result in session.results]
    assert BASELINE in [result.key for result in past.results]
    for kept, given_ in zip(past.results, session.results, strict=True):
        assert (kept.verdict, kept.median, kept.runs) == (given_.verdict, given_.median, given_.runs)
        assert (kept.speedup is None) == (given_.speedup is None)
    assert past.winner == session.winner
    assert past.recommendation == session.recommendation


def test_the_newest_session_comes_first(memory: History) -> None:
    session = builders.session()
    for started_at in (100.0, 300.0, 200.0):
        memory.record(replace(session, started_at=started_at))
    assert [past.started_at for past in memory.sessions_of(session.workload)] == [300.0, 200.0, 100.0]


def test_the_best_known_is_the_winner_of_the_newest_session_that_knew_its_baseline(memory: History) -> None:
    session = builders.session()
    assert memory.best_known(session.workload) is None
    key = next(r.candidate.key for r in session.results if r.candidate.scheduler != BASELINE)
    memory.record(replace(session, winner=key, started_at=1.0))
    memory.record(replace(session, winner=None, baseline=None, started_at=2.0))
    best = memory.best_known(session.workload)
    assert best is not None
    assert best.key == key
    memory.record(replace(session, winner=None, started_at=3.0))
    assert memory.best_known(session.workload) is None


def test_other_workloads_of_the_same_program_are_similar(memory: History) -> None:
    here = builders.workload(command="make -j8", cwd="/a")
    there = builders.workload(command="CC=clang /usr/bin/make -j4", cwd="/b")
    other = builders.workload(command="ninja", cwd="/b")
    for workload in (here, there, other):
        memory.record(builders.session(workload=workload))
    assert [past.command for past in memory.similar(here)] == [there.command]


def test_environment_limits_and_seed_do_not_make_another_workload() -> None:
    base = builders.workload()
    assert fingerprint(base) == fingerprint(replace(base, env={"A": "b"}, timeout_s=3.0, ignore_failure=True))
    for changed in ({"cwd": "/x"}, {"prepare": "x"}, {"metric_regex": "x"}, {"goal": "max"}, {"pristine": True}):
        assert fingerprint(base) != fingerprint(replace(base, **changed))


def test_the_program_is_named_without_its_path_and_variables() -> None:
    assert program_of(builders.workload(command="A=1 B=2 /usr/bin/make -j")) == "make"
    assert program_of(builders.workload(argv=("./bench", "--x"), command="./bench --x")) == "bench"


def test_the_environment_is_not_kept(memory: History, path: Path) -> None:
    memory.record(builders.session(workload=builders.workload(env={"TOKEN": "very-secret-value"})))
    memory.close()
    assert b"very-secret-value" not in b"".join(file.read_bytes() for file in path.parent.iterdir())


def test_only_the_user_can_read_it(memory: History, path: Path) -> None:
    memory.list_profiles()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_bytes_that_are_not_utf8_are_kept_as_escapes(memory: History) -> None:
    odd = builders.workload(command="run \udcff", cwd="/x\udcfe")
    memory.record(builders.session(workload=odd))
    assert memory.sessions_of(odd)[0].command == "run \\udcff"


def test_a_damaged_file_is_put_aside_and_said(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"this is no database, and long enough to be sure of that" * 10)
    told: list[str] = []
    memory = History(path, warn=told.append)
    assert memory.list_profiles() == []
    assert "put aside" in told[0]
    assert path.with_name("history.sqlite3.damaged-1").exists()


def test_one_from_a_newer_autotune_is_refused_and_not_touched(path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    before = path.read_bytes()
    with pytest.raises(AutotuneError, match="newer autotune"):
        History(path).list_profiles()
    assert path.read_bytes()[100:] == before[100:]  # but for the header, which WAL mode changes


def test_a_directory_that_cannot_be_made_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AutotuneError, match="cannot be read or written") as caught:
        History(tmp_path / "file" / "history.sqlite3").list_profiles()
    assert caught.value.stage == "history"
    assert "not harmed" in caught.value.hint


def test_a_full_disk_is_an_error_and_nothing_half_is_kept(memory: History, path: Path) -> None:
    memory.record(builders.session())
    assert memory._connection is not None  # a real limit of SQLite plays the full disk
    memory._connection.execute(
        f"PRAGMA max_page_count = {memory._connection.execute('PRAGMA page_count').fetchone()[0]}"
    )

    def fill() -> None:
        for _ in range(50):
            memory.record(builders.session())

    with pytest.raises(AutotuneError, match="full"):
        fill()
    again = History(path)
    assert all(past.results for past in again.sessions_of(builders.workload(), limit=100))
    again.close()


WRITER = """
import sys
sys.path[:0] = sys.argv[2:]
from pathlib import Path
import builders
from autotune.history import History
memory = History(Path(sys.argv[1]))
for _ in range(20):
    memory.record(builders.session())
"""


def test_several_processes_write_at_once(path: Path) -> None:
    tests = Path(builders.__file__).parent
    argv = [sys.executable, "-c", WRITER, str(path), str(tests), str(tests.parent)]
    writers = [subprocess.Popen(argv) for _ in range(4)]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0, 0]
    assert len(History(path).sessions_of(builders.workload(), limit=1000)) == 80


def test_profiles_hold_notes_also_without_an_execution(memory: History) -> None:
    profile = memory.create_profile("a build")
    memory.add_profile_note(profile, None, None, "baseline 2.0 s")
    memory.add_profile_note(profile, "exec-1", "at_fifo", "loads")
    kept = memory.profile_history(profile)
    assert kept["profile"]["description"] == "a build"
    assert {note["result"] for note in kept["history"]} == {"baseline 2.0 s", "loads"}
    assert [one["id"] for one in memory.list_profiles()] == [profile]


def test_an_unknown_profile_is_named_and_how_to_find_those_there_are(memory: History) -> None:
    with pytest.raises(UsageError, match="no workload 'nobody'"):
        memory.profile_history("nobody")
    with pytest.raises(UsageError, match="list"):
        memory.add_profile_note("nobody", None, None, "x")


@given(st.text(max_size=3000))
def test_any_text_can_be_noted(text: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        memory = History(Path(directory) / "history.sqlite3")
        profile = memory.create_profile(text)
        assert memory.list_profiles()[0]["id"] == profile
        memory.close()


def test_past_sessions_read_as_sentences(memory: History) -> None:
    session = builders.session()
    memory.record(session)
    (sentence,) = history.sentences(memory.sessions_of(session.workload))
    assert session.machine.kernel in sentence
    assert "Tried: " in sentence
