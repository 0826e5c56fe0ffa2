# SPDX-License-Identifier: MIT
"""All sessions can be found, read as they were, forgotten for good, taken out and taken in."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autotune.errors import UsageError
from autotune.knowledge import archive as module
from autotune.knowledge.archive import History, TakenIn, title
from autotune.knowledge.store import Knowledge
from autotune.records import Expectations, Session, Surroundings
from autotune.report.plain_text import plain_text
from autotune.search import fulltext
from autotune.wire import to_json
from tests.support import sessions

OTHER = sessions.workload(command="ninja -C out", cwd="/home/me/other")


def named(name: str, **changed: Any) -> Session:
    return sessions.session(id=name, **changed)


@pytest.fixture
def archive(knowledge: Knowledge) -> History:
    """Three sessions: two of one command, one of another."""
    knowledge.record(named("0a1b2c3d", started_at=100.0))
    knowledge.record(named("0a1b9999", started_at=200.0, winner=None, results=sessions.results()[1:]))
    knowledge.record(named("ffff0000", started_at=300.0, workload=OTHER))
    return History(knowledge)


# --- finding ---


def test_the_newest_come_first_of_all_directories_or_of_one(archive: History) -> None:
    assert [title(one) for one in archive.newest()] == ["ffff0000", "0a1b9999", "0a1b2c3d"]
    assert [title(one) for one in archive.newest("/home/me/other")] == ["ffff0000"]
    assert [title(one) for one in archive.newest(limit=1)] == ["ffff0000"]


def test_one_that_is_running_is_not_over(archive: History, knowledge: Knowledge) -> None:
    with contextlib.closing(knowledge.claim()) as claim:
        knowledge.keep(named("eeee0000"), None, claim)
        assert len(archive.newest()) == 3
    assert len(archive.newest()) == 4


@pytest.mark.parametrize(("name", "found"), [("0a1b2c3d", "0a1b2c3d"), ("ffff", "ffff0000"), ("0a1b2", "0a1b2c3d")])
def test_a_session_is_named_by_the_beginning_of_its_name(archive: History, name: str, found: str) -> None:
    assert title(archive.named(name)) == found


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("0a1b", "one of several"),
        ("dead", "not known"),
        ("f", "not known"),
        ("*", "not known"),
        ("1", "not known"),
        ("9" * 30, "not known"),
    ],
)
def test_a_name_that_means_none_or_several_is_refused(archive: History, name: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        archive.named(name)


def test_one_of_an_older_version_has_a_number(knowledge: Knowledge) -> None:
    number = knowledge.record(sessions.session())
    archive = History(knowledge)
    assert title(archive.newest()[0]) == str(number)
    assert archive.named(str(number)).id == number


# --- as a whole ---


def test_a_session_is_read_as_it_was_but_for_environment_and_output(archive: History, knowledge: Knowledge) -> None:
    around = Surroundings(2.0, 2, others_s=0.5)
    kept = named(
        "bbbb0000",
        trials=(
            sessions.trial(others={"memory": 3.0}, surroundings=around, disturbed="others ran", events={"BYPASS": 4}),
            sessions.trial(sessions.BATCH.key, "confirm", 2, value=None, invalid="exit code 2"),
        ),
    )
    knowledge.record(kept)
    read = archive.whole(archive.named("bbbb0000"))
    assert read == replace(kept, workload=replace(kept.workload, env={}))
    assert plain_text(read) == plain_text(kept)


def test_one_of_an_older_version_still_makes_a_report(archive: History, path: Path) -> None:
    before = archive.whole(archive.named("0a1b2c3d"))
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE sessions SET document = NULL")
        db.execute("UPDATE workloads SET argv = NULL")
        db.execute("UPDATE runs SET more = NULL")
        db.commit()
    after = archive.whole(archive.named("0a1b2c3d"))
    assert (after.winner, after.workload.argv, after.trials) == (before.winner, before.workload.argv, before.trials)
    assert [one.speedup for one in after.results] == [one.speedup for one in before.results]
    assert "at_batch" in plain_text(after)


def test_one_that_is_gone_meanwhile_is_refused(archive: History) -> None:
    gone = archive.named("ffff")
    archive.forget([gone])
    with pytest.raises(UsageError, match="ffff0000 is gone"):
        archive.whole(gone)


# --- words ---


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["ninja"], ["ffff0000"]),
        (["nin", "OUT"], ["ffff0000"]),
        (["stall", "at_vtime", "-j8"], ["0a1b9999", "0a1b2c3d"]),
        (["make at_batch"], ["0a1b2c3d"]),
        (["0a1b2c3d"], ["0a1b2c3d"]),
        (["won", "ninja"], ["ffff0000"]),
        (["nowhere"], []),
        (['"', "ninja"], ["ffff0000"]),
    ],
)
@pytest.mark.parametrize("has_fts", [True, False])
def test_sessions_are_found_by_all_of_the_words(
    archive: History, words: list[str], found: list[str], has_fts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_fts:
        monkeypatch.setattr(fulltext, "_index", lambda: _WithoutFts())
    assert [title(one) for one in archive.search(words)] == found


class _WithoutFts:
    """Stands for a SQLite that was built without FTS5."""

    def execute(self, *_query: object) -> None:
        raise sqlite3.OperationalError("no such module: fts5")

    def close(self) -> None:
        return None


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(max_size=8), max_size=3))
def test_no_words_break_a_search(words: list[str]) -> None:
    with tempfile.TemporaryDirectory() as directory, Knowledge(Path(directory) / "k") as knowledge:
        knowledge.record(named("0a1b2c3d"))
        with contextlib.suppress(UsageError):
            assert len(History(knowledge).search(words)) <= 1


# --- forgetting ---


def test_what_is_forgotten_is_not_in_the_file_any_more(archive: History, knowledge: Knowledge, path: Path) -> None:
    knowledge.learn_workload(OTHER, sessions.machine(), sessions.profile())
    knowledge.learn_expected(OTHER, sessions.machine(), Expectations({"7": 4}, 4))
    knowledge.learn_workload(sessions.workload(), sessions.machine(), sessions.profile())
    assert archive.forget([archive.named("ffff"), archive.named("0a1b2c3d")]) == 2
    assert [title(one) for one in archive.newest()] == ["0a1b9999"]
    assert knowledge.known_workload(OTHER, sessions.machine()) is None
    assert knowledge.known_workload(sessions.workload(), sessions.machine()) is not None
    files = [one.read_bytes() for one in path.parent.iterdir()]
    assert not any(b"ninja" in content or b"0a1b2c3d" in content for content in files)
    assert any(b"0a1b9999" in content for content in files)


def test_notes_are_forgotten_with_everything_only(archive: History, knowledge: Knowledge) -> None:
    knowledge.create_profile("a build")
    archive.forget(archive.newest())
    assert archive.profiles() != []
    assert archive.forget([], profiles=True) == 0
    assert archive.profiles() == []


# --- out and in ---


def exported(archive: History) -> Any:
    return json.loads(json.dumps([to_json(one) for one in module.iterated(archive, None)]))


def test_what_is_taken_out_comes_in_once_and_as_it_was(archive: History, tmp_path: Path) -> None:
    documents = exported(archive)
    with Knowledge(tmp_path / "other" / "k") as knowledge:
        other = History(knowledge)
        assert other.take_in(documents) == TakenIn(3, 0, 0)
        assert other.take_in(documents) == TakenIn(0, 0, 3)
        assert exported(other) == documents


def test_what_was_attached_does_not_come_in_with_it(archive: History, tmp_path: Path) -> None:
    """It names programs, which would be started as root."""
    documents = exported(archive)
    evil = {"kind": "binary", "ops": "x", "version": "1", "digest": "0", "digest_of": "/bin/sh", "size_bytes": 1}
    documents[0]["results"][0]["attached"] = {**evil, "mtime_ns": 1, "object_path": "", "argv": ["/tmp/evil"]}
    documents[0]["workload"]["env"] = {"TOKEN": "secret"}
    with Knowledge(tmp_path / "other" / "k") as knowledge:
        History(knowledge).take_in(documents)
    assert b"/tmp/evil" not in (tmp_path / "other" / "k").read_bytes()
    assert b"secret" not in (tmp_path / "other" / "k").read_bytes()


@pytest.mark.parametrize("bad", [7, {}, {"workload": 1}, None, [], "x", {"results": {}}])
def test_one_that_is_no_session_is_refused_and_nothing_is_added(archive: History, tmp_path: Path, bad: Any) -> None:
    with Knowledge(tmp_path / "other" / "k") as knowledge:
        with pytest.raises(UsageError, match="number 4 of the sessions"):
            History(knowledge).take_in([*exported(archive), bad])
        assert History(knowledge).newest() == []


def test_a_strange_name_is_refused(archive: History) -> None:
    document = {**exported(archive)[0], "id": "../../etc"}
    with pytest.raises(UsageError, match="its id is none of a session"):
        archive.take_in([document])


def test_profiles_come_in_with_their_notes_once(archive: History, knowledge: Knowledge, tmp_path: Path) -> None:
    profile = knowledge.create_profile("a build", "/x")
    knowledge.add_profile_note(profile, None, "at_fifo", "faster", "/x")
    found = archive.profiles()
    with Knowledge(tmp_path / "other" / "k") as other:
        assert History(other).take_in_profiles(found).profiles == 1
        assert History(other).take_in_profiles(found) == TakenIn(0, 0, 1)
        assert History(other).profiles() == found
        assert other.profile_history(profile, directory="/x")["history"][0]["result"] == "faster"
        with pytest.raises(UsageError, match="number 1 of the workloads"):
            History(other).take_in_profiles([{"id": "x"}])
