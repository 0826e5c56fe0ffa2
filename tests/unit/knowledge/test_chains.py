# SPDX-License-Identifier: MIT
"""Which session continues which, whatever ended the processes that ran them."""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from autotune.knowledge import sqlite as database
from autotune.knowledge.store import Knowledge
from autotune.records import Chain, Contender, Session
from tests.support import sessions

CHAIN = Chain(1, 0.025, (Contender("at_fifo:slice_us=5000", (0.01, 0.02), (), ((1.0, 0.99),), "d"),), 0.1, 3)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "autotune" / "history.sqlite3"


def undecided(name: str, **changed: Any) -> Session:
    return sessions.session(**{"winner": None, "id": name, "chain": CHAIN, **changed})


def continuing(name: str, of: str, alpha_left: float) -> Session:
    return undecided(name, continues=of, chain=replace(CHAIN, alpha_left=alpha_left))


def test_a_session_is_read_back_by_its_name_without_runs_and_environment(path: Path) -> None:
    session = undecided("aaaaaaaa")
    with Knowledge(path) as knowledge:
        knowledge.record(session)
        kept = knowledge.session_named("aaaaaaaa")
        assert knowledge.session_named("bbbbbbbb") is None
    assert kept is not None
    workload = replace(session.workload, env={})
    assert kept.session == replace(session, workload=workload, trials=())
    assert (kept.is_running, kept.continued_by, kept.is_void) == (False, None, False)


def test_the_first_to_take_a_session_has_it(path: Path) -> None:
    before = undecided("aaaaaaaa")
    with Knowledge(path) as knowledge, contextlib.closing(knowledge.claim()) as claim:
        knowledge.record(before)
        assert knowledge.take(before, "bbbbbbbb", claim) is None
        with Knowledge(path) as other, contextlib.closing(other.claim()) as another:
            assert other.take(before, "cccccccc", another) == "bbbbbbbb"


@pytest.mark.parametrize(
    ("after", "counts"),
    [
        (None, False),  # it measured nothing
        (continuing("bbbbbbbb", "aaaaaaaa", 0.025), False),  # it confirmed nothing
        (continuing("bbbbbbbb", "aaaaaaaa", 0.0125), True),
        (undecided("bbbbbbbb", continues="aaaaaaaa", chain=None), False),  # killed before its first fresh pair
        (undecided("bbbbbbbb", continues="aaaaaaaa", chain=None, winner="at_batch"), True),
    ],
)
def test_once_its_process_is_gone_a_continuation_counts_if_it_took_some_of_the_risk(
    path: Path, after: Session | None, counts: bool
) -> None:
    before = undecided("aaaaaaaa")
    with Knowledge(path) as knowledge:
        knowledge.record(before)
        with contextlib.closing(knowledge.claim()) as claim:
            knowledge.take(before, "bbbbbbbb", claim)
            if after is not None:
                knowledge.record(after)
        kept = knowledge.session_named("aaaaaaaa")
        assert kept is not None
        assert kept.continued_by == ("bbbbbbbb" if counts else None)
        with contextlib.closing(knowledge.claim()) as claim:
            assert knowledge.take(before, "cccccccc", claim) == ("bbbbbbbb" if counts else None)
        own = knowledge.session_named("bbbbbbbb")
        assert own is None if after is None else own is not None and own.is_void is not counts


def test_a_session_that_goes_on_is_known_to_and_one_that_was_killed_is_not(path: Path) -> None:
    with Knowledge(path) as knowledge:
        with contextlib.closing(knowledge.claim()) as claim:
            knowledge.keep(undecided("aaaaaaaa"), None, claim)
            running = knowledge.session_named("aaaaaaaa")
        lost = knowledge.session_named("aaaaaaaa")
    assert running is not None
    assert lost is not None
    assert (running.is_running, lost.is_running) == (True, False)


def test_the_newest_of_a_directory_and_of_a_command_come_first(path: Path) -> None:
    make, other = sessions.workload(), sessions.workload(command="ninja")
    elsewhere = replace(make, cwd="/elsewhere")
    with Knowledge(path) as knowledge:
        for number, workload in enumerate((make, other, make, elsewhere)):
            knowledge.record(undecided(f"{number:08}", workload=workload, started_at=1000.0 + number))
        knowledge.record(sessions.session(started_at=2000.0))  # of an autotune that named none
        here = [kept.session.id for kept in knowledge.sessions_in(make.cwd)]
        of_make = [kept.session.id for kept in knowledge.sessions_in(make.cwd, make.command)]
    assert here == ["00000002", "00000001", "00000000"]
    assert of_make == ["00000002", "00000000"]


@pytest.mark.parametrize("document", [None, "", "{}", "[]", '{"schema": 2}', "no JSON"])
def test_what_another_version_kept_is_no_session_to_continue(path: Path, document: str | None) -> None:
    with Knowledge(path) as knowledge:
        knowledge.record(undecided("aaaaaaaa"))
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE sessions SET document = ?", (document,))
    with Knowledge(path) as knowledge:
        assert knowledge.session_named("aaaaaaaa") is None
        assert knowledge.sessions_in(sessions.workload().cwd) == []


def test_a_store_of_before_is_migrated_and_keeps_its_sessions(path: Path) -> None:
    path.parent.mkdir()
    old = database.MIGRATIONS[:4]
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        for script in old:
            db.executescript(script)
        db.execute(f"PRAGMA user_version = {len(old)}")
        db.execute("INSERT INTO workloads VALUES (1, 'f', 'make', 'make', '/x', NULL, NULL, 'wall_s', 'min', 1.0)")
        where = "'0.1', 'vm', '6.18', 2, 'cpu', 'tcg', 'offline'"
        own = "NULL, 'none', 0, NULL, 'ended', NULL"
        db.execute(f"INSERT INTO sessions VALUES (7, 1, 1.0, 9.0, {where}, 3, 1.0, 0.1, 3, {own})")
    with Knowledge(path) as knowledge:
        past = knowledge.newest_in("/x")
        assert past is not None
        assert past.id == 7
        assert knowledge.sessions_in("/x") == []
        knowledge.record(undecided("aaaaaaaa"))
        assert knowledge.session_named("aaaaaaaa") is not None
