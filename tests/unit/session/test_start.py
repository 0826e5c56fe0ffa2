# SPDX-License-Identifier: MIT
"""A session is started by one call with one record, without a terminal; what must always happen happens there."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from autotune.errors import (
    AutotuneError,
    BusyError,
    Interrupted,
    MachineLost,
    NoMachineError,
    UsageError,
    WorkloadError,
)
from autotune.events import Event, Finished, Notice, Problem, Warned, WorkloadSeen
from autotune.knowledge.store import Knowledge
from autotune.lease import others, replacing
from autotune.lease.other import Other
from autotune.machine import select
from autotune.machine.select import MachineChoice
from autotune.records import BASELINE, Candidate, RawTasks, Session, Workload
from autotune.report import json_document
from autotune.schedext.programs.binaries import Places
from autotune.session import start
from tests.support.scripted_engine import ScriptedEngine, request
from tests.support.scripted_machine import ScriptedMachine, a_run
from tests.support.watched_tasks import a_task, a_turn, raw

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(select, "decide", lambda _kind: MachineChoice("vm", "a test"))


def problems(heard: list[Event]) -> list[tuple[str, str]]:
    return [(event.what, str(event.error)) for event in heard if isinstance(event, Problem)]


def recorded(tmp_path: Path) -> list[str | None]:
    work = Workload("make", ("make",), str(tmp_path))
    with contextlib.closing(Knowledge()) as knowledge:
        return [one.winner for one in knowledge.sessions_of(work, 9)]


# --- a session to its end ---


def test_a_record_becomes_a_session_with_reports_and_knowledge(tmp_path: Path) -> None:
    engine, heard, texts = ScriptedEngine(), list[Event](), list[str]()
    reports: Any = {"json": texts.append, "markdown": tmp_path / "r.md", "csv": tmp_path / "r.csv"}
    session = start.run(request(tmp_path, reports=reports), heard.append, engine)
    assert session.winner == "at_fifo"
    assert json.loads(texts[0])["winner"] == "at_fifo"
    assert "at_fifo" in (tmp_path / "r.md").read_text()
    assert "at_fifo" in (tmp_path / "r.csv").read_text()
    assert recorded(tmp_path) == ["at_fifo"]
    assert engine.given_back == 1
    assert problems(heard) == []


def test_neither_typer_nor_rich_is_needed(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from autotune.machine import select; from autotune.session import start;"
        "from tests.support.scripted_engine import ScriptedEngine, request;"
        "select.decide = lambda _kind: select.MachineChoice('vm', 'a test');"
        "s = start.run(request(Path.cwd()), lambda _event: None, ScriptedEngine());"
        "print(s.winner, [name for name in ('typer', 'rich', 'click') if name in sys.modules])"
    )
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environ, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("at_fifo []\n", "")


def test_events_lose_secrets_on_their_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "a1B2c3D4e5F6g7H8")
    engine, heard = ScriptedEngine(), list[Event]()
    engine.scripted.faults["at_fifo"] = lambda: AutotuneError("it says a1B2c3D4e5F6g7H8")
    session = start.run(request(tmp_path), heard.append, engine)
    assert session.failure is not None
    assert "a1B2c3D4e5F6g7H8" not in repr(session.failure)
    assert not any("a1B2c3D4e5F6g7H8" in event.text for event in heard if isinstance(event, Warned))


# --- checks before anything starts ---


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"candidates": (Candidate("no_such"),)}, "no_such"),
        ({"candidates": (Candidate("at_fifo", (("no_knob", 1),)),)}, "no_knob"),
        ({"reports": {"csv": Path("/no/such/r.csv")}}, "--export-csv /no/such/r.csv"),
        ({"apply": True}, "--apply keeps the winner on the host"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_starts(tmp_path: Path, more: Any, message: str) -> None:
    engine = ScriptedEngine()
    with pytest.raises(UsageError, match=message):
        start.run(request(tmp_path, **more), lambda _event: None, engine)
    assert engine.started == 0


# --- ends ---


def test_a_machine_that_cannot_be_had_is_an_error_of_ours(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    for fault, kind in (
        (NoMachineError("no qemu"), NoMachineError),
        (KeyboardInterrupt(), Interrupted),
        (OSError(28, "No space left on device"), AutotuneError),
        (ZeroDivisionError("a bug"), AutotuneError),
    ):
        engine.fails = fault
        with pytest.raises(kind):
            start.run(request(tmp_path), lambda _event: None, engine)


def test_a_workload_that_fails_under_the_baseline_is_an_error_and_the_machine_is_given_back(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    engine.scripted.faults[BASELINE] = lambda: a_run(1.0, 7)
    with pytest.raises(WorkloadError, match="exit code 7"):
        start.run(request(tmp_path), lambda _event: None, engine)
    assert engine.given_back == 1


@pytest.mark.parametrize("fault", [MachineLost("it is gone"), KeyboardInterrupt(), ZeroDivisionError("a bug")])
def test_a_session_that_ends_early_is_returned_recorded_and_written(tmp_path: Path, fault: BaseException) -> None:
    engine, heard = ScriptedEngine(), list[Event]()

    def ends() -> Any:
        raise fault

    engine.scripted.faults["at_fifo"] = ends
    session = start.run(request(tmp_path, reports={"json": tmp_path / "r.json"}), heard.append, engine)
    assert session.interrupted is isinstance(fault, KeyboardInterrupt)
    assert (session.failure is None) is session.interrupted
    assert json.loads((tmp_path / "r.json").read_text())["interrupted"] is session.interrupted
    assert recorded(tmp_path) == [None]
    assert engine.given_back == 1
    finished = next(event for event in heard if isinstance(event, Finished))
    ended = start.ending(session, finished.error)
    assert isinstance(ended, Interrupted) if session.interrupted else ended is not None


def test_a_report_that_cannot_be_written_keeps_no_other_from_being_written(tmp_path: Path) -> None:
    heard: list[Event] = []
    reports: Any = {"csv": Path("/dev/full"), "markdown": tmp_path / "r.md"}
    session = start.run(request(tmp_path, reports=reports), heard.append, ScriptedEngine())
    assert session.winner == "at_fifo"
    assert [what for what, _ in problems(heard)] == ["report"]
    assert "--export-csv /dev/full could not be written" in problems(heard)[0][1]
    assert (tmp_path / "r.md").exists()


def test_a_listener_that_fails_ends_no_session(tmp_path: Path) -> None:
    heard: list[Event] = []

    def listener(event: Event) -> None:
        heard.append(event)
        if isinstance(event, Warned | Finished):
            raise KeyError("a bug of the listener")

    assert start.run(request(tmp_path), listener, ScriptedEngine()).winner == "at_fifo"
    assert [what for what, _ in problems(heard)] == ["listener"]
    assert recorded(tmp_path) == ["at_fifo"]


def test_a_cleanup_that_fails_is_a_problem_beside_the_session(tmp_path: Path) -> None:
    heard: list[Event] = []
    work = {"workload": {"cleanup": "false; fail to clean"}}
    assert start.run(request(tmp_path, **work), heard.append, ScriptedEngine()).winner == "at_fifo"
    assert [what for what, _ in problems(heard)] == ["cleanup"]


# --- another's scheduler ---


OTHER = Other("rusty", 4242, ("scx_rusty",), "hand", "scx_rusty", None, ())


class Replaced:
    """Stands for a scheduler that was stopped."""

    def __init__(self, log: list[str]) -> None:
        self.log = log

    def restore(self) -> str:
        self.log.append("restored")
        return "it is restored"


@pytest.fixture
def replaced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is done to the other scheduler, in order."""
    log: list[str] = []
    monkeypatch.setattr(select, "decide", lambda _kind: MachineChoice("host", "a test"))
    monkeypatch.setattr(others, "look", lambda: OTHER)
    monkeypatch.setattr(replacing, "refuse_unless_replaceable", lambda _other: None)

    def stop(_other: Other) -> Replaced:
        log.append("stopped")
        return Replaced(log)

    monkeypatch.setattr(replacing, "replace", stop)
    return log


def test_without_consent_nothing_is_stopped_and_nothing_starts(tmp_path: Path, replaced: list[str]) -> None:
    engine = ScriptedEngine()
    with pytest.raises(BusyError, match="attached already"):
        start.run(request(tmp_path), lambda _event: None, engine)
    assert (engine.started, replaced) == (0, [])


@pytest.mark.parametrize("fault", [None, KeyboardInterrupt(), WorkloadError("odd")])
def test_with_consent_it_is_stopped_and_restored_however_it_ends(
    tmp_path: Path, replaced: list[str], fault: BaseException | None
) -> None:
    engine, heard, named = ScriptedEngine(), list[Event](), list[Other]()
    if fault is not None:
        engine.fails = fault

    def consent(other: Other) -> bool:
        named.append(other)
        return True

    with contextlib.suppress(AutotuneError):
        start.run(request(tmp_path, consent=consent), heard.append, engine)
    assert (named, replaced) == ([OTHER], ["stopped", "restored"])
    assert [event.text for event in heard if isinstance(event, Notice)][-1] == "it is restored"


# --- without a race ---


def test_the_first_request_is_given_and_nothing_is_sent_attached_or_recorded(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    first = start.first_request(request(tmp_path), lambda _event: None, engine)
    assert first["messages"][0]["role"] == "user"
    assert not any(entry.startswith("attach") for entry in engine.scripted.log)
    assert engine.given_back == 1
    assert recorded(tmp_path) == []


def test_a_plan_starts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(select, "describe", lambda *_given, **_named: "a test")
    plan = start.describe(request(tmp_path))
    assert (plan.where, plan.model_plans, plan.first_request) == ("a test", False, None)
    assert "at_fifo" in plan.schedulers
    assert start.problems(request(tmp_path), ScriptedEngine()) == []
    wrong = request(tmp_path, reports={"json": Path("/no/such/r.json")})
    assert [type(error) for error in start.problems(wrong, ScriptedEngine())] == [UsageError]


# --- what the command does ---


def watched_session(tmp_path: Path, tasks: RawTasks, **more: Any) -> tuple[Session, list[WorkloadSeen]]:
    """A session in which each scheduler is a little slower than EEVDF, and a probe sees what it is told."""
    heard: list[Event] = []
    machine = ScriptedMachine(defaultdict(lambda: 1.3, {BASELINE: 1.0}), tasks=tasks)
    settings = more.pop("settings", {})
    asked = request(tmp_path, **more)
    asked = replace(asked, settings=replace(asked.settings, **settings))
    done = start.run(asked, heard.append, ScriptedEngine(machine))
    return done, [event for event in heard if isinstance(event, WorkloadSeen)]


BUILD = raw(
    [a_task(7, arguments=("make",), end_s=1.0), a_task(8, 7, arguments=("cc", "--token=sk-ant-api03-" + "a" * 95))]
)
ALONE = raw([a_task(1, end_s=1.02, arguments=("sort", "x"))], [a_turn(1, 0.0, 1.02)])


def test_what_a_session_saw_is_redacted_and_known_to_the_next_one_which_watches_no_run(tmp_path: Path) -> None:
    first, (seen,) = watched_session(tmp_path, BUILD)
    second, (known,) = watched_session(tmp_path, BUILD, settings={"observe": False})

    assert seen.watched is not None
    assert (seen.not_watched, known.not_watched) == ("", "--no-observe")
    assert known.watched == seen.watched == second.watched == first.watched
    assert "sk-ant" not in json.dumps(json_document.session_json(first))


def test_where_no_run_is_to_be_watched_and_nothing_is_known_a_session_goes_on(tmp_path: Path) -> None:
    done, seen = watched_session(tmp_path, BUILD, settings={"observe": False})

    assert seen == [WorkloadSeen(None, "--no-observe")]
    assert done.watched is None
    assert done.results[0].runs > 3


@pytest.mark.first
@pytest.mark.parametrize(
    ("asked", "ends"),
    [
        ({"candidates": (), "settings": {"planner": "auto"}}, True),
        ({"candidates": (), "settings": {"planner": "offline"}}, False),
        ({"candidates": (), "settings": {"planner": "auto", "early_end": False}}, False),
        ({"settings": {"planner": "auto"}}, False),
    ],
    ids=["by itself", "a planner was named", "not wanted", "candidates were named"],
)
def test_a_session_ends_early_only_where_nobody_said_what_to_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any], ends: bool
) -> None:
    monkeypatch.setattr("autotune.tools.reasons.here", Places)
    done, _ = watched_session(tmp_path, ALONE, **asked)

    assert bool(done.ended_early) == ends
    assert (len(done.results) == 1) == ends
    assert done.failure is None
