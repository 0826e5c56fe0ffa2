# SPDX-License-Identifier: MIT
"""Runs one of our modules inside the micro-VM as root and passes on its JSON lines as they come.

Lines that came before the VM was lost are kept: the last one shows what was going on. Standard library only.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from autotune.errors import AutotuneError
from autotune.machine.base import OutputHandler
from autotune.records import Run, RunSpec

PACKAGE = Path(__file__).resolve().parents[1]
BOOTSTRAP = """\
import sys
sys.path.insert(0, sys.argv[1])
from importlib import import_module
import_module(sys.argv[2]).main(sys.argv[3])
"""
"""Starts the module as such: Python would compile a program file at every start."""
_KEEP_BYTES = 64 << 10


class VM(Protocol):
    """The part of a micro-VM that the gates need; its commands run as root. `ResilientVM` is one: it boots another when
    one is lost, raises RunnerLost then and increments `generation`."""

    @property
    def generation(self) -> int: ...

    def run(self, spec: RunSpec, on_output: OutputHandler | None = None) -> Run: ...

    def add_to_memory(self, address: int, amount: int) -> None: ...


class Lines:
    """Reassembles output chunks into lines and passes each JSON object to `hear`; ignores other lines."""

    def __init__(self, hear: Callable[[dict[str, Any]], None]) -> None:
        self._hear = hear
        self._rest = b""

    def feed(self, stream: str, data: bytes) -> None:
        if stream != "stdout":
            return
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            try:
                message = json.loads(line)
            except ValueError:
                continue
            if isinstance(message, dict):
                self._hear(message)


def run_inside(
    vm: VM, module: str, request: dict[str, Any], *, timeout_s: float, hear: Callable[[dict[str, Any]], None]
) -> Run:
    """Run `module.main(JSON)` as root. Raises MachineLost or RunnerLost when the VM died or hangs, and AutotuneError
    when the program could not be started or did not end in time."""
    python = os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)
    argv = (python, "-S", "-E", "-I", "-c", BOOTSTRAP, str(PACKAGE.parent), module, json.dumps(request))
    env = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"}
    lines = Lines(hear)
    run = vm.run(RunSpec(argv, "/", env, timeout_s=timeout_s, keep_bytes=_KEEP_BYTES, stream=True), lines.feed)
    if run.start_error is not None:
        raise AutotuneError(f"nothing can be run inside the micro-VM: {run.start_error}", stage="verify")
    return run
