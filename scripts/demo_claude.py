# SPDX-License-Identifier: MIT
"""A local Messages server and a session against it; see scripts/demo-claude. Arguments are passed on to `autotune cc`
in place of the demo's own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TOP / "tests"))

from messages_server import Answer, serving, submit, text, tool  # noqa: E402

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

OWN = ["make -C scripts/demo -j4", "--prepare", "make -C scripts/demo clean", "--budget", "3m", "--planner", "claude"]


def main() -> None:
    with serving(*MODEL_SAYS) as script:
        env = {**os.environ, "ANTHROPIC_BASE_URL": script.url, "ANTHROPIC_API_KEY": script.key}
        done = subprocess.run(
            [sys.executable, "-m", "autotune", "cc", *(sys.argv[1:] or OWN)], env=env, cwd=TOP, check=False
        )
        asked, share = len(script.requests), script.cached_share() if script.usage else 0.0
    print(f"\nThe local server answered {asked} calls; {share:.0%} of the input tokens were read from its cache.")
    for problem in script.problems:
        print(f"The real service would have refused: {problem}")
    sys.exit(done.returncode or bool(script.problems))


main()
