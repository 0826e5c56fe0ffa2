# SPDX-License-Identifier: MIT
"""Whole sessions whose knobs are searched, on a machine whose times follow from the settings."""

from __future__ import annotations

import math
import sys
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from autotune.config import Settings
from autotune.errors import PlannerError
from autotune.events import Event, PlannerChosen, Proposed, Warned
from autotune.knowledge.store import Knowledge
from autotune.machine.base import OutputHandler
from autotune.planner.assembly import Parts, planning
from autotune.records import BASELINE, AttachSpec, Candidate, Measurement, RunSpec, Session
from autotune.schedext.catalogue.catalog import Catalog
from autotune.schedext.programs.binaries import Places
from autotune.session.options import SessionOptions
from autotune.session.parts import SessionParts
from autotune.session.tuner import tune
from tests.support.scripted_machine import ScriptedMachine
from tests.support.sessions import workload

pytestmark = pytest.mark.slow

CATALOG = Catalog.load()
BEST_US = 2000
"""Slice of at_batch that is best on this machine, with the longest tasks first."""


class Times(dict[str, float]):
    """Seconds of a run under a candidate, by its key."""

    def __missing__(self, key: str) -> float:
        if key == BASELINE:
            return 1.0
        candidate = CATALOG.parse_candidate(key)
        if candidate.scheduler != "at_batch":
            return 1.05
        settings = dict(candidate.knobs)
        far = abs(math.log10(float(settings.get("slice_us", 20000)) / BEST_US))
        return 0.9 + 0.08 * far - 0.05 * bool(settings.get("long_first", False))


class Short(frozenset[str]):
    """Candidates with the shortest slices: the kernel ejects them."""

    def __contains__(self, key: object) -> bool:
        knobs = dict(CATALOG.parse_candidate(str(key)).knobs) if key != BASELINE else {}
        return float(knobs.get("slice_us", 20000)) < 1500


class Timed(ScriptedMachine):
    """Its runs move the clock of the session. Ctrl-C comes in the given run of candidates with settings, which are in
    the second set and later ones."""

    def __init__(self, interrupted: int = sys.maxsize) -> None:
        super().__init__(Times())
        self.now_s = 0.0
        self._interrupted = interrupted
        self._searched = 0

    def measure(self, spec: RunSpec, ops: str | None, on_output: OutputHandler | None = None) -> Measurement:
        self._searched += ":" in (ops or "")
        if self._searched == self._interrupted:
            raise KeyboardInterrupt
        measured = super().measure(spec, ops, on_output)
        self.now_s += measured.run.wall_s
        return measured


@dataclass
class Place:
    """Where sessions run one after the other; what they found is kept."""

    directory: Path
    heard: list[Event] = field(default_factory=list)
    ejects: frozenset[str] = frozenset()

    def run(self, planner: str = "search", seed: int = 1, on: Timed | None = None, **options: Any) -> Session:
        """Run one session: on a machine whose runs take no time, unless another is given."""
        self.heard.clear()
        machine = on or ScriptedMachine(Times(), ejects=self.ejects)
        clock = (lambda: on.now_s) if on else time.monotonic
        work = workload(cwd=str(self.directory))
        settings = Settings(planner=planner)  # type: ignore[arg-type]
        with closing(Knowledge(self.directory / "history")) as knowledge, ExitStack() as stack:
            parts = Parts(settings, work, CATALOG, machine, resolve, self.heard.append, knowledge, seed=seed)
            given = SessionOptions(seed=seed, **options)
            session = tune(
                work,
                SessionParts(machine, stack.enter_context(planning(parts)), self.heard.append, resolve, clock=clock),
                given,
            )
            knowledge.record(session)
        return session

    @property
    def sets(self) -> list[list[Candidate]]:
        return [[one.candidate for one in event.proposals] for event in self.heard if isinstance(event, Proposed)]


def resolve(candidate: Candidate) -> AttachSpec:
    CATALOG.validate(candidate)
    return AttachSpec(candidate.key, "x.o")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setattr("autotune.tools.reasons.here", Places)  # no program is installed
    return Place(tmp_path)


def test_a_session_finds_better_settings_than_the_defaults(place: Place) -> None:
    session = place.run()
    assert session.planner == "search"
    assert session.failure is None
    assert session.winner is not None
    assert Times()[session.winner] < Times()["at_batch"] - 0.05
    assert [len(one) for one in place.sets] == [4, 6, 6, 6]
    everyone = [one for one_set in place.sets for one in one_set]
    assert len(set(everyone)) == len(everyone)
    assert {one.scheduler for one in place.sets[-1]} == {"at_batch"}


def test_defaults_that_lose_to_eevdf_do_not_end_the_search(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = Times.__missing__
    monkeypatch.setattr(Times, "__missing__", lambda self, key: usual(self, key) + (0.06 if key != BASELINE else 0.0))
    session = place.run()
    assert Times()["at_batch"] > 1.03
    assert session.winner is not None
    assert session.winner.startswith("at_batch:")


def test_the_same_seed_gives_the_same_session(place: Place, tmp_path: Path) -> None:
    place.run(seed=5)
    first = list(place.sets)
    (tmp_path / "other").mkdir()
    again = Place(tmp_path / "other")
    again.run(seed=5)
    assert again.sets == first


def test_the_next_session_begins_with_what_won(place: Place) -> None:
    won = place.run(seed=1).winner
    second = place.run(seed=2)
    assert place.sets[0][0].key == won
    assert second.winner is not None
    assert Times()[second.winner] <= Times()[str(won)] + 0.01


def test_what_is_ejected_is_left_and_never_wins(place: Place) -> None:
    place.ejects = Short()
    session = place.run(seed=3)
    everyone = [one for one_set in place.sets for one in one_set]
    assert len(set(everyone)) == len(everyone)
    assert session.winner is not None
    assert session.winner not in Short()
    late = [one for one_set in place.sets[2:] for one in one_set]
    assert sum(one.key in Short() for one in late) <= len(late) // 2


def test_the_offline_planner_searches_after_its_first_set(place: Place) -> None:
    session = place.run("offline")
    assert session.planner == "offline"
    assert not any(isinstance(event, PlannerChosen) for event in place.heard)
    assert any(len(one.knobs) > 1 for one in place.sets[1])


@pytest.mark.parametrize("planner", ["offline", "auto"])
def test_without_the_extra_the_offline_planner_goes_on(
    place: Place, monkeypatch: pytest.MonkeyPatch, planner: str
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    session = place.run(planner)
    assert session.planner == "offline"
    assert session.winner is not None
    assert {len(one.knobs) for one in place.sets[1]} == {1}  # one knob of a leader at a time
    assert not any("optuna" in event.why for event in place.heard if isinstance(event, PlannerChosen))
    assert not any("optuna" in event.text for event in place.heard if isinstance(event, Warned))


def test_a_search_without_the_extra_is_one_line_that_names_it(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(PlannerError) as caught:
        place.run("search")
    assert "pip install 'autotune-sched[search]'" in caught.value.hint
    assert place.sets == []


def test_a_damaged_store_costs_a_warning_and_not_the_session(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_given: object, **_more: object) -> Any:
        from autotune.errors import BusyError

        raise BusyError("the history is busy")

    monkeypatch.setattr(Knowledge, "sessions_of", broken)
    session = place.run()
    assert session.winner is not None
    assert any("the history is busy" in event.text for event in place.heard if isinstance(event, Warned))


@pytest.mark.parametrize("budget_s", [12.0, 25.0, 40.0, 70.0, 110.0, 160.0])
def test_a_budget_that_ends_in_the_middle_leaves_a_whole_report(place: Place, budget_s: float) -> None:
    machine = Timed()
    session = place.run(on=machine, budget_s=budget_s)
    assert session.failure is None
    assert not session.interrupted
    assert machine.now_s < budget_s + 3
    assert [one for one in session.results if one.candidate.key != BASELINE]
    tried = {one.key for one_set in place.sets for one in one_set}
    assert {one.candidate for one in session.trials} <= {BASELINE, *tried}


def test_ctrl_c_in_a_later_set_keeps_what_was_measured(place: Place) -> None:
    machine = Timed(interrupted=4)
    session = place.run(on=machine)
    assert session.interrupted
    assert len(place.sets) == 2
    assert machine.attached is None
    measured = {one.candidate for one in session.trials}
    assert {one.key for one in place.sets[0]} < measured
    assert measured & {one.key for one in place.sets[1]}


@pytest.mark.parametrize("planner", ["search", "offline"])
def test_the_users_own_candidates_are_the_only_ones(place: Place, planner: str) -> None:
    chosen = (Candidate("at_batch"), Candidate("at_fifo", (("slice_us", 1000),)))
    place.run(planner, user_candidates=chosen)
    assert place.sets == [list(chosen)]
