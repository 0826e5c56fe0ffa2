# SPDX-License-Identifier: MIT
"""A look at a workload: what runs, in which order, what is said when it fails, and that nothing is left."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from autotune import events
from autotune.errors import AttachError, AutotuneError, Interrupted, PrivilegeError, RunnerLost, WorkloadError
from autotune.knowledge.store import Knowledge
from autotune.observe import perf
from autotune.records import BASELINE, Output, Run
from autotune.session import preflight, watching
from tests.support.scripted_engine import ScriptedEngine, request
from tests.support.scripted_machine import WATCHED, ScriptedMachine, a_run
from tests.support.watched_tasks import a_task, raw

BUILD = raw(
    [a_task(7, arguments=("make",), end_s=2.0), a_task(8, 7, arguments=("cc", "--token=sk-ant-api03-" + "a" * 95))]
)


@pytest.fixture(autouse=True)
def _no_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "CHECKS", ())  # the command is only a name


def engine(**more: Any) -> ScriptedEngine:
    return ScriptedEngine(ScriptedMachine({BASELINE: 2.0}, tasks=BUILD, **more))


def test_it_warms_up_runs_once_more_and_then_watches(tmp_path: Path) -> None:
    scripted = engine()

    seen = watching.look(request(tmp_path, workload={"prepare": "clean"}), lambda _event: None, scripted)

    runs = [entry for entry in scripted.scripted.log if entry != "fresh"]
    assert runs == ["clean", f"run {BASELINE}", "clean", f"run {BASELINE}", "clean", "watch"]
    assert seen.plain_s == pytest.approx(2.0, rel=0.05)
    assert seen.profile.wall_s == pytest.approx(2.06)
    assert seen.profile.tasks == 2
    assert scripted.given_back == 1


PERF = "4000;;cycles:u;9;100.00;;\n8000;;instructions:u;9;100.00;;\n"


@pytest.fixture
def _with_pmu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perf, "why_absent", lambda _machine: "")


@pytest.mark.usefixtures("_with_pmu")
def test_where_there_is_a_pmu_its_counters_are_read_in_a_run_of_their_own(tmp_path: Path) -> None:
    def run() -> Run:
        return replace(a_run(2.0), stderr=Output(PERF, "", len(PERF), 0))

    scripted = engine(faults={BASELINE: run})

    seen = watching.look(request(tmp_path), lambda _event: None, scripted)

    assert seen.counted == perf.CpuCounters(4000.0, 8000.0)
    assert seen.as_json()["counters"]["instructions"] == 8000.0
    assert [entry for entry in scripted.scripted.log if entry != "fresh"] == [f"run {BASELINE}"] * 3 + ["watch"]


@pytest.mark.usefixtures("_with_pmu")
def test_counters_that_cannot_be_read_cost_nothing_else(tmp_path: Path) -> None:
    seen = watching.look(request(tmp_path), lambda _event: None, engine())

    assert seen.counted == "perf stat counted nothing"
    assert seen.profile.tasks == 2
    assert (seen.as_json()["counters"], seen.as_json()["not_counted"]) == (None, seen.counted)


def test_what_was_seen_is_known_to_later_sessions(tmp_path: Path) -> None:
    asked, scripted = request(tmp_path), engine()

    seen = watching.look(asked, lambda _event: None, scripted)

    with Knowledge() as knowledge:
        assert knowledge.known_workload(asked.workload, scripted.scripted.info) == seen.profile


def test_a_store_that_cannot_be_written_costs_nothing_but_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "state").write_text("no directory")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    heard: list[events.Event] = []

    assert watching.look(request(tmp_path), heard.append, engine()).profile.tasks == 2

    (warned,) = [event.text for event in heard if isinstance(event, events.Warned)]
    assert warned.startswith("the knowledge store cannot be read or written")


def test_no_scheduler_is_attached(tmp_path: Path) -> None:
    scripted = engine()

    watching.look(request(tmp_path), lambda _event: None, scripted)

    assert not [entry for entry in scripted.scripted.log if entry.startswith("attach")]


def test_secrets_on_command_lines_are_redacted_before_anything_else_sees_them(tmp_path: Path) -> None:
    seen = watching.look(request(tmp_path), lambda _event: None, engine())

    assert "sk-ant" not in repr(seen)
    assert any("cc" in group.key for group in seen.profile.groups)


@pytest.mark.parametrize(
    "refused",
    [
        AttachError("tasks.o was refused by the kernel: no BTF"),
        PrivilegeError("switching schedulers needs root"),
        AutotuneError("the probe failed: it is gone", stage="observe"),
    ],
)
def test_a_probe_that_cannot_be_is_one_error_and_cleanup_runs(tmp_path: Path, refused: AutotuneError) -> None:
    scripted = ScriptedEngine(ScriptedMachine({BASELINE: 2.0}, tasks=refused))

    with pytest.raises(type(refused)) as error:
        watching.look(request(tmp_path, workload={"cleanup": "sweep"}), lambda _event: None, scripted)

    assert error.value.message == refused.message
    assert "sweep" in scripted.scripted.log
    assert scripted.given_back == 1


def test_a_watched_run_that_fails_is_said_and_cleanup_runs(tmp_path: Path) -> None:
    scripted = engine(faults={WATCHED: lambda: a_run(1.0, 3)})

    with pytest.raises(WorkloadError, match="the run that was watched failed: exit code 3"):
        watching.look(request(tmp_path, workload={"cleanup": "sweep"}), lambda _event: None, scripted)

    assert "sweep" in scripted.scripted.log


@pytest.mark.parametrize("exit_code", [0, 3])
def test_the_conclude_command_runs_after_a_watched_run_however_it_ended(tmp_path: Path, exit_code: int) -> None:
    scripted = engine(faults={WATCHED: lambda: a_run(1.0, exit_code)})

    with contextlib.suppress(WorkloadError):
        watching.look(request(tmp_path, workload={"conclude": "put away"}), lambda _event: None, scripted)

    assert scripted.scripted.log[-1] == "put away"


def test_a_command_that_fails_by_itself_is_never_watched(tmp_path: Path) -> None:
    scripted = engine(faults={BASELINE: lambda: a_run(1.0, 3)})

    with pytest.raises(WorkloadError):
        watching.look(request(tmp_path), lambda _event: None, scripted)

    assert "watch" not in scripted.scripted.log


def test_a_run_that_is_lost_is_said(tmp_path: Path) -> None:
    scripted = engine(faults={BASELINE: lambda: RunnerLost("the helper died")})

    with pytest.raises(AutotuneError, match="a run was lost: the helper died"):
        watching.look(request(tmp_path), lambda _event: None, scripted)


def test_damaged_records_of_the_probe_are_an_error_of_ours(tmp_path: Path) -> None:
    scripted = ScriptedEngine(ScriptedMachine({BASELINE: 2.0}, tasks=replace(BUILD, ends="AAAA")))

    with pytest.raises(AutotuneError, match="records are cut short"):
        watching.look(request(tmp_path), lambda _event: None, scripted)


def test_ctrl_c_is_an_interruption_and_cleanup_runs(tmp_path: Path) -> None:
    def interrupted() -> Any:
        raise KeyboardInterrupt

    scripted = engine(faults={WATCHED: interrupted})

    with pytest.raises(Interrupted):
        watching.look(request(tmp_path, workload={"cleanup": "sweep"}), lambda _event: None, scripted)

    assert "sweep" in scripted.scripted.log


def test_a_cleanup_that_fails_costs_nothing_of_what_was_seen(tmp_path: Path) -> None:
    seen = watching.look(request(tmp_path, workload={"cleanup": "fail"}), lambda _event: None, engine())

    assert isinstance(seen.failure, WorkloadError)
    assert "the cleanup command failed" in seen.failure.message
    assert seen.profile.tasks == 2


def test_listeners_hear_each_step(tmp_path: Path) -> None:
    heard: list[events.Event] = []

    watching.look(request(tmp_path), heard.append, engine())

    steps = [event.name for event in heard if isinstance(event, events.Step)]
    assert steps[-1] == "observe"
    assert any(isinstance(event, events.MachineReady) for event in heard)
