# SPDX-License-Identifier: MIT
"""Runs a session against a local Messages server; see scripts/demo-claude. With `--generated` the scripted model writes
a scheduler of its own, a wrong one first. All other arguments replace the demo's own of `autotune cc`."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TOP))

from tests.support.messages_server import Answer, serving, submit, text, tool  # noqa: E402

DEMO = "scripts/demo/Makefile"
LONG_ONE = submit("at_batch:long_first=true", reason="One long job ends the build; it should not start last")
SLICES = submit("at_vtime:slice_us=20000", reason="Longer slices save switches", prediction="same")
MODEL_SAYS = (
    Answer([text("What is there?"), tool("list_schedulers"), tool("read_workload_file", path=DEMO, offset=0)]),
    Answer([tool("describe_scheduler", name="at_batch"), tool("describe_scheduler", name="at_vtime")]),
    Answer([tool("system_monitor", command="start"), tool("run_scheduler", name="at_batch", args=["long_first=true"])]),
    Answer([tool("get_execution_status", execution_id="exec-1")]),
    Answer([tool("system_monitor", command="stop", session_id="mon-1"), LONG_ONE]),
    Answer([SLICES]),
    Answer([submit()]),
)

SOURCE = (TOP / "tests" / "bpf" / "good" / "least_run.bpf.c").read_text()
LOSES_A_TASK = SOURCE.replace(
    "\tscx_bpf_dsq_insert_vtime(", "\tif (ran > most)\n\t\treturn;\n\tscx_bpf_dsq_insert_vtime("
)


def written(source: str) -> Any:
    """Make the tool call that submits a scheduler."""
    knob = {"type": "integer", "min": 0, "description": "see the source"}
    return tool(
        "create_and_verify_scheduler",
        name="least_run",
        source_code=source,
        description="Whoever has run least of late goes first.",
        algorithm="One queue, ordered by the clock plus what a task has run of late.",
        use_cases=["builds with jobs of unlike length"],
        characteristics="Brief jobs begin soon.",
        limitations=["ignores nice levels"],
        performance_profile="About EEVDF's throughput.",
        knobs=[
            {**knob, "name": "slice_us", "default": "4000", "max": 100000, "unit": "us"},
            {**knob, "name": "memory_ms", "default": "200", "max": 1000, "unit": "ms"},
        ],
        unfair_by_design=False,
    )


MODEL_WRITES = (
    Answer([text("Nothing here orders by what jobs have run."), written(LOSES_A_TASK)]),
    Answer([text("A task must be put somewhere on every path."), written(SOURCE)]),
    Answer([submit("custom:least_run", "at_fifo", reason="Jobs are of unlike length", prediction="same")]),
    Answer([submit()]),
)

OWN = ["make -C scripts/demo -j4", "--prepare", "make -C scripts/demo clean", "--budget", "3m", "--planner", "claude"]


def main() -> None:
    writes = "--generated" in sys.argv
    given = [argument for argument in sys.argv[1:] if argument != "--generated"]
    with serving(*(MODEL_WRITES if writes else MODEL_SAYS)) as script, tempfile.TemporaryDirectory() as state:
        env = {**os.environ, "ANTHROPIC_BASE_URL": script.url, "ANTHROPIC_API_KEY": script.key}
        if writes:
            env["XDG_STATE_HOME"] = state  # no scheduler of this name may exist yet
        done = subprocess.run([sys.executable, "-m", "autotune", "cc", *(given or OWN)], env=env, cwd=TOP, check=False)
        calls, share = len(script.requests), script.cached_share() if script.usage else 0.0
    print(f"\nThe local server answered {calls} calls; {share:.0%} of the input tokens were read from its cache.")
    for problem in script.problems:
        print(f"The real service would have refused: {problem}")
    sys.exit(done.returncode or bool(script.problems))


main()
