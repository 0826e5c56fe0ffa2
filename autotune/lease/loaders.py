# SPDX-License-Identifier: MIT
"""Queries the programs that start schedulers: scx_loader (through `scxctl`) and systemd.

They may be absent, fail, hang or be wrong, so the kernel's state comes first. Standard library only.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from collections.abc import Sequence

from autotune.trust import find_program

ANSWER_S = 10.0
"""Deadline of every command."""
SERVICE = "scx.service"
"""The service with which distributions start a scheduler."""
_MOST_ANSWER_BYTES = 64 << 10


def scx_loader_says() -> tuple[str, str | None] | None:
    """Return the program and the mode that scx_loader reports by `scxctl get`; the mode is None when it was started
    with arguments. None when there is no loader, or it runs nothing."""
    text = output_of("scxctl", "get")
    found = re.match(r"running (\w+) (?:in (\w+) mode|with arguments)", text or "")
    return (f"scx_{found[1].lower()}", found[2].lower() if found[2] else None) if found else None


def main_pid(unit: str) -> int | None:
    """Return the main process of an active systemd service; None for any other."""
    text = output_of("systemctl", "show", unit, "-p", "ActiveState,MainPID") or ""
    fields = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    pid = fields.get("MainPID", "0")
    return int(pid) if fields.get("ActiveState") == "active" and pid.isdigit() and pid != "0" else None


def output_of(*argv: str) -> str | None:
    """Return the output of a program; None when it is absent, fails, or does not end in time."""
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        exit_code, output = run_bounded(argv, ANSWER_S)
        return output if exit_code == 0 else None
    return None


def run_bounded(argv: Sequence[str], limit_s: float) -> tuple[int, str]:
    """Return exit code and output of a program. Output goes to a file: a process that it leaves running could keep a
    pipe open for ever. Raises FileNotFoundError when it is absent, OSError, and subprocess.TimeoutExpired."""
    program = find_program(argv[0])
    if program is None:
        raise FileNotFoundError(argv[0])
    with open(os.memfd_create("autotune-output"), "w+b") as output:
        done = subprocess.run(
            [program, *argv[1:]],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=limit_s,
            check=False,
            start_new_session=True,
            cwd="/",
        )
        output.seek(0)
        return done.returncode, output.read(_MOST_ANSWER_BYTES).decode(errors="replace")
