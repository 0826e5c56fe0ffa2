# SPDX-License-Identifier: MIT
"""What every planner promises (`planner.base.Planner`), as tests that each implementation inherits.

The laws are those that the tuner relies on:
- each proposal resolves in the catalogue, can run on the machine, and has a reason in one line;
- none has the settings of what was tried, or of another in the list;
- there are at most as many as the situation affords: none, at no cost, when it affords none;
- an empty list ends planning;
- when `propose` returns or raises, nothing is attached, and the situation is as it was;
- it raises PlannerError only, and does so rather than take longer than the time that is left;
- proposals survive the way through a record;
- there is always a name; what was spent only grows; a transcript is a file; a remark is given once;
- what was opened for a planner may be closed twice.

A class of `test_planners.py` inherits PlannerSuite and sets a Rig up. Many situations are tried: a Story is a session
as the planner sees it, with a seed for all that lies outside of the planner, such as what a model answers.
"""

from __future__ import annotations

import contextlib
import copy
import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from autotune.errors import PlannerError, UsageError
from autotune.planner.base import Planner, Situation
from autotune.records import (
    Candidate,
    CandidateResult,
    Interval,
    KnobValue,
    Observation,
    Proposal,
    Spending,
    Verdict,
)
from autotune.schedext.catalogue.catalog import Catalog
from autotune.wire import from_json, to_json
from tests.support.sessions import OBSERVED, a_situation, machine, workload

GENEROUS_S = 60.0
"""Keeps a test that hangs from hanging for ever; says nothing about speed."""
SHORT_S = 0.3
"""The time that is left where nobody answers."""
TRAITS = ("several_llcs", "numa", "core_types", "smt")
VERDICTS: tuple[Verdict, ...] = ("faster", "slower", "same", "undecided", "invalid")
STRANGER = Candidate("custom:stranger")
"""A scheduler that somebody else brought into the race: a model wrote it meanwhile."""


@dataclass
class Rig:
    """A kind of planner with what its tests must know of it."""

    catalog: Catalog
    """What there is to propose."""
    begin: Callable[[int], Planner]
    """A new planner of this kind. The seed decides what lies outside of it."""
    stalled: Callable[[], Planner]
    """A planner that nobody answers."""
    unusable: frozenset[str] = frozenset()
    """Schedulers that cannot run on the machine."""
    attached: Callable[[], bool] = lambda: False
    """Whether the machine has a scheduler attached, by its own word."""
    close: Callable[[], None] = lambda: None
    """Close what was opened for the planner that began last."""
    silence_s: float = GENEROUS_S
    """How long it takes until the stalled planner is answered after all."""


# --- stories ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Story:
    """A session as a planner sees it: how it opens, what each turn affords, and a seed for the rest."""

    opening: Situation
    affordable: tuple[int, ...]
    seed: int


@dataclass(frozen=True)
class Turn:
    """What a planner was shown (`shown` is a copy from before), and what came of it."""

    situation: Situation
    shown: Situation
    proposals: tuple[Proposal, ...] = ()
    error: Exception | None = None


def _shares() -> st.SearchStrategy[float]:
    return st.floats(0.0, 1.0)


def observations() -> st.SearchStrategy[Observation]:
    return st.builds(
        replace,
        st.just(OBSERVED),
        cpu_utilisation=_shares(),
        run_wait_share=st.none() | _shares(),
        pressure_cpu_share=st.none() | _shares(),
        context_switches_per_s=st.floats(0.0, 1e5),
        involuntary_share=_shares(),
        forks_per_s=st.floats(0.0, 1e4),
    )


def openings() -> st.SearchStrategy[Situation]:
    return st.builds(
        a_situation,
        machine=st.builds(machine, traits=st.none() | st.lists(st.sampled_from(TRAITS), unique=True).map(tuple)),
        workload=st.builds(workload, metric_regex=st.sampled_from((None, r"score (\S+)"))),
        observation=observations(),
        budget_left_s=st.floats(60.0, 3600.0),
    )


def stories(*, least: int = 0) -> st.SearchStrategy[Story]:
    """Sessions of a few turns, each of which affords `least` candidates or more."""
    affordable = st.lists(st.integers(least, 9), min_size=1, max_size=4).map(tuple)
    return st.builds(Story, openings(), affordable, st.integers(0, 1_000))


def turns_of(rig: Rig, story: Story, planner: Planner | None = None) -> Iterator[Turn]:
    """Play a session: each turn measures what was proposed, until the planner raises."""
    planner = rig.begin(story.seed) if planner is None else planner
    rng = random.Random(story.seed)
    situation = story.opening
    for affordable in story.affordable:
        situation = replace(situation, candidates_affordable=affordable)
        shown = copy.deepcopy(situation)
        try:
            proposals = tuple(planner.propose(situation))
        except Exception as error:
            yield Turn(situation, shown, error=error)
            return
        yield Turn(situation, shown, proposals)
        situation = _measured(situation, proposals, rng)


def _measured(situation: Situation, proposals: Sequence[Proposal], rng: random.Random) -> Situation:
    """The next situation. One in five candidates could not be built; now and then there is a stranger in the race."""
    taken = [one for one in proposals if rng.random() < 0.8]
    refused = tuple(f"{one.candidate.key}: it cannot be built" for one in proposals if one not in taken)
    fresh = [_outcome(one, rng) for one in taken]
    known = {result.candidate for result in situation.results}
    if STRANGER not in known and rng.random() < 0.3:
        fresh.append(_outcome(Proposal(STRANGER, "it was written meanwhile"), rng))
    results = sorted((*situation.results, *fresh), key=lambda one: -(one.speedup.estimate if one.speedup else 0.0))
    left_s = max(1.0, situation.budget_left_s * rng.random())
    return replace(situation, results=tuple(results), refused=refused, budget_left_s=left_s)


def _outcome(proposal: Proposal, rng: random.Random) -> CandidateResult:
    verdict = rng.choice(VERDICTS)
    speedup = None if verdict == "invalid" else rng.uniform(0.5, 1.5)
    interval = None if speedup is None else Interval(speedup, speedup * 0.98, speedup * 1.02, 0.95)
    return CandidateResult(proposal.candidate, proposal.reason, verdict, interval, 2.0, 4, 0, False)


laws = settings(
    max_examples=6,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=[HealthCheck.differing_executors, HealthCheck.too_slow],
)
"""Few examples, since some planners ask a server; each run tries others."""


# --- the suite -------------------------------------------------------------------------------------------


class PlannerSuite:
    """What holds for every planner."""

    @laws
    @given(stories())
    def test_it_proposes_what_the_catalogue_resolves_and_the_machine_can_run(self, rig: Rig, story: Story) -> None:
        for turn in turns_of(rig, story):
            for proposal in turn.proposals:
                assert _resolves(rig.catalog, proposal.candidate)
                assert proposal.candidate.scheduler not in rig.unusable

    @laws
    @given(stories())
    def test_it_repeats_neither_what_was_tried_nor_itself(self, rig: Rig, story: Story) -> None:
        for turn in turns_of(rig, story):
            tried = [_meaning(rig.catalog, result.candidate) for result in turn.situation.results]
            proposed = [_meaning(rig.catalog, one.candidate) for one in turn.proposals]
            assert len(set(proposed)) == len(proposed)
            assert not set(proposed) & set(tried)

    @laws
    @given(stories())
    def test_it_proposes_no_more_than_the_situation_affords(self, rig: Rig, story: Story) -> None:
        for turn in turns_of(rig, story):
            assert len(turn.proposals) <= turn.situation.candidates_affordable

    @laws
    @given(stories())
    def test_where_nothing_is_affordable_it_proposes_nothing_and_that_costs_nothing(
        self, rig: Rig, story: Story
    ) -> None:
        planner = rig.begin(story.seed)
        last = replace(story.opening, candidates_affordable=0)
        for turn in turns_of(rig, story, planner):
            last = replace(turn.situation, candidates_affordable=0)
        before = planner.spending
        assert list(planner.propose(last)) == []
        assert planner.spending == before

    @laws
    @given(stories(least=1))
    def test_an_empty_list_ends_planning(self, rig: Rig, story: Story) -> None:
        planner = rig.begin(story.seed)
        for turn in turns_of(rig, story, planner):
            if turn.error is None and not turn.proposals:
                assert list(planner.propose(turn.situation)) == []
                return

    @laws
    @given(stories())
    def test_each_proposal_says_why_in_one_line(self, rig: Rig, story: Story) -> None:
        for turn in turns_of(rig, story):
            for proposal in turn.proposals:
                assert proposal.reason.strip()
                assert len(proposal.reason.splitlines()) == 1

    @laws
    @given(stories())
    def test_proposals_survive_the_way_through_a_record(self, rig: Rig, story: Story) -> None:
        for turn in turns_of(rig, story):
            for proposal in turn.proposals:
                assert _survives(proposal)

    @laws
    @given(stories())
    def test_the_situation_is_left_as_it_was(self, rig: Rig, story: Story) -> None:
        for turn in turns_of(rig, story):
            assert turn.situation == turn.shown

    @laws
    @given(stories())
    def test_nothing_is_attached_afterwards(self, rig: Rig, story: Story) -> None:
        for _turn in turns_of(rig, story):
            assert not rig.attached()

    @laws
    @given(stories())
    def test_it_raises_planner_errors_only(self, rig: Rig, story: Story) -> None:
        for turn in turns_of(rig, story):
            if turn.error is not None:
                assert isinstance(turn.error, PlannerError), repr(turn.error)
                assert turn.error.message

    def test_it_ends_within_the_time_that_is_left_though_nobody_answers(self, rig: Rig) -> None:
        planner = rig.stalled()
        started = time.monotonic()
        with contextlib.suppress(PlannerError):
            planner.propose(a_situation(budget_left_s=SHORT_S))
        assert time.monotonic() - started < rig.silence_s, "it waited for its answer"
        assert not rig.attached()

    @laws
    @given(stories())
    def test_what_was_opened_for_it_may_be_closed_twice(self, rig: Rig, story: Story) -> None:
        list(turns_of(rig, story))
        for _ in range(2):
            try:
                rig.close()
            except Exception as error:
                raise AssertionError(f"closing raised {error!r}") from error
            assert not rig.attached()

    @laws
    @given(stories())
    def test_it_always_has_a_name(self, rig: Rig, story: Story) -> None:
        planner = rig.begin(story.seed)
        for name in (planner.name, *(planner.name for _turn in turns_of(rig, story, planner))):
            assert name.strip() == name
            assert len(name.splitlines()) == 1
            assert planner.name == planner.name  # looking changes nothing

    @laws
    @given(stories())
    def test_what_it_spent_is_a_record_that_only_grows(self, rig: Rig, story: Story) -> None:
        planner = rig.begin(story.seed)
        before = planner.spending
        for _turn in turns_of(rig, story, planner):
            after = planner.spending
            assert (after is None) == (before is None)
            if after is not None and before is not None:
                assert from_json(Spending, json.loads(json.dumps(to_json(after)))) == after
                assert after.model == before.model
                assert all(new >= old for new, old in zip(_amounts(after), _amounts(before), strict=True))
            before = after

    @laws
    @given(stories())
    def test_a_transcript_is_a_file_that_only_the_user_can_read(self, rig: Rig, story: Story) -> None:
        planner = rig.begin(story.seed)
        for _turn in turns_of(rig, story, planner):
            if planner.transcript is not None:
                path = Path(planner.transcript)
                assert path.is_file()
                assert path.stat().st_mode & 0o077 == 0

    @laws
    @given(stories())
    def test_a_remark_is_one_line_and_given_once(self, rig: Rig, story: Story) -> None:
        planner = rig.begin(story.seed)
        given_: list[str] = []
        for _turn in turns_of(rig, story, planner):
            remarks = list(planner.remarks())
            assert all(len(remark.splitlines()) == 1 for remark in remarks)
            assert list(planner.remarks()) == []
            given_ += remarks
        assert len(set(given_)) == len(given_)


# --- what the laws compare -------------------------------------------------------------------------------


def _resolves(catalog: Catalog, candidate: Candidate) -> bool:
    try:
        catalog.validate(candidate)
    except UsageError:
        return False
    return True


def _survives(proposal: Proposal) -> bool:
    try:
        text = json.dumps(to_json(proposal), ensure_ascii=False, allow_nan=False).encode()
        return len({proposal, from_json(Proposal, json.loads(text))}) == 1
    except (TypeError, ValueError):  # a value of another kind, or a text that is no text
        return False


def _meaning(catalog: Catalog, candidate: Candidate) -> tuple[str, frozenset[tuple[str, KnobValue]]]:
    """The settings that differ from the defaults: 10 is 10.0, and a default that is named changes nothing."""
    if candidate == STRANGER:
        return (candidate.scheduler, frozenset())
    scheduler = catalog.get(candidate.scheduler)
    changed = {(name, value) for name, value in candidate.knobs if value != scheduler.knob(name).default}
    return (candidate.scheduler, frozenset(changed))


def _amounts(spent: Spending) -> Iterator[float]:
    for value in to_json(spent).values():
        if isinstance(value, (int, float)):
            yield value
