# SPDX-License-Identifier: MIT
"""A conversation with all that is around it, against a local server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from autotune.events import Event
from autotune.knowledge.store import Knowledge
from autotune.planner.base import Situation
from autotune.planner.claude import cost
from autotune.planner.claude.conversation import Conversation, PlanningLimits
from autotune.planner.claude.credentials import Credentials
from autotune.planner.claude.service import ClaudeService
from autotune.planner.claude.transcript import Transcript
from autotune.records import AttachSpec, Output
from autotune.redact import Redactor
from autotune.schedext.catalogue.catalog import Catalog
from autotune.tools.rehearsal import Rehearsal
from autotune.tools.toolbox import Toolbox
from tests.support.messages_server import Script
from tests.support.scripted_machine import ScriptedMachine
from tests.support.sessions import a_situation

MODEL = "claude-opus-5-5"
CATALOG = Catalog.load()
FAKE_KEY = "sk-ant-" + "api03-" + "Ab1" * 20


@dataclass
class Planning:
    """A conversation with all that is around it."""

    script: Script
    directory: Path
    limits: PlanningLimits = field(default_factory=PlanningLimits)
    show_output: bool = True
    silence_s: float = 20.0
    key: str = "test-key"
    budget_s: float = 600.0
    retries: int = 2
    pause: Callable[[float], None] = lambda _s: None
    heard: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.redactor = Redactor({})
        self.machine = ScriptedMachine({})
        self.rehearsal = Rehearsal(self.machine, lambda one: AttachSpec(one.scheduler, "x.o"), limit_s=0.5)
        history = Knowledge(self.directory / "state" / "history.sqlite3")
        self.toolbox = Toolbox(CATALOG, self.rehearsal, history, self.directory, self.redactor)
        self.transcript = Transcript(self.redactor, self.directory / "transcripts")
        service = ClaudeService(
            Credentials(self.key, None, self.script.url, "a test"),
            silence_s=self.silence_s,
            retries=self.retries,
            pause=self.pause,
        )
        self.planner = Conversation(
            service=service,
            tools=self.toolbox,
            account=cost.Bill(MODEL, cost.load(None)),
            transcript_file=self.transcript,
            redact=self.redactor.text,
            listener=self.heard.append,
            model=MODEL,
            budget_s=self.budget_s,
            limits=self.limits,
            show_output=self.show_output,
            release=self.rehearsal.release,
            away_s=lambda: self.rehearsal.took_s,
        )

    def propose(self, situation: Situation | None = None) -> list[str]:
        proposals = self.planner.propose(situation or a_situation())
        return [proposal.candidate.key for proposal in proposals]

    def results(self) -> list[dict[str, Any]]:
        """The tool results of the last request, as the model got them."""
        last = self.script.requests[-1]["messages"][-1]["content"]
        return [block for block in last if block["type"] == "tool_result"]


def noisy(output: str) -> Situation:
    situation = a_situation()
    stream = Output(output, "", len(output), 0)
    return replace(situation, run=replace(situation.run, stdout=stream, stderr=stream))
