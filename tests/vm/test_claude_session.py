# SPDX-License-Identifier: MIT
"""A whole session that Claude plans: the real program, library, socket, kernel and measuring; only what the model says
is scripted."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.claude_program import program
from tests.support.messages_server import Answer, Hang, serving, submit, tool

pytestmark = [pytest.mark.vm, pytest.mark.slow]


def test_three_turns_whose_candidates_are_really_measured(tmp_path: Path) -> None:
    steps = (
        Answer([tool("list_schedulers"), tool("read_workload_file", path=".", offset=0)]),
        Answer(
            [tool("run_scheduler", name="at_batch", args=["slice_us=80000"]), tool("system_monitor", command="start")]
        ),
        Answer([tool("get_execution_status", execution_id="exec-1")]),
        Answer([submit("at_batch:slice_us=80000", "at_fifo", reason="CPUs are busy", prediction="same")]),
        Answer([submit("at_vtime", prediction="slower", reason="For comparison")]),
        Answer([submit()]),
    )
    with serving(*steps) as script:
        argv, how = program(script, tmp_path, "--budget", "20m", "--runs", "3", "--seed", "1")
        done = subprocess.run(argv, capture_output=True, check=False, timeout=900, **how)
    assert done.returncode == 0, done.stdout + done.stderr
    assert script.problems == []
    assert script.steps == []
    session = json.loads((tmp_path / "report.json").read_text())
    assert session["planner"] == "claude"
    assert session["spending"]["calls"] == 6
    tried = {result["candidate"]["scheduler"]: result for result in session["results"]}
    assert {"at_batch", "at_fifo", "at_vtime"} <= tried.keys()
    for name in ("at_batch", "at_fifo", "at_vtime"):
        runs = [one for one in session["trials"] if one["candidate"].startswith(name)]
        assert len(runs) >= 3
        assert all(one["evidence"]["before"]["ops"] == name for one in runs if one["invalid"] is None)
    assert "CPUs are busy (predicted same:" in done.stdout
    status = next(
        json.loads(block["content"])
        for block in script.requests[3]["messages"][-1]["content"]
        if block["type"] == "tool_result"
    )
    assert status["status"] == "running"
    assert "attached as at_batch" in status["output"][0]
    results = script.requests[4]["messages"][-1]["content"][0]["content"]
    assert "at_fifo: " in results


def test_ctrl_c_while_claude_thinks_ends_the_session_and_the_vm(tmp_path: Path) -> None:
    with serving(Answer([tool("run_scheduler", name="at_fifo", args=[])]), Hang(60.0)) as script:
        argv, how = program(script, tmp_path)
        child = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **how)
        deadline = time.monotonic() + 90
        while len(script.requests) < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(0.5)
        pressed = time.monotonic()
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=55)
        took_s = time.monotonic() - pressed
    assert child.returncode == 130, err
    assert took_s < 55.0  # not when the service would have answered
    assert "Traceback" not in err
    left = subprocess.run(["pgrep", "-f", str(tmp_path)], capture_output=True, text=True, check=False)
    assert left.stdout == ""
