# SPDX-License-Identifier: MIT
"""Everyday runs: what is kept of them, how many, and when they show that a known best is none any more."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotune.knowledge import best, uses
from autotune.knowledge.store import Knowledge
from autotune.knowledge.uses import Times, Use
from tests.support import tuned

WORDS = ["make", "-j8"]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tuned.keep(tmp_path / "state", tuned.session(WORDS, tmp_path, best_s=8.0))


@pytest.fixture
def db(store: Path) -> Iterator[sqlite3.Connection]:
    opened = uses.opened(str(store))
    assert opened is not None
    yield opened
    opened.close()


def use(wall_s: float = 8.0, *, key: str = "at_fifo", status: int | None = 0, lost: str | None = None) -> Use:
    return Use(key, wall_s, status, attached_after_s=0.4, lost=lost)


def only(db: sqlite3.Connection, directory: Path) -> int:
    """The number of the one workload of the command."""
    (found,) = uses.workloads_of(db, WORDS, str(directory))
    return found.workload


def test_a_run_is_kept_under_its_command_however_that_is_typed(db: sqlite3.Connection, tmp_path: Path) -> None:
    workload = only(db, tmp_path)
    (same,) = uses.workloads_of(db, ["sh", "-c", "make -j8"], str(tmp_path))
    assert same.workload == workload
    assert uses.workloads_of(db, ["make", "-j9"], str(tmp_path)) == []
    uses.record(db, workload, use(7.5, lost="a stall", status=-9))
    (one,) = uses.uses_of(db, [workload])
    assert (one.key, one.wall_s, one.status, one.attached_after_s, one.lost) == ("at_fifo", 7.5, -9, 0.4, "a stall")


def test_they_are_bounded_in_number_and_the_oldest_go(
    db: sqlite3.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uses, "MOST_OF_ONE", 3)
    workload = only(db, tmp_path)
    for number in range(6):
        uses.record(db, workload, use(float(number)))
    assert [one.wall_s for one in uses.uses_of(db, [workload])] == [5.0, 4.0, 3.0]
    monkeypatch.setattr(uses, "MOST", 2)
    uses.record(db, workload, use(6.0))
    assert [one.wall_s for one in uses.uses_of(db, [workload])] == [6.0, 5.0]


def test_the_times_of_the_session_are_known(db: sqlite3.Connection) -> None:
    times = uses.times_of(db, "0000cafe", "at_fifo")
    assert times is not None
    assert times.best_s == 8.0
    assert times.baseline_s == pytest.approx(9.6)
    assert uses.times_of(db, "no such session", "at_fifo") is None


def test_one_that_was_lost_lately_is_known_and_not_for_ever(db: sqlite3.Connection, tmp_path: Path) -> None:
    workload = only(db, tmp_path)
    assert uses.lost_lately(db, [workload], "at_fifo", 0.0) is None
    uses.record(db, workload, use(lost="runnable task stall"))
    assert uses.lost_lately(db, [workload], "at_fifo", 0.0) == "runnable task stall"
    assert uses.lost_lately(db, [workload], "at_vtime", 0.0) is None
    assert uses.lost_lately(db, [workload], "at_fifo", 9e12) is None, "a later session knows better"


def test_a_scheduler_that_a_stop_detached_is_not_to_blame(db: sqlite3.Connection, tmp_path: Path) -> None:
    workload = only(db, tmp_path)
    uses.record(db, workload, use(lost="runnable task stall"))
    uses.record(db, workload, use(lost=f"{uses.NOT_AGAIN}: another scheduler is attached"))
    assert uses.lost_lately(db, [workload], "at_fifo", 0.0) == "runnable task stall"


def test_a_session_that_goes_on_is_known_until_its_process_is_gone(
    db: sqlite3.Connection, store: Path, tmp_path: Path
) -> None:
    claims = str(store.with_name("history.running"))
    assert not uses.is_measuring(db, claims)
    with Knowledge(store) as knowledge:
        claim = knowledge.claim()
        knowledge.keep(tuned.session(["other"], tmp_path, id="0000beef"), None, claim)
        assert uses.is_measuring(db, claims)
        claim.close()
        assert not uses.is_measuring(db, claims)


def test_a_store_of_another_version_or_none_is_left_alone(store: Path, tmp_path: Path) -> None:
    assert uses.opened(str(tmp_path / "none")) is None
    assert not (tmp_path / "none").exists()
    for version in (1, best.STORE_VERSION - 1):
        with sqlite3.connect(store) as db:
            db.execute(f"PRAGMA user_version = {version}")
        assert uses.opened(str(store)) is None
    with sqlite3.connect(store) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(best.StoreProblem):
        uses.opened(str(store))


TIMES = Times("at_fifo", 8.0, 9.6)


def test_as_long_as_it_gains_there_is_no_drift() -> None:
    assert uses.drift([use(9.5)] * 50, TIMES, 0.0) is None
    assert uses.drift([use(0.1)] * 50, TIMES, 0.0) is None, "there was little to do"


def test_runs_that_take_as_long_as_without_it_show_a_drift() -> None:
    said = uses.drift([use(10.0)] * uses.DRIFT_RUNS, TIMES, 0.0)
    assert said is not None
    assert "took 10.00 s, not less than the 9.60 s under EEVDF" in said
    assert "'autotune recheck'" in said


def test_drifts_are_found_by_command(db: sqlite3.Connection, tmp_path: Path) -> None:
    workload = only(db, tmp_path)
    assert uses.workload_of(db, "0000cafe") == workload
    for _ in range(uses.DRIFT_RUNS):
        assert uses.drifts(db) == []
        uses.record(db, workload, use(10.0))
    ((command, said),) = uses.drifts(db, str(tmp_path))
    assert (command, "took 10.00 s" in said) == ("make -j8", True)
    assert uses.drifts(db, "/elsewhere") == []


@pytest.mark.parametrize(
    "one", [use(10.0, key="eevdf"), use(10.0, status=2), use(10.0, status=None), use(10.0, lost="a stall")]
)
def test_only_successful_runs_under_it_count(one: Use) -> None:
    assert uses.drift([one] * 50, TIMES, 0.0) is None


def test_runs_from_before_the_measurement_do_not_count() -> None:
    old = [Use("at_fifo", 10.0, 0, started_at=100.0)] * 50
    assert uses.drift(old, TIMES, 200.0) is None
    assert uses.drift(old, Times("at_fifo", 8.0, None), 0.0) is None, "nothing to compare with"


@given(st.lists(st.floats(0.1, 30.0), min_size=uses.DRIFT_RUNS, max_size=20))
def test_what_is_new_decides(walls_s: list[float]) -> None:
    recent = [use(12.0)] * uses.DRIFT_RUNS
    assert uses.drift([*recent, *(use(wall_s) for wall_s in walls_s)], TIMES, 0.0) is not None
    better = [use(8.0)] * uses.DRIFT_RUNS
    assert uses.drift([*better, *(use(wall_s) for wall_s in walls_s)], TIMES, 0.0) is None
