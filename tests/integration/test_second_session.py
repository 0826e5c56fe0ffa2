# SPDX-License-Identifier: MIT
"""A second session on the same command reaches the verdict of the first with at most half of its runs."""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from autotune.config import Settings
from autotune.events import Event, Proposed, Warned
from autotune.knowledge import versions
from autotune.knowledge.store import Knowledge
from autotune.planner.assembly import Parts, planning
from autotune.records import BASELINE, AttachSpec, Candidate, Session
from autotune.schedext.catalogue.catalog import Catalog
from autotune.schedext.programs.binaries import Places
from autotune.session.options import SessionOptions
from autotune.session.parts import SessionParts
from autotune.session.tuner import tune
from tests.support.scripted_machine import ScriptedMachine
from tests.support.sessions import workload

CATALOG = Catalog.load()
THIS_FILE = Path(__file__)
FASTER = {BASELINE: 1.0, "at_batch": 0.8, "at_fifo": 1.2, "at_vtime": 1.0, "at_interactive": 1.3}
NOTHING = {BASELINE: 1.0, "at_batch": 1.001, "at_fifo": 1.2, "at_vtime": 1.3, "at_interactive": 1.3}


class OfScheduler(dict[str, float]):
    """Seconds of a run, by the scheduler alone: its knobs change nothing."""

    def __missing__(self, key: str) -> float:
        return self[key.partition(":")[0]]


@dataclass
class Place:
    """Where sessions run one after the other."""

    directory: Path
    heard: list[Event] = field(default_factory=list)

    def run(self, times: dict[str, float], *, seed: int, **settings: Any) -> Session:
        self.heard.clear()
        machine = ScriptedMachine(OfScheduler(times))
        work = workload(cwd=str(self.directory))
        with closing(Knowledge(self.directory / "history")) as knowledge, ExitStack() as stack:
            chosen = Settings(**{"planner": "offline", **settings})
            parts = Parts(chosen, work, CATALOG, machine, resolve, self.heard.append, knowledge, seed=seed)
            planner = stack.enter_context(planning(parts))
            session = tune(work, SessionParts(machine, planner, self.heard.append, resolve), SessionOptions(seed=seed))
            knowledge.record(session)
        return session

    @property
    def sets(self) -> list[list[str]]:
        return [[one.candidate.key for one in event.proposals] for event in self.heard if isinstance(event, Proposed)]

    @property
    def warned(self) -> str:
        return "\n".join(event.text for event in self.heard if isinstance(event, Warned))


def resolve(candidate: Candidate) -> AttachSpec:
    CATALOG.validate(candidate)
    digest = versions.of_source(str(THIS_FILE))
    return AttachSpec(candidate.key, "x.o", version="1", digest=digest, digest_of=str(THIS_FILE))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setattr("autotune.tools.reasons.here", Places)  # no program is installed
    return Place(tmp_path)


def test_a_known_winner_is_confirmed_with_half_the_runs(place: Place) -> None:
    first = place.run(FASTER, seed=1)
    second = place.run(FASTER, seed=2)
    assert first.winner is not None
    assert second.winner == first.winner
    assert place.sets == [[first.winner]]
    assert len(second.trials) <= len(first.trials) / 2
    assert "is known from an earlier session and is ahead again, so nothing else is tried" in place.warned


def test_where_nothing_wins_that_is_checked_with_half_the_runs(place: Place) -> None:
    first = place.run(NOTHING, seed=1)
    second = place.run(NOTHING, seed=2)
    assert (first.winner, second.winner) == (None, None)
    assert len(second.trials) <= len(first.trials) / 2


def test_a_winner_that_wins_no_more_is_found_out_and_others_are_tried(place: Place) -> None:
    first = place.run(FASTER, seed=1)
    assert str(first.winner).startswith("at_batch")
    second = place.run({**FASTER, "at_batch": 1.2, "at_vtime": 0.8}, seed=2)
    assert str(second.winner).startswith("at_vtime")
    assert place.sets[0] == [first.winner]


def test_what_was_slower_here_is_not_tried_again_and_that_is_said(place: Place) -> None:
    place.run(FASTER, seed=1)
    place.run({**FASTER, "at_batch": 1.2}, seed=2)
    tried = [key for one_set in place.sets for key in one_set]
    assert "at_fifo" not in tried
    assert "at_fifo is not tried again: it was shown slower" in place.warned


def test_all_is_tried_anew_where_the_user_wants_that(place: Place) -> None:
    place.run(FASTER, seed=1)
    known = list(place.sets)
    place.run(FASTER, seed=1, recall=False)
    assert place.sets[0] == known[0]


def test_another_command_of_the_same_program_begins_with_its_winner(place: Place) -> None:
    first = place.run(FASTER, seed=1)
    with closing(Knowledge(place.directory / "history")) as knowledge:
        work = workload(cwd=str(place.directory), command="make -C b -j4", argv=("sh", "-c", "make -C b -j4"))
        machine = ScriptedMachine(OfScheduler(FASTER))
        parts = Parts(
            Settings(planner="offline"), work, CATALOG, machine, resolve, place.heard.append, knowledge, seed=3
        )
        place.heard.clear()
        with planning(parts) as planner:
            tune(work, SessionParts(machine, planner, place.heard.append, resolve), SessionOptions(seed=3))
    assert place.sets[0][0] == first.winner
    proposed = next(event for event in place.heard if isinstance(event, Proposed))
    assert "the same program in the same shape, make, with -j: 'make -j8'" in proposed.proposals[0].reason
    assert replace(first, trials=()) != first
