# SPDX-License-Identifier: MIT
"""What earlier sessions learned is used where it can be read, and missed by nobody where it cannot."""

from __future__ import annotations

from pathlib import Path

from autotune.knowledge.store import Knowledge
from autotune.records import AttachSpec, Expectations, GuideSpec
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
