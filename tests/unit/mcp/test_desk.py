# SPDX-License-Identifier: MIT
"""On a host that may switch schedulers: consent says so, a scheduler is applied, kept, and released."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from autotune.machine import select
from autotune.machine.select import MachineChoice
from tests.support.mcp_client import MODES, PATIENT, AtTheClient, connected, data, refusal, run

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
