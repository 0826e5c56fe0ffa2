# SPDX-License-Identifier: MIT
"""An engine that runs sessions on a scripted machine, and the request for one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from autotune.config import Settings
from autotune.records import BASELINE, AttachSpec, Candidate, Expectations, GuideSpec, ProbeSpec, Workload
from autotune.session import start
from autotune.session.request import SessionRequest
from tests.support.scripted_machine import ScriptedMachine

FIFO = Candidate("at_fifo")


class ScriptedEngine(start.Engine):
    """Runs sessions on a scripted machine; `given_back` counts how often it was closed by its context."""

    def __init__(self, machine: ScriptedMachine | None = None) -> None:
        self.scripted = machine or ScriptedMachine({BASELINE: 1.0, "at_fifo": 0.8})
        self.started = self.given_back = 0
        self.fails: BaseException | None = None

    def require(self, *_given: Any) -> None:
        """The scripted machine needs neither programs nor clang."""

    @contextlib.contextmanager
    def machine(self, *_given: Any) -> Iterator[ScriptedMachine]:
        self.started += 1
        if self.fails is not None:
            raise self.fails
        try:
            yield self.scripted
        finally:
            self.scripted.close()
            self.given_back += 1

    def busy(self) -> None:
        """How busy the machine of the tests is changes nothing here."""

    def probe(self, *_given: Any) -> ProbeSpec:
        """What the scripted machine sees needs no object."""
        return ProbeSpec("tasks.o", "0" * 64)

    def guide(self, _machine: Any, _deadline: Any, expected: Expectations) -> GuideSpec:
        """Nor does the scripted machine guide anybody."""
        return GuideSpec("guide.o", "0" * 64, expected)

    def resolver(self, *_given: Any) -> Callable[[Candidate], AttachSpec]:
        return lambda candidate: AttachSpec(candidate.scheduler, "x.o")


def request(tmp_path: Path, **more: Any) -> SessionRequest:
    work = Workload("make", ("make",), str(tmp_path), **more.pop("workload", {}))
    return SessionRequest(work, Settings(seed=3, planner="offline"), **{"candidates": (FIFO,), **more})
