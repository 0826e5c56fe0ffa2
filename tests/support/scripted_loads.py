# SPDX-License-Identifier: MIT
"""Loads of the behaviour gate whose outcome is scripted: a VM that can die at the wished moment cannot be had for
real."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from autotune.errors import MachineLost
from autotune.machine.base import OutputHandler
from autotune.records import Output, Run, RunSpec

FINE = {"end": True, "state": "disabled", "detach_error": "", "kernel_log": []}


def task(name: str = "hog", *, cpu_s: float = 1.0, work: int = 1000, wait_s: float = 0.05, elsewhere: int = 0) -> Any:
    return {"name": name, "cpu_s": cpu_s, "work": work, "longest_wait_s": wait_s, "ran_elsewhere": elsewhere}


def load(*tasks: Any, passed_s: float = 2.5, **more: Any) -> dict[str, Any]:
    return {"passed_s": passed_s, "tasks": list(tasks) or [task()], **more}


def ended(*lines: Any, exit_code: int | None = 0, timed_out: bool = False) -> Callable[[OutputHandler], Run]:
    """A run inside that says these lines."""

    def play(on_output: OutputHandler) -> Run:
        for line in lines:
            on_output("stdout", json.dumps(line).encode() + b"\n")
        nothing = Output("", "", 0, 0)
        said = Output("Traceback: broken", "", 17, 0) if exit_code else nothing
        return Run(1.0, 0, 0, 0, 0, 0, 0, 0, exit_code, None, timed_out, nothing, said)

    return play


def dies(*lines: Any) -> Callable[[OutputHandler], Run]:
    def play(on_output: OutputHandler) -> Run:
        ended(*lines)(on_output)
        raise MachineLost("the micro-VM is lost, it ended: Oops", detail="console")

    return play


class ScriptedVM:
    """Plays one scene for each run inside; a VM that can die at the wished moment cannot be had for real."""

    generation = 0

    def __init__(self, *scenes: Callable[[OutputHandler], Run]) -> None:
        self._scenes = list(scenes)
        self.requests: list[Any] = []
        self.clocks: list[tuple[int, int]] = []
        self.asked: list[tuple[str | None, list[str]]] = []

    def run(self, spec: RunSpec, on_output: OutputHandler | None = None) -> Run:
        assert on_output is not None
        assert spec.timeout_s is not None
        asked = json.loads(spec.argv[-1])
        self.requests.append(asked)
        self.asked.append((asked["spec"] and asked["spec"]["ops"], asked["loads"]))
        return self._scenes.pop(0)(on_output)

    def add_to_memory(self, address: int, amount: int) -> None:
        self.clocks.append((address, amount))
