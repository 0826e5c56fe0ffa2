# SPDX-License-Identifier: MIT
"""In a real kernel: a client of the MCP server looks, starts a tuning, agrees, waits with progress, and has a verdict.

What the command reports follows from the scheduler that the kernel has attached meanwhile, so that the winner is
certain and a run takes no time; all else is as ever. What the client said and heard is the transcript of docs/MCP.md.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters

from tests.support.mcp_client import ROOT, AtTheClient, data

pytestmark = [pytest.mark.vm, pytest.mark.slow]

SCORE = """\
case $(cat /sys/kernel/sched_ext/root/ops 2>/dev/null) in
at_vtime*) base=800;; '') base=1000;; *) base=1100;;
esac
echo score=$((base + $(date +%N | tail -c 2) % 10))
"""
TUNE = {
    "workload": {"command": "sh score.sh", "metric_regex": r"score=(\d+)"},
    "settings": {"machine": "vm", "budget": "10m", "warmup": "0", "runs": "4", "seed": "7"},
    "candidates": ["at_vtime"],
}


class Transcript:
    """Writes down what is said on both sides."""

    def __init__(self, client: Client, path: Path) -> None:
        self._client = client
        self._path = path

    def note(self, mark: str, text: str) -> None:
        with self._path.open("a") as file:
            file.write(f"{mark} {text}\n")

    async def call(self, name: str, /, **arguments: Any) -> Any:
        self.note("->", f"{name} {json.dumps(arguments)}")

        async def progressed(progress: float, total: float | None, message: str | None) -> None:
            del total
            self.note("  ", f"{progress:5.1f} s  {message}")

        answer = data(await self._client.call_tool(name, arguments, progress_callback=progressed))
        self.note("<-", json.dumps(answer))
        return answer


def test_a_client_tunes_a_command(kernel: Any, tmp_path: Path) -> None:
    del kernel
    (tmp_path / "score.sh").write_text(SCORE)
    asked = AtTheClient()

    async def work() -> None:
        server = StdioServerParameters(
            command=sys.executable,
            args=["-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); from autotune.cli import main; main()", "mcp"],
            env=dict(os.environ),
            cwd=tmp_path,
        )
        async with Client(server, elicitation_callback=asked.answer) as client:
            talk = Transcript(client, tmp_path / "transcript")
            assert (await talk.call("best_known", command="sh score.sh"))["best"] is None
            await talk.call("list_schedulers", name="at_vtime")
            seen = await talk.call("tuning_start", **TUNE)
            while seen["status"] == "running":
                seen = await talk.call("tuning_status", id=seen["id"], wait_s=25)
            assert (seen["status"], seen["winner"]) == ("finished", "at_vtime"), seen
            assert (await talk.call("best_known", command="sh score.sh"))["best"]["scheduler"] == "at_vtime"

    anyio.run(work)
    assert "command: sh score.sh" in asked.questions[0]
