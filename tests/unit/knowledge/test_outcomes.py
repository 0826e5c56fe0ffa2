# SPDX-License-Identifier: MIT
"""What came of a scheduler in every session, and what of it counts for the build that is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from autotune.knowledge import versions
from autotune.knowledge.archive import History
from autotune.knowledge.outcomes import of_build, of_scheduler
from autotune.knowledge.store import Knowledge
from autotune.wire import to_json
from tests.support import sessions
from tests.support.generated_schedulers import kept, session_with


@pytest.fixture(autouse=True)
def _own_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def test_each_session_is_told_with_workload_machine_speedup_and_ejections_newest_first() -> None:
    one = kept("mine")
    with Knowledge() as knowledge:
        knowledge.record(session_with(one, "faster", id="0a1b2c3d", started_at=1.0))
        knowledge.record(session_with(one, "invalid", id="0a1b2c3e", started_at=2.0, command="sort big"))
        knowledge.record(sessions.session(id="ffff0000"))  # of others only
        newest, first = of_scheduler(knowledge, "custom:mine")
        assert of_scheduler(knowledge, "custom:other") == []
    assert (newest.session, newest.program, newest.verdict, newest.ejections) == ("0a1b2c3e", "sort", "invalid", 1)
    assert (first.session, first.confirmed, first.ejections) == ("0a1b2c3d", True, 0)
    assert first.speedup is not None
    assert first.speedup.estimate == 1.21
    assert (first.where, first.cpus, first.kernel) == ("in an emulated micro-VM", 2, "6.18.15+deb13-amd64")
    assert newest.workload != first.workload
    told = of_build([newest, first], versions.of_content(one.seal.object_sha256))
    assert [(seen.is_win, seen.refutes) for seen in told] == [(False, True), (True, False)]


def test_another_build_of_its_name_and_what_was_taken_in_count_for_nothing() -> None:
    one = kept("mine")
    with Knowledge() as knowledge:
        knowledge.record(session_with(one, "faster", id="0a1b2c3d"))
        other = kept("mine", content=b"\x7fELF another object")
        taken = session_with(other, "faster", id="0a1b2c3e", command="sort big")
        History(knowledge).take_in([to_json(taken)])
        outcomes = of_scheduler(knowledge, "custom:mine")
    assert len(outcomes) == 2
    assert of_build(outcomes, versions.of_content(other.seal.object_sha256)) == []


def test_settings_of_one_workload_in_two_directories_of_no_project_are_two_workloads() -> None:
    one = kept("mine")
    here, there = (
        sessions.workload(command="make", argv=("make",), cwd=place) for place in ("/nowhere/a", "/nowhere/b")
    )
    with Knowledge() as knowledge:
        knowledge.record(session_with(one, "faster", id="0a1b2c3d", workload=here))
        knowledge.record(session_with(one, "faster", id="0a1b2c3e", workload=there))
        assert len({seen.workload for seen in of_scheduler(knowledge, "custom:mine")}) == 2
