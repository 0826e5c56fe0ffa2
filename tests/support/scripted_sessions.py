# SPDX-License-Identifier: MIT
"""Whole sessions on a scripted machine, one after the other, with what the earlier ones left in the store."""

from __future__ import annotations

import random
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autotune.config import Settings
from autotune.events import Event, Proposed, Warned
from autotune.knowledge import versions
from autotune.knowledge.store import Knowledge
from autotune.planner.assembly import Parts, planning
from autotune.records import AttachSpec, Candidate, Session
from autotune.schedext.catalogue.catalog import Catalog
from autotune.session.options import SessionOptions
from autotune.session.parts import SessionParts
from autotune.session.recalled import Recalled
from autotune.session.tuner import tune
from tests.support.scripted_machine import ScriptedMachine
from tests.support.sessions import workload

CATALOG = Catalog.load()
THIS_FILE = Path(__file__)


class OfScheduler(dict[str, float]):
    """Seconds of a run by the scheduler alone, whatever its knobs, with noise: a standard deviation of so much."""

    def __init__(self, times: dict[str, float], noise: float = 0.0, seed: int = 0) -> None:
        super().__init__(times)
        self._noise, self._rng = noise, random.Random(seed)

    def __getitem__(self, key: str) -> float:
        return super().__getitem__(key.partition(":")[0]) * self._rng.lognormvariate(0.0, self._noise)


@dataclass
class SessionsInTurn:
    """Where sessions run one after the other."""

    directory: Path
    heard: list[Event] = field(default_factory=list)

    def run(
        self, times: dict[str, float], *, seed: int, command: str = "make -j8", noise: float = 0.0, **settings: Any
    ) -> Session:
        """Run one session as `cc` without a key would; `settings` are those of the user."""
        self.heard.clear()
        machine = ScriptedMachine(OfScheduler(times, noise, seed))
        work = workload(cwd=str(self.directory), command=command, argv=("sh", "-c", command))
        with closing(Knowledge(self.directory / "history")) as knowledge, ExitStack() as stack:
            chosen = Settings(**{"planner": "offline", **settings})
            parts = Parts(chosen, work, CATALOG, machine, resolve, self.heard.append, knowledge, seed=seed)
            planner = stack.enter_context(planning(parts))
            known = Recalled(knowledge, work, machine.info, lambda _text: None).confirmed()
            options = SessionOptions(seed=seed, tail_known=known if chosen.recall else frozenset())
            session = tune(work, SessionParts(machine, planner, self.heard.append, resolve), options)
            knowledge.record(session)
        return session

    @property
    def sets(self) -> list[list[str]]:
        """What was proposed in the last session."""
        return [[one.candidate.key for one in event.proposals] for event in self.heard if isinstance(event, Proposed)]

    @property
    def reasons(self) -> dict[str, str]:
        """Why each was proposed."""
        proposed = [one for event in self.heard if isinstance(event, Proposed) for one in event.proposals]
        return {one.candidate.key: one.reason for one in proposed}

    @property
    def warned(self) -> str:
        return "\n".join(event.text for event in self.heard if isinstance(event, Warned))


def resolve(candidate: Candidate) -> AttachSpec:
    """Resolve a candidate to a scheduler whose build never changes."""
    CATALOG.validate(candidate)
    digest = versions.of_source(str(THIS_FILE))
    return AttachSpec(candidate.key, "x.o", version="1", digest=digest, digest_of=str(THIS_FILE))
