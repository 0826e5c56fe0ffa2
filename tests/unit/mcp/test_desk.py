# SPDX-License-Identifier: MIT
"""On a host that may switch schedulers: consent says so, a scheduler is applied, kept, and released."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from autotune.machine import select
from autotune.machine.select import MachineChoice
from autotune.mcp.bench import ClientBench
from tests.support.mcp_client import MODES, PATIENT, AtTheClient, connected, data, refusal, run
from tests.support.scripted_engine import ScriptedEngine

pytestmark = pytest.mark.slow


@pytest.fixture
def _host(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host with sched_ext."""
    monkeypatch.setattr(select, "host_problem", lambda: None)
    monkeypatch.setattr(select, "decide", lambda _kind: MachineChoice("host", "a test says so"))


@pytest.mark.usefixtures("_host")
@pytest.mark.parametrize("mode", MODES)
def test_a_scheduler_is_applied_after_a_question_and_released_in_order(tmp_path: Path, mode: str) -> None:
    asked, worker = AtTheClient(), [sys.executable, "-c", PATIENT, str(tmp_path / "ended")]

    async def work() -> None:
        async with connected(tmp_path, mode=mode, asked=asked, worker=worker) as client:
            kept = data(await client.call_tool("apply", {"scheduler": "at_fifo:slice_us=5000"}))
            assert (kept["status"], kept["output"]) == ("running", ["a line"])
            assert "apply-1 is running" in refusal(await client.call_tool("apply", {"scheduler": "at_vtime"}))
            gone = data(await client.call_tool("release", {}))
            assert gone["status"] == "released"
            assert "applied no scheduler" in refusal(await client.call_tool("release", {}))

    run(work)
    assert (tmp_path / "ended").read_text() == "ended in order"
    assert "scheduler: at_fifo:slice_us=5000" in asked.questions[0]
    assert "change the CPU scheduler of this machine" in asked.questions[0]


@pytest.mark.usefixtures("_host")
def test_a_server_that_may_run_commands_may_not_switch_the_scheduler(tmp_path: Path) -> None:
    async def work() -> None:
        async with connected(tmp_path, allowed=["run"]) as client:
            tune = {"workload": {"command": "make"}}
            for name, given in (("tuning_start", tune), ("run_scheduler", {"name": "at_fifo"})):
                answer = refusal(await client.call_tool(name, given))
                assert "--allow-switch" in answer
                assert "--allow-run" not in answer

    run(work)


def test_where_no_scheduler_can_be_kept_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(select, "host_problem", lambda: "the host kernel has no sched_ext")

    async def work() -> None:
        async with connected(tmp_path, allowed=["switch"]) as client:
            assert "has no sched_ext" in refusal(await client.call_tool("apply", {"scheduler": "at_fifo"}))

    run(work)


@pytest.mark.parametrize(("place", "is_read"), [("home", False), (".", False), ("home/project", True), ("other", True)])
def test_no_file_of_a_home_is_read_but_those_of_a_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, is_read: bool
) -> None:
    directory = tmp_path / place
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "notes").write_text("of mine")
    (tmp_path / "home").mkdir(exist_ok=True)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))

    async def work() -> None:
        async with connected(directory) as client:
            answer = await client.call_tool("read_workload_file", {"path": "notes"})
            if is_read:
                assert "of mine" in data(answer)["text"]
            else:
                assert "home directory" in refusal(answer)

    run(work)


TELLS = """
import sys
open(sys.argv[1], "w").write(sys.stdin.readline())
"""
"""A worker that writes its job down."""


class Forger(AtTheClient):
    """Agrees, and changes the project's settings while the question is open."""

    def __init__(self, project: Path, text: str) -> None:
        super().__init__()
        self._file = project / "autotune.toml"
        self._text = text

    async def answer(self, context: Any, params: Any) -> Any:
        self._file.write_text(self._text)
        return await super().answer(context, params)


@pytest.fixture
def _either(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host with sched_ext, that can have a micro-VM too."""
    monkeypatch.setattr(select, "decide", lambda kind: MachineChoice("vm" if kind == "vm" else "host", "so given"))


@pytest.mark.usefixtures("_either")
@pytest.mark.parametrize("mode", MODES)
def test_what_was_agreed_to_for_a_micro_vm_is_not_done_on_the_host(tmp_path: Path, mode: str) -> None:
    (tmp_path / "autotune.toml").write_text('machine = "vm"\n')
    asked, job = Forger(tmp_path, ""), tmp_path / "job"

    async def work() -> None:
        worker = [sys.executable, "-c", TELLS, str(job)]
        async with connected(tmp_path, mode=mode, asked=asked, worker=worker) as client:
            answer = await client.call_tool("tuning_start", {"workload": {"command": "make"}})
            if mode == "legacy":
                await client.call_tool("tuning_status", {"id": data(answer)["id"], "wait_s": 20})
                assert json.loads(job.read_text())["arguments"]["settings"]["machine"] == "vm"
            else:  # the client calls again: then the question would be another one
                assert "this answer is not for this call" in refusal(answer)
                assert not job.exists()

    run(work)
    assert '"machine": "vm"' in asked.questions[0]
    assert "change the CPU scheduler" not in asked.questions[0]


@pytest.mark.usefixtures("_either")
@pytest.mark.parametrize(("first", "then"), [("vm", ""), ("", "vm")])
def test_where_schedulers_are_tried_is_decided_once(tmp_path: Path, first: str, then: str) -> None:
    settings = tmp_path / "autotune.toml"
    settings.write_text(f'machine = "{first}"\n' if first else "")
    bench = ClientBench(tmp_path, ScriptedEngine())
    where = bench.where()
    settings.write_text(f'machine = "{then}"\n' if then else "")
    assert bench.where() == where == (first or "host")
    assert bench._settings().machine == where
    bench.close()
