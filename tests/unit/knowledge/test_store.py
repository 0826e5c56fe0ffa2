# SPDX-License-Identifier: MIT
"""What was learned is kept whole and never costs a session."""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autotune.errors import AutotuneError, UsageError
from autotune.knowledge import store
from autotune.knowledge.store import Knowledge
from autotune.records import BASELINE, Candidate, CandidateResult, Interval, Parameter
from tests.support import sessions

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
PARAMS = st.dictionaries(
    st.from_regex(r"[A-Za-z_][A-Za-z0-9_-]{0,9}", fullmatch=True), st.text(st.characters(codec="utf-8")), max_size=2
)
RESULTS = st.builds(
    CandidateResult,
    candidate=st.builds(
        lambda name, knobs, params: Candidate(name, tuple(sorted(knobs.items())), params=tuple(params.items())),
        st.sampled_from(["at_fifo", BASELINE]),
        KNOBS,
        PARAMS,
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


def test_other_workloads_are_told_apart_from_this_one(knowledge: Knowledge) -> None:
    here, there = sessions.workload(), sessions.workload(command="ninja")
    knowledge.record(sessions.session(workload=here))
    knowledge.record(sessions.session(workload=there, started_at=1.0))
    knowledge.record(sessions.session(workload=replace(here, prepare="make clean"), started_at=2.0, id="0a1b2c3d"))
    knowledge.record(sessions.session(workload=there, baseline=None))
    others = knowledge.others(here)
    assert [past.command for past in others] == ["make -j8", "ninja"]
    assert others[0].argv == ("sh", "-c", "make -j8")
    assert others[0].observation == sessions.OBSERVED


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
        heard: list[str] = []
        with Knowledge(path, warn=heard.append) as knowledge:
            assert knowledge.list_profiles() == []
            knowledge.create_profile("a new beginning")
        aside = path.with_name(f"history.sqlite3.damaged-{number}")
        assert aside.read_bytes() == before
        assert heard == [f"the knowledge store was damaged, and was moved aside as {aside}"]


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
    heard: list[str] = []
    with Knowledge(path, warn=heard.append) as knowledge:
        assert knowledge.sessions_of(sessions.workload()) == []
        knowledge.record(sessions.session())
    assert len(heard) == 1


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


def test_a_directory_that_cannot_be_made_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AutotuneError, match="cannot be read or written") as caught:
        Knowledge(tmp_path / "file" / "history.sqlite3").list_profiles()
    assert caught.value.stage == "history"
    assert "not harmed" in caught.value.hint


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


def test_notes_of_one_directory_are_not_shown_in_another(tmp_path: Path) -> None:
    knowledge = Knowledge(tmp_path / "history.sqlite3")
    profile = knowledge.create_profile("the build of a", "/src/a")
    knowledge.add_profile_note(profile, None, None, "a secret of a", "/src/a")
    assert [one["id"] for one in knowledge.list_profiles(directory="/src/a")] == [profile]
    assert knowledge.list_profiles(directory="/src/b") == []
    for attempt in (
        lambda: knowledge.profile_history(profile, directory="/src/b"),
        lambda: knowledge.add_profile_note(profile, None, None, "x", "/src/b"),
    ):
        with pytest.raises(UsageError, match="there is no workload"):
            attempt()
    assert len(knowledge.profile_history(profile, directory="/src/a")["history"]) == 1


def test_a_workload_with_parameters_is_remembered_with_the_winner_and_its_value(tmp_path: Path) -> None:
    won = Candidate("at_fifo", (("slice_us", 5000),), params=(("jobs", "my 8"),))
    swept = sessions.workload(command="make -j{jobs}", parameters=(Parameter("jobs", ("2", "my 8")),))
    results = (sessions.result(won, "faster", speedup=sessions.interval(1.1, 1.05, 1.2), confirmed=True),)
    with Knowledge(tmp_path / "history.sqlite3") as knowledge:
        knowledge.record(sessions.session(workload=swept, results=results, winner=won.key))
        (past,) = knowledge.sessions_of(swept)
        assert [(one.candidate, one.key) for one in past.results] == [(won, past.winner)]
        plain = replace(swept, parameters=())
        assert knowledge.sessions_of(plain) == [], "the same words without parameters are another command"
