# SPDX-License-Identifier: MIT
"""A keeper of runs that share a scheduler, whose scheduler is a line in a file; also as a program.

usage: shared_keeper.py LOG DIRECTORY

A scheduler whose name is `bad` cannot be attached, `slow` takes half a second, and one is lost once there is a file
LOG.lose, with what that says as the reason.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from autotune.errors import AttachError
from autotune.lease import shared


class ScriptedScheduler:
    """Notes in a file what it attaches and detaches, with the process that did."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._spec = ""

    def attach(self, spec: str) -> str:
        if spec == "bad":
            raise AttachError("the verifier refuses it")
        time.sleep(0.5 if spec == "slow" else 0.0)
        self._spec = spec
        self._note("attached")
        return spec.partition(":")[0]

    def problem(self) -> str | None:
        lose = Path(f"{self._log}.lose")
        return lose.read_text() if lose.exists() else None

    def detach(self) -> None:
        if self._spec:
            self._note("detached")

    def _note(self, what: str) -> None:
        with open(self._log, "a") as file:
            file.write(f"{os.getpid()} {what} {self._spec}\n")


def argv(log: Path) -> list[str]:
    """The program that keeps such schedulers."""
    return [sys.executable, "-I", __file__, str(log)]


if __name__ == "__main__":
    shared.keep(sys.argv[2], ScriptedScheduler(Path(sys.argv[1])))
