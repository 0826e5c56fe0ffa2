# SPDX-License-Identifier: MIT
"""Undecided sessions on a scripted machine, and their continuations."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from autotune.config import Settings
from autotune.events import Listener
from autotune.knowledge.chains import Kept
from autotune.knowledge.store import Knowledge
from autotune.records import BASELINE, Candidate, Session
from autotune.session import continuation, start
from tests.support.scripted_engine import ScriptedEngine, request
from tests.support.scripted_machine import ScriptedMachine

TIMES = {BASELINE: 1.0, "at_fifo": 0.995, "at_vtime": 1.01}
"""at_fifo gains less than a few runs of this machine show, at_vtime loses."""
FASTER = TIMES | {"at_fifo": 0.97}
BOTH = (Candidate("at_fifo"), Candidate("at_vtime"))


def unheard(_event: object) -> None:
    """Listen to nothing."""


def undecided(
    place: Path, times: dict[str, float] | None = None, *, machine: ScriptedMachine | None = None, **more: Any
) -> Session:
    """Run a session of three rounds, and as many fresh pairs."""
    asked = replace(request(place, candidates=BOTH, **more), settings=Settings(seed=3, runs=3, planner="offline"))
    return start.run(asked, unheard, ScriptedEngine(machine or ScriptedMachine(dict(times or TIMES))))


def kept(name: str) -> Kept:
    with Knowledge() as knowledge:
        found = knowledge.session_named(name)
    assert found is not None
    return found


def continued(
    name: str,
    times: dict[str, float] | None = None,
    *,
    engine: ScriptedEngine | None = None,
    listener: Listener = unheard,
    **more: Any,
) -> Session:
    """Continue the session of that name by four fresh pairs at most. Raises what refuses it."""
    found = kept(name)
    continuation.require(found)
    taken = continuation.TakenUp(found.session)
    candidates = tuple(proposal.candidate for proposal in taken.proposals())
    settings = Settings(seed=4, runs=4, planner="offline")
    asked = request(Path(found.session.workload.cwd), candidates=candidates, continues=taken, **more)
    engine = engine or ScriptedEngine(ScriptedMachine(dict(times or TIMES)))
    return start.run(replace(asked, settings=settings), listener, engine)
