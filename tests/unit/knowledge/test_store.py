# SPDX-License-Identifier: MIT
"""What was learned is kept whole, by several processes at once, and never costs a session."""

from __future__ import annotations

import contextlib
import fcntl
import json
import sqlite3
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autotune.errors import AutotuneError, UsageError
from autotune.knowledge import sqlite, store
from autotune.knowledge.past import sentences
from autotune.knowledge.store import Knowledge
from autotune.knowledge.workloads import fingerprint, program_of
from autotune.records import BASELINE, Candidate, CandidateResult, Interval, Workload
from tests.support import sessions


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "history.sqlite3"


@pytest.fixture
def knowledge(path: Path) -> Iterator[Knowledge]:
    with Knowledge(path) as kept:
        yield kept


# --- sessions ---


REAL = st.floats(allow_nan=False)
TEXT = st.text(st.characters(exclude_categories=[]), max_size=30)
KNOBS = st.dictionaries(
    st.from_regex(r"[a-z_]{1,9}", fullmatch=True),
    st.booleans()
    | st.integers()
    | REAL.filter(lambda x: abs(x) < 1e300)
    | st.from_regex(r"[a-z]{1,9}", fullmatch=True),
    max_size=4,
)
RESULTS = st.builds(
    CandidateResult,
    candidate=st.builds(
        lambda name, knobs: Candidate(name, tuple(sorted(knobs.items()))), st.sampled_from(["at_fifo", BASELINE]), KNOBS
    ),
    reason=TEXT,
    verdict=st.sampled_from(["faster", "slower", "same", "undecided", "invalid", None]),
    speedup=st.none() | st.builds(Interval, REAL, REAL, REAL, st.just(0.95)),
    median=st.none() | REAL,
    runs=st.integers(0, 1000),
    invalid_runs=st.integers(0, 1000),
    confirmed=st.booleans(),
    note=TEXT,
)


def as_kept(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


@settings(max_examples=40, deadline=None)
@given(st.lists(RESULTS, max_size=4), TEXT, st.none() | TEXT, st.booleans())
@pytest.mark.slow
def test_whatever_a_session_holds_is_read_back_as_it_was(
    results: list[CandidateResult], recommendation: str, failure: str | None, interrupted: bool
) -> None:
    session = sessions.session(
        results=tuple(results), recommendation=recommendation, failure=failure, interrupted=interrupted
    )
    with tempfile.TemporaryDirectory() as directory, Knowledge(Path(directory) / "history.sqlite3") as knowledge:
        knowledge.record(session)
        (past,) = knowledge.sessions_of(session.workload)
    assert past.recommendation == as_kept(recommendation)
    assert past.failure == (None if failure is None else as_kept(failure))
    assert past.interrupted == interrupted
    for kept, given_ in zip(past.results, results, strict=True):
        assert kept.candidate == given_.candidate
        assert kept.key == given_.candidate.key
        assert (kept.verdict, kept.speedup, kept.median) == (given_.verdict, given_.speedup, given_.median)
        assert (kept.runs, kept.invalid_runs) == (given_.runs, given_.invalid_runs)
        assert (kept.confirmed, kept.reason, kept.note) == (
            given_.confirmed,
            as_kept(given_.reason),
            as_kept(given_.note),
        )


def test_a_past_session_says_where_and_how_it_ran(knowledge: Knowledge) -> None:
    session = sessions.session()
    knowledge.record(session)
    (past,) = knowledge.sessions_of(session.workload)
    info, baseline = session.machine, sessions.BASE
    assert (past.machine, past.kernel, past.cpus) == (info.kind, info.kernel, info.cpus)
    assert (past.cpu_model, past.acceleration) == (info.cpu_model, info.acceleration)
    assert (past.planner, past.seed) == (session.planner, session.seed)
    assert (past.started_at, past.elapsed_s) == (session.started_at, session.elapsed_s)
    kept = (past.baseline_median, past.baseline_noise, past.baseline_runs)
    assert kept == (baseline.median, baseline.noise, baseline.runs)
    assert (past.interrupted, past.failure) == (False, None)


def test_a_session_that_ended_before_its_baseline_is_kept_too(knowledge: Knowledge) -> None:
    session = sessions.session(baseline=None, results=(), winner=None, failure="the micro-VM was lost")
    knowledge.record(session)
    (past,) = knowledge.sessions_of(session.workload)
    assert (past.baseline_median, past.baseline_noise, past.baseline_runs) == (None, None, None)
    assert past.failure == "the micro-VM was lost"


def test_no_more_sessions_are_told_than_asked_for(knowledge: Knowledge) -> None:
    session = sessions.session()
    for _ in range(3):
        knowledge.record(session)
    assert [len(knowledge.sessions_of(session.workload, limit)) for limit in (-1, 0, 2, 9)] == [0, 0, 2, 3]


def test_a_session_is_kept_with_all_its_results_the_baseline_among_them(knowledge: Knowledge) -> None:
    session = sessions.session()
    knowledge.record(session)
    (past,) = knowledge.sessions_of(session.workload)
    assert [result.key for result in past.results] == [result.candidate.key for result in session.results]
    assert BASELINE in [result.key for result in past.results]
    for kept, given_ in zip(past.results, session.results, strict=True):
        assert (kept.verdict, kept.median, kept.runs) == (given_.verdict, given_.median, given_.runs)
        assert (kept.speedup is None) == (given_.speedup is None)
    assert past.winner == session.winner
    assert past.recommendation == session.recommendation


def test_the_newest_session_comes_first(knowledge: Knowledge) -> None:
    session = sessions.session()
    for started_at in (100.0, 300.0, 200.0):
        knowledge.record(replace(session, started_at=started_at))
    assert [past.started_at for past in knowledge.sessions_of(session.workload)] == [300.0, 200.0, 100.0]


def test_the_best_known_is_the_winner_of_the_newest_session_that_knew_its_baseline(knowledge: Knowledge) -> None:
    session = sessions.session()
    assert knowledge.best_known(session.workload) is None
    key = next(r.candidate.key for r in session.results if r.candidate.scheduler != BASELINE)
    knowledge.record(replace(session, winner=key, started_at=1.0))
    knowledge.record(replace(session, winner=None, baseline=None, started_at=2.0))
    best = knowledge.best_known(session.workload)
    assert best is not None
    assert best.key == key
    knowledge.record(replace(session, winner=None, started_at=3.0))
    assert knowledge.best_known(session.workload) is None


def test_sessions_without_a_baseline_do_not_hide_what_is_best_known_however_many(knowledge: Knowledge) -> None:
    session = sessions.session(started_at=1.0)
    knowledge.record(session)
    for number in range(12):
        knowledge.record(replace(session, baseline=None, winner=None, results=(), started_at=2.0 + number))
    best = knowledge.best_known(session.workload)
    assert best is not None
    assert best.candidate == sessions.BATCH
    assert best.confirmed


def test_what_is_best_can_be_asked_for_one_kernel(knowledge: Knowledge) -> None:
    old = sessions.session(started_at=1.0, machine=sessions.machine(kernel="6.14"))
    new = sessions.session(started_at=2.0, machine=sessions.machine(kernel="6.18"), winner=None)
    knowledge.record(old)
    knowledge.record(new)
    assert knowledge.best_known(old.workload) is None
    assert knowledge.best_known(old.workload, kernel="6.18") is None
    assert knowledge.best_known(old.workload, kernel="5.0") is None
    best = knowledge.best_known(old.workload, kernel="6.14")
    assert best is not None
    assert best.key == old.winner


def test_other_workloads_of_the_same_program_are_similar(knowledge: Knowledge) -> None:
    here = sessions.workload(command="make -j8", cwd="/a")
    there = sessions.workload(command="CC=clang /usr/bin/make -j4", cwd="/b")
    other = sessions.workload(command="ninja", cwd="/b")
    for workload in (here, there, other):
        knowledge.record(sessions.session(workload=workload))
    assert [past.command for past in knowledge.similar(here)] == [there.command]


def test_a_command_without_a_program_is_like_no_other(knowledge: Knowledge) -> None:
    knowledge.record(sessions.session(workload=sessions.workload(command="A=1")))
    assert knowledge.similar(sessions.workload(command="B=1")) == []


WORKLOADS = st.builds(
    sessions.workload,
    command=TEXT,
    argv=st.lists(TEXT, min_size=1, max_size=3).map(tuple),
    cwd=TEXT,
    setup=st.none() | TEXT,
    prepare=st.none() | TEXT,
    metric_regex=st.none() | TEXT,
    goal=st.sampled_from(["min", "max"]),
    pristine=st.booleans(),
)


@given(WORKLOADS, st.dictionaries(TEXT, TEXT), st.none() | REAL, st.booleans())
def test_environment_and_limits_do_not_make_another_workload(
    workload: Workload, env: dict[str, str], timeout_s: float | None, ignore_failure: bool
) -> None:
    changed = replace(workload, env=env, timeout_s=timeout_s, ignore_failure=ignore_failure)
    assert fingerprint(changed) == fingerprint(workload)


@pytest.mark.parametrize(
    "changed",
    [
        {"argv": ("sh", "-c", "make -j4")},
        {"argv": ("sh", "-c make -j8")},
        {"cwd": "/x"},
        {"prepare": "x"},
        {"setup": "x"},
        {"metric_regex": "x"},
        {"goal": "max"},
        {"pristine": True},
    ],
)
def test_what_runs_and_what_is_measured_makes_another_workload(changed: dict[str, Any]) -> None:
    assert fingerprint(sessions.workload()) != fingerprint(sessions.workload(**changed))


def test_prepare_and_setup_are_told_apart() -> None:
    assert fingerprint(sessions.workload(prepare="x")) != fingerprint(sessions.workload(setup="x"))


def test_a_fingerprint_stays_what_it_was_so_that_nothing_learned_is_lost() -> None:
    assert fingerprint(sessions.workload()) == "5010c5f5e399b59f043e70beb79b3233"


def test_the_program_is_named_without_its_path_and_variables() -> None:
    assert program_of(sessions.workload(command="A=1 B=2 /usr/bin/make -j")) == "make"
    assert program_of(sessions.workload(argv=("./bench", "--x"), command="./bench --x")) == "bench"


def test_the_environment_is_not_kept(knowledge: Knowledge, path: Path) -> None:
    knowledge.record(sessions.session(workload=sessions.workload(env={"TOKEN": "very-secret-value"})))
    knowledge.close()
    assert b"very-secret-value" not in b"".join(file.read_bytes() for file in path.parent.iterdir())


# --- the file ---


def test_nothing_is_opened_before_it_is_used(knowledge: Knowledge, path: Path) -> None:
    assert not path.parent.exists()
    knowledge.list_profiles()
    assert path.exists()


def test_it_lies_in_the_users_state_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with Knowledge() as knowledge:
        knowledge.list_profiles()
    assert (tmp_path / "autotune" / "history.sqlite3").exists()


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
    assert len(knowledge.similar(replace(odd, cwd="/"))) == 1


def test_what_sqlite_cannot_hold_is_an_error_of_ours(knowledge: Knowledge) -> None:
    with pytest.raises(AutotuneError) as caught:
        knowledge.record(sessions.session(seed=2**70))
    assert caught.value.stage == "history"
    assert knowledge.sessions_of(sessions.workload()) == []


def test_a_damaged_file_is_put_aside_and_said(path: Path) -> None:
    path.parent.mkdir()
    for number in (1, 2):
        path.write_bytes(b"this is no database, and long enough to be sure of that" * 10)
        before = path.read_bytes()
        told: list[str] = []
        with Knowledge(path, warn=told.append) as knowledge:
            assert knowledge.list_profiles() == []
            knowledge.create_profile("a new beginning")
        aside = path.with_name(f"history.sqlite3.damaged-{number}")
        assert aside.read_bytes() == before
        assert told == [f"the knowledge store was damaged, and was moved aside as {aside}"]


def test_the_log_that_another_autotune_still_holds_goes_with_the_damaged_file(path: Path) -> None:
    with Knowledge(path) as earlier:
        earlier.record(sessions.session())
    with Knowledge(path) as other, Knowledge(path) as knowledge:
        other.create_profile("in the log only")  # the last to close would fold the log into the file and remove it
        log = path.with_name("history.sqlite3-wal").read_bytes()
        path.write_bytes(b"this is no database" * 100)
        assert knowledge.sessions_of(sessions.workload()) == []
        assert knowledge.list_profiles() == []
        knowledge.record(sessions.session())
        assert path.with_name("history.sqlite3.damaged-1-wal").read_bytes() == log
    with Knowledge(path) as again:
        assert len(again.sessions_of(sessions.workload())) == 1


def test_damage_behind_a_good_header_is_seen_too(path: Path) -> None:
    with Knowledge(path) as knowledge:
        for _ in range(20):
            knowledge.record(sessions.session())
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    told: list[str] = []
    with Knowledge(path, warn=told.append) as knowledge:
        assert knowledge.sessions_of(sessions.workload()) == []
        knowledge.record(sessions.session())
    assert len(told) == 1


def test_damage_that_comes_while_it_is_open_costs_one_call(knowledge: Knowledge, path: Path) -> None:
    knowledge.record(sessions.session())
    assert knowledge._connection is not None
    knowledge._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    path.write_bytes(path.read_bytes()[:4096] + b"\xff" * 100_000)
    knowledge._connection.execute("PRAGMA shrink_memory")
    with pytest.raises(AutotuneError):
        knowledge.record(sessions.session())
    knowledge.record(sessions.session())
    assert path.with_name("history.sqlite3.damaged-1").exists()


def test_one_from_a_newer_autotune_is_refused_and_not_touched(path: Path) -> None:
    path.parent.mkdir()
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")
    before = path.read_bytes()
    told: list[str] = []
    with pytest.raises(AutotuneError, match="version 99") as caught:
        Knowledge(path, warn=told.append).list_profiles()
    assert caught.value.stage == "history"
    assert "newer autotune" in caught.value.hint
    assert path.read_bytes() == before
    assert told == []


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
        assert db.execute("PRAGMA user_version").fetchone() == (3,)


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


def test_a_directory_that_cannot_be_made_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AutotuneError, match="cannot be read or written") as caught:
        Knowledge(tmp_path / "file" / "history.sqlite3").list_profiles()
    assert caught.value.stage == "history"
    assert "not harmed" in caught.value.hint


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
    told = write_at_once(path)
    assert sum(map(len, told)) == 1
    assert [file.name for file in path.parent.glob("*.damaged-*")] == ["history.sqlite3.damaged-1"]
    with Knowledge(path) as knowledge:
        assert len(knowledge.sessions_of(sessions.workload(), limit=1000)) == 20 * WRITERS


# --- profiles ---


def test_profiles_hold_notes_also_without_an_execution(knowledge: Knowledge) -> None:
    profile = knowledge.create_profile("a build")
    knowledge.add_profile_note(profile, None, None, "baseline 2.0 s")
    knowledge.add_profile_note(profile, "exec-1", "at_fifo", "loads")
    kept = knowledge.profile_history(profile)
    assert kept["profile"]["description"] == "a build"
    assert {note["result"] for note in kept["history"]} == {"baseline 2.0 s", "loads"}
    assert [one["id"] for one in knowledge.list_profiles()] == [profile]


def test_an_unknown_profile_is_named_and_how_to_find_those_there_are(knowledge: Knowledge) -> None:
    with pytest.raises(UsageError, match="no workload 'nobody'"):
        knowledge.profile_history("nobody")
    with pytest.raises(UsageError, match="list"):
        knowledge.add_profile_note("nobody", None, None, "x")


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(st.text(st.characters(exclude_categories=[]), max_size=3000))
def test_any_text_can_be_noted_and_is_bounded(text: str) -> None:
    with tempfile.TemporaryDirectory() as directory, Knowledge(Path(directory) / "history.sqlite3") as knowledge:
        profile = knowledge.create_profile(text)
        knowledge.add_profile_note(profile, text, text, text)
        (note,) = knowledge.profile_history(profile)["history"]
        with pytest.raises(UsageError):
            knowledge.profile_history(f"no {text}")
    kept = as_kept(text)[:2000]
    assert (note["execution_id"], note["scheduler"], note["result"]) == (kept, kept, kept)


def test_the_newest_profile_and_note_come_first_whatever_the_clock_says(
    knowledge: Knowledge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: 1.0)
    profiles = [knowledge.create_profile("x") for _ in range(12)]
    notes = [knowledge.add_profile_note(profiles[0], None, None, "x") for _ in range(12)]
    assert [one["id"] for one in knowledge.list_profiles()] == profiles[::-1]
    assert [one["id"] for one in knowledge.profile_history(profiles[0])["history"]] == notes[::-1]
    assert [one["id"] for one in knowledge.list_profiles(limit=1)] == profiles[-1:]


def test_a_full_profile_says_what_to_do_and_others_take_notes_still(
    knowledge: Knowledge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "MOST_NOTES", 2)
    full, other = knowledge.create_profile("full"), knowledge.create_profile("other")
    for _ in range(2):
        knowledge.add_profile_note(full, None, None, "x")
    with pytest.raises(UsageError, match="'create'"):
        knowledge.add_profile_note(full, None, None, "one too many")
    knowledge.add_profile_note(other, None, None, "x")
    assert len(knowledge.profile_history(full)["history"]) == 2


def test_there_is_a_most_of_profiles(knowledge: Knowledge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "MOST_PROFILES", 1)
    knowledge.create_profile("x")
    with pytest.raises(UsageError, match="the most that are kept"):
        knowledge.create_profile("y")
    assert len(knowledge.list_profiles()) == 1


# --- sentences ---


def test_past_sessions_read_as_sentences(knowledge: Knowledge) -> None:
    session = sessions.session()
    knowledge.record(session)
    (sentence,) = sentences(knowledge.sessions_of(session.workload))
    assert session.machine.kernel in sentence
    assert "Tried: " in sentence
    assert f"won by {session.winner}" in sentence


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({}, ": nothing beat EEVDF."),
        ({"interrupted": True}, ": stopped early without an answer."),
        ({"failure": "the micro-VM was lost"}, ": ended early without an answer ('the micro-VM was lost')."),
        ({"baseline": None}, ": stopped early without an answer."),
    ],
)
def test_only_a_session_that_went_to_its_end_says_that_nothing_beat_eevdf(
    knowledge: Knowledge, changed: dict[str, Any], told: str
) -> None:
    session = sessions.session(winner=None, results=(), **changed)
    knowledge.record(session)
    (sentence,) = sentences(knowledge.sessions_of(session.workload))
    assert sentence.endswith(told)
