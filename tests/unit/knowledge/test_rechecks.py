# SPDX-License-Identifier: MIT
"""Which known bests are measured again: those that something has changed for, and no command of somebody else's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from autotune.knowledge import experience, rechecks, versions
from autotune.knowledge.archive import History
from autotune.knowledge.store import Knowledge
from autotune.records import MachineInfo, MeasuredScheduler, Session
from autotune.wire import to_json
from tests.support import sessions

OLD = sessions.machine(kernel="6.12")
NEW = sessions.machine(kernel="6.18")
KEY = sessions.BATCH.key


def measured(file: Path) -> MeasuredScheduler:
    status = file.stat()
    return MeasuredScheduler(
        "binary", "x", "1", versions.of_file(str(file)), str(file), status.st_size, status.st_mtime_ns
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The scheduler that won."""
    (tmp_path / "scheduler").write_text("one")
    return tmp_path / "scheduler"


def won(file: Path, at: float = 100.0, info: MachineInfo = OLD, **changed: Any) -> Session:
    results = sessions.results()
    results = (replace(results[0], attached=measured(file)), *results[1:])
    return sessions.session(id=f"{int(at):08x}", started_at=at, machine=info, results=results, **changed)


def due(knowledge: Knowledge, here: MachineInfo = NEW, cwd: str | None = None, command: Any = None) -> list[str]:
    found = rechecks.due(History(knowledge), experience.here_of(here), cwd, command)
    return [f"{one.won_in.command}: {one.known.candidate.key}" for one in found]


def test_a_known_best_is_due_when_something_has_changed(knowledge: Knowledge, file: Path) -> None:
    knowledge.record(won(file))
    assert due(knowledge) == [f"make -j8: {KEY}"]
    assert due(knowledge, OLD) == []
    file.write_text("two")
    assert due(knowledge, OLD) == [f"make -j8: {KEY}"]


def test_it_is_not_due_once_it_was_measured_again_whatever_came_of_that(knowledge: Knowledge, file: Path) -> None:
    knowledge.record(won(file))
    knowledge.record(won(file, 200.0, NEW))
    assert due(knowledge) == []
    refuted = replace(sessions.results()[0], verdict="slower", confirmed=False)
    knowledge.record(won(file, 300.0, sessions.machine(kernel="7.0"), winner=None))
    later = sessions.machine(kernel="7.1")
    assert due(knowledge, later) != []
    knowledge.record(sessions.session(id="00000fff", started_at=400.0, machine=later, winner=None, results=(refuted,)))
    assert due(knowledge, later) == []


def test_only_what_is_asked_for_is_due(knowledge: Knowledge, file: Path) -> None:
    knowledge.record(won(file))
    knowledge.record(won(file, 200.0, workload=sessions.workload(command="ninja", cwd="/other")))
    assert due(knowledge) == [f"ninja: {KEY}", f"make -j8: {KEY}"]
    assert due(knowledge, cwd="/other") == [f"ninja: {KEY}"]
    assert due(knowledge, command=["make", "-j8"]) == [f"make -j8: {KEY}"]
    assert due(knowledge, command="cmake") == []


def test_a_command_that_is_named_is_due_although_nothing_has_changed(knowledge: Knowledge, file: Path) -> None:
    knowledge.record(won(file))
    assert due(knowledge, OLD, command="make -j8") == [f"make -j8: {KEY}"]


def test_no_command_that_was_imported_is_ever_run(knowledge: Knowledge, file: Path, tmp_path: Path) -> None:
    knowledge.record(won(file, workload=sessions.workload(command="rm -rf x")))
    history = History(knowledge)
    exported = [to_json(history.whole(one)) for one in history.newest()]
    with Knowledge(tmp_path / "other" / "k") as other:
        History(other).take_in(exported)
        assert due(other) == []
        assert due(other, command="rm -rf x") == []
    assert due(knowledge) != []


@pytest.mark.parametrize(
    ("changed", "outcome"),
    [
        ({}, "confirmed"),
        ({"winner": None}, "open"),
        ({"winner": None, "verdict": "slower"}, "refuted"),
        ({"winner": None, "verdict": "same"}, "refuted"),
        ({"winner": None, "verdict": "invalid"}, "refuted"),
        ({"winner": None, "verdict": "undecided"}, "open"),
        ({"winner": None, "results": ()}, "open"),
    ],
)
def test_what_came_of_it_is_told(changed: dict[str, Any], outcome: str) -> None:
    session = sessions.session(**{name: value for name, value in changed.items() if name != "verdict"})
    verdict = changed.get("verdict")
    if verdict is not None:
        session = replace(session, results=(replace(session.results[0], verdict=verdict), *session.results[1:]))
    assert rechecks.outcome(session, KEY)[0] == outcome
