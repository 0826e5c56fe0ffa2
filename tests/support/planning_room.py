# SPDX-License-Identifier: MIT
"""Sessions on a scripted machine that are planned by the real loop against a local server."""

from __future__ import annotations

from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from autotune.config import Settings
from autotune.events import Event, PlannerChosen, Warned
from autotune.knowledge.store import Knowledge
from autotune.planner import remote
from autotune.planner.assembly import Parts, planning
from autotune.records import BASELINE, AttachSpec, Candidate, Session
from autotune.schedext.catalogue.catalog import Catalog
from autotune.schedext.programs.binaries import Places
from autotune.session.options import SessionOptions
from autotune.session.parts import SessionParts
from autotune.session.tuner import tune
from tests.support.messages_server import Answer, Script, Step, submit
from tests.support.scripted_machine import ScriptedMachine
from tests.support.sessions import workload

GOOD = (Answer([submit("at_fifo", "at_batch")]), Answer([submit("at_vtime", prediction="slower")]), Answer([submit()]))
"""Two sets of candidates, and nothing more in sight."""

CATALOG = Catalog.load()
TIMES = {BASELINE: 1.0, "at_fifo": 0.8, "at_batch": 1.0, "at_vtime": 2.0, "at_interactive": 2.0}


class Room:
    """A session on a scripted machine, planned as the settings say, against a local server."""

    def __init__(self, script: Script, monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
        self.script, self.directory = script, directory
        self.monkeypatch = monkeypatch
        self.heard: list[Event] = []
        self.machine = ScriptedMachine(dict(TIMES))
        monkeypatch.setattr(remote, "PAUSE_S", 0.0)  # between tries: tests/unit/planner/claude/test_service.py
        monkeypatch.setattr("autotune.tools.reasons.here", Places)  # the machine has no times for real programs
        self.use_key("test-key")

    def use_key(self, key: str | None) -> None:
        self.monkeypatch.setenv("ANTHROPIC_BASE_URL", self.script.url)
        if key is None:
            self.monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
        else:
            self.monkeypatch.setenv("ANTHROPIC_API_KEY", key)

    def run(self, *steps: Step, options: SessionOptions | None = None, **settings: Any) -> Session:
        self.script.steps[:] = steps
        work = workload(cwd=str(self.directory))
        with closing(Knowledge()) as knowledge, ExitStack() as stack:
            parts = Parts(Settings(**settings), work, CATALOG, self.machine, attach_spec, self.heard.append, knowledge)
            planner = stack.enter_context(planning(parts))
            return tune(
                work,
                SessionParts(self.machine, planner, self.heard.append, attach_spec),
                options or SessionOptions(seed=1),
            )

    @property
    def chosen(self) -> list[tuple[str, str]]:
        return [(event.name, event.why) for event in self.heard if isinstance(event, PlannerChosen)]

    @property
    def warned(self) -> str:
        return "\n".join(event.text for event in self.heard if isinstance(event, Warned))


def attach_spec(candidate: Candidate) -> AttachSpec:
    return AttachSpec(candidate.scheduler, "x.o")
