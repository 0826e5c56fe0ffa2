# SPDX-License-Identifier: MIT
"""What earlier sessions learned is used where it can be read, and missed by nobody where it cannot."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from autotune.knowledge import versions
from autotune.knowledge.store import Knowledge
from autotune.records import AttachSpec, Expectations, GuideSpec, MeasuredScheduler
from autotune.session.guiding import Guiding
from autotune.session.recalled import Recalled
from tests.support import sessions

SEEN = Expectations({"7": 4_000}, 4_000)


def guiding() -> Guiding:
    return Guiding(lambda expected: GuideSpec("guide.o", "0" * 64, expected))


def recalled(path: Path, said: list[str]) -> Recalled:
    return Recalled(Knowledge(path), sessions.workload(), sessions.machine(), said.append)


def test_schedulers_are_told_what_an_earlier_session_saw(tmp_path: Path) -> None:
    said: list[str] = []
    recalled(tmp_path / "state" / "k", said).merged(SEEN)

    later = guiding()
    recalled(tmp_path / "state" / "k", said).guide(later)

    assert (later.expectations, said) == (SEEN, [])
    assert later.applied(AttachSpec("at_guided", "x.o")).guide is not None


def test_a_first_session_knows_nothing(tmp_path: Path) -> None:
    said: list[str] = []
    past, first = recalled(tmp_path / "state" / "k", said), guiding()

    past.guide(first)

    assert (past.profile(), first.expectations, said) == (None, None, [])


def test_what_cannot_be_kept_guides_this_session_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no directory")
    said: list[str] = []

    assert recalled(tmp_path / "file" / "k", said).merged(SEEN) == SEEN
    assert "is not kept" in said[0]


def test_whose_slow_runs_are_known_is_the_known_best_and_nobody_else(tmp_path: Path) -> None:
    said: list[str] = []
    path = tmp_path / "state" / "k"
    assert recalled(path, said).confirmed() == frozenset()
    build = MeasuredScheduler("binary", "x", "1", versions.of_file(__file__), __file__, 1, 1)
    won = replace(sessions.results()[0], attached=build)
    with Knowledge(path) as knowledge:
        knowledge.record(sessions.session(results=(won, *sessions.results()[1:]), id="0a1b2c3d"))
    assert recalled(path, said).confirmed() == {sessions.BATCH.key}
    other = Recalled(Knowledge(path), sessions.workload(), sessions.machine(kernel="7.0"), said.append)
    assert other.confirmed() == frozenset()
    assert said == []


def test_where_the_store_cannot_be_read_nobody_is_known(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("no directory")
    assert recalled(tmp_path / "state" / "k", []).confirmed() == frozenset()
