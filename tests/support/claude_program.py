# SPDX-License-Identifier: MIT
"""The program as it is started for a whole session that Claude plans, against a local server."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from tests.support.messages_server import Script

COMMAND = "i=0; while [ $i -lt 15000 ]; do i=$((i+1)); done"


def program(script: Script, tmp_path: Path, *options: str) -> tuple[list[str], dict[str, Any]]:
    env = {**os.environ, "ANTHROPIC_BASE_URL": script.url, "ANTHROPIC_API_KEY": script.key}
    env |= {"XDG_STATE_HOME": str(tmp_path / "state"), "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    report = str(tmp_path / "report.json")
    argv = [sys.executable, "-m", "autotune", "cc", "--planner", "claude", "--json", report, *options, COMMAND]
    return argv, {"env": env, "cwd": Path(__file__).parents[1] / "vm", "text": True}
