# SPDX-License-Identifier: MIT
"""A model that writes a scheduler: two texts that gates stop, a third that passes, is measured, and is in the table.
Only what the model says is scripted."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.claude_program import program
from tests.support.messages_server import Answer, serving, submit, tool

pytestmark = [pytest.mark.vm, pytest.mark.slow]

GOOD = (Path(__file__).parents[1] / "bpf" / "good" / "least_run.bpf.c").read_text()
LOSES_A_TASK = GOOD.replace(
    "\tu64 ran = at_ctx(p)->ran_ns;\n", "\tu64 ran = at_ctx(p)->ran_ns;\n\n\tif (!ran)\n\t\treturn;\n"
)
NO_CONTEXT = GOOD.replace(
    "= at_ctx(p)->ran_ns;", "= at_task_storage_get(&at_tasks, p, NULL, 0) ? 0 : *(u64 *)ctx;"
).replace(
    "\tu64 most = memory_ms * AT_MS;\n",
    "\tu64 most = memory_ms * AT_MS;\n\tstruct task_ctx *ctx = at_task_storage_get(&at_tasks, p, NULL, 0);\n",
)
KNOBS = [
    {
        "name": "slice_us",
        "type": "integer",
        "default": "4000",
        "min": 500,
        "max": 100000,
        "unit": "us",
        "description": "x",
    },
    {"name": "memory_ms", "type": "integer", "default": "200", "min": 0, "max": 1000, "unit": "ms", "description": "x"},
]


def create(source: str) -> Any:
    return tool(
        "create_and_verify_scheduler",
        name="least_run",
        source_code=source,
        description="Whoever has run least of late goes first.",
        algorithm="A queue by time and what was run.",
        use_cases=["builds"],
        characteristics="brief tasks soon",
        limitations=["ignores nice levels"],
        performance_profile="like EEVDF",
        knobs=KNOBS,
        unfair_by_design=False,
    )


def answers(request: Any) -> list[tuple[str, bool]]:
    """What the model was told last: text, and whether as an error."""
    blocks = request["messages"][-1]["content"]
    return [(one["content"], bool(one.get("is_error"))) for one in blocks if one["type"] == "tool_result"]


def test_a_source_is_mended_by_what_the_gates_say_and_then_measured(tmp_path: Path) -> None:
    steps = (
        Answer([create(LOSES_A_TASK)]),
        Answer([create(NO_CONTEXT)]),
        Answer([create(GOOD)]),
        Answer([tool("list_schedulers", name="least")]),
        Answer([submit("custom:least_run", "custom:least_run:slice_us=8000", reason="Jobs of unlike length")]),
        Answer([submit()]),
    )
    with serving(*steps) as script:
        argv, how = program(script, tmp_path, "--budget", "15m", "--seed", "1", "--runs", "2")
        done = subprocess.run(argv, capture_output=True, check=False, timeout=900, **how)
    print(done.stdout)
    assert done.returncode == 0, done.stderr
    assert script.problems == []
    assert script.steps == []
    ((first, first_failed),) = answers(script.requests[1])
    assert first_failed
    assert "gate 'source' (1 of 4)" in first
    assert "[enqueue-inserts]" in first
    ((second, second_failed),) = answers(script.requests[2])
    assert second_failed
    assert "gate 'load' (3 of 4)" in second
    ((third, third_failed),) = answers(script.requests[3])
    assert not third_failed, third
    assert json.loads(third)["scheduler"] == "custom:least_run"
    for said, _ in (*answers(script.requests[1]), *answers(script.requests[2])):
        assert len(said.encode()) <= 4200
    [origin] = (tmp_path / "state").glob("**/least_run/origin.json")
    assert json.loads(origin.read_text())["maker"]["kind"] == "model"
    session = json.loads((tmp_path / "report.json").read_text())
    rows = {one["candidate"]["scheduler"]: one for one in session["results"]}
    assert rows["custom:least_run"]["runs"] >= 2
    trials = [one for one in session["trials"] if one["candidate"].startswith("custom:least_run")]
    assert all(one["evidence"]["before"]["ops"] == "least_run" for one in trials if one["invalid"] is None)
    assert "custom:least_run:slice_us=8000" in done.stdout
    assert "Jobs of unlike length" in done.stdout
