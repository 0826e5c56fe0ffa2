# SPDX-License-Identifier: MIT
"""The planner without key or network: it matches the baseline with tags of the catalogue, then varies the knobs of the
leaders.

First set: each trait of the baseline (busy CPUs, waiting tasks, many forks, ...) is a vote for the schedulers with a
matching tag. Our own schedulers and programs alternate, so that the set stays varied; what was confirmed
here before (`verdict.promotion`) goes before what was not. Later sets: one knob of a leader
at a time, one step up and one step down; for programs also their profiles. A knob that helped makes a new leader, so
the next set goes further in that direction.

It skips what cannot run on this machine (`reasons.unusable`), programs that are not made for production, knobs without
effect here, and settings that conflict.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from autotune.frozen import dataclass
from autotune.planner.base import Situation
from autotune.planner.knob_space import can_be_turned, goes_together, profiles
from autotune.records import Candidate, CandidateResult, KnobValue, MachineInfo, Observation, Proposal
from autotune.schedext.catalogue.catalog import Catalog, Scheduler
from autotune.schedext.catalogue.knobs import Knob
from autotune.verdict.promotion import Promotion

T = TypeVar("T")
FIRST_SET = 6
LATER_SET = 3
LEAST_POSSIBLE = 0.03
"""Where the best order of tasks could save less, no run is spent on one: watching costs about as much."""
VOTES_OF: Mapping[str, int] = {"proven": 2, "trusted": 3}
"""What a standing counts for beside the traits of the baseline: a generated scheduler has no tags that suit traits."""
STEP = 4
"""Factor between neighbouring values of a number; the effect of smaller steps rarely exceeds the noise."""


@dataclass(frozen=True)
class Trait:
    """A property of the baseline: a test for it, the scheduler tags that suit it, and its description."""

    shows: Callable[[Observation], bool]
    tags: frozenset[str]
    because: Callable[[Observation], str]


def _waiting(seen: Observation) -> float:
    """Return the share of time that tasks waited for a CPU; 0 where the kernel does not report it."""
    return seen.pressure_cpu_share if seen.pressure_cpu_share is not None else (seen.run_wait_share or 0.0)


TRAITS = (
    Trait(
        lambda seen: seen.cpu_utilisation >= 0.75 and _waiting(seen) >= 0.2,
        frozenset({"throughput", "batch"}),
        lambda seen: f"the CPUs are {seen.cpu_utilisation:.0%} busy and tasks wait {_waiting(seen):.0%} of the time",
    ),
    Trait(
        lambda seen: seen.forks_per_s >= 20 * seen.cpus,
        frozenset({"build", "fork-heavy"}),
        lambda seen: f"it starts {seen.forks_per_s:.0f} processes a second",
    ),
    Trait(
        lambda seen: seen.involuntary_share >= 0.4 and seen.cpu_utilisation >= 0.5,
        frozenset({"throughput", "batch"}),
        lambda seen: f"{seen.involuntary_share:.0%} of its switches are preemptions",
    ),
    Trait(
        lambda seen: seen.context_switches_per_s >= 2000 * seen.cpus,
        frozenset({"latency", "interactive"}),
        lambda seen: f"it switches tasks {seen.context_switches_per_s:.0f} times a second",
    ),
    Trait(
        lambda seen: seen.cpu_utilisation <= 0.5,
        frozenset({"latency", "interactive", "io"}),
        lambda seen: f"the CPUs are only {seen.cpu_utilisation:.0%} busy, so what counts is how fast tasks wake",
    ),
)


class OfflinePlanner:
    """Proposes candidates from the catalogue alone."""

    name = "offline"
    spending = None
    transcript = None

    def __init__(
        self, catalog: Catalog, unusable: Container[str] = (), standings: Mapping[str, Promotion] | None = None
    ) -> None:
        """Propose from the catalogue as it is at each turn, but for the schedulers that are `unusable` here.
        `standings` are those of generated ones, by name: a good standing counts like votes."""
        self._catalog = catalog
        self._unusable = unusable
        self._standings = standings or {}
        self._proposed: set[Candidate] = set()
        """Also what was refused: it would be refused again."""

    def remarks(self) -> Sequence[str]:
        return ()

    def propose(self, situation: Situation) -> Sequence[Proposal]:
        is_first = not situation.results
        most = FIRST_SET if is_first else LATER_SET
        proposals = self._first(situation) if is_first else self._later(situation)
        fresh = [one for one in proposals if one.candidate not in self._proposed]
        chosen = fresh[: max(0, min(most, situation.candidates_affordable))]
        self._proposed.update(one.candidate for one in chosen)
        return chosen

    def _offered(self, situation: Situation) -> dict[str, Scheduler]:
        known = situation.expected is not None
        usable = (one for one in self._catalog.schedulers if one.name not in self._unusable)
        return {one.name: one for one in usable if known or not one.requirements.profile}

    # --- the first set ---

    def _first(self, situation: Situation) -> list[Proposal]:
        """Return the schedulers by votes. A program needs at least one: there are many, and each costs runs."""
        seen = situation.observation
        shown = [trait for trait in TRAITS if trait.shows(seen)]
        ranked = sorted(
            self._offered(situation).values(),
            key=lambda one: (-len(_votes(one, shown)) - self._promoted(one), -self._promoted(one)),
        )
        guided = [one for one in ranked if one.requirements.profile]
        ours = [one for one in ranked if one.kind == "bpf" and one not in guided]
        programs = [one for one in ranked if _is_worth_a_try(one) and _votes(one, shown)]
        others = [self._proposal(scheduler, _votes(scheduler, shown), seen) for scheduler in _by_turns(ours, programs)]
        return [*_guided(guided, situation), *others]

    def _promoted(self, scheduler: Scheduler) -> int:
        """Return how many votes a standing counts for."""
        standing = self._standings.get(scheduler.name)
        return 0 if standing is None else VOTES_OF.get(standing.standing, 0)

    def _proposal(self, scheduler: Scheduler, votes: list[Trait], seen: Observation) -> Proposal:
        usual = _proposal(scheduler, votes, seen)
        if not self._promoted(scheduler):
            return usual
        known = self._standings[scheduler.name]
        earned = f"it is {known.standing} ({known.why[0]})"
        reason = f"{usual.reason}; {earned}" if votes else earned
        return replace(usual, reason=reason, expected="faster")

    # --- later sets ---

    def _later(self, situation: Situation) -> list[Proposal]:
        """Vary the leaders that are in the catalogue: another planner may have proposed from a larger one."""
        offered = self._offered(situation)
        known = [result for result in situation.results if result.candidate.scheduler in offered]
        tried = {_without_defaults(offered[one.candidate.scheduler], one.candidate.knobs) for one in known}
        proposals = []
        for place, leader in enumerate(leaders(known)):
            scheduler = offered[leader.candidate.scheduler]
            for proposal in _variations(leader, place_of(leader, place), scheduler, situation.machine):
                if proposal.candidate not in tried:
                    tried.add(proposal.candidate)
                    proposals.append(proposal)
        return proposals


def _votes(scheduler: Scheduler, shown: Iterable[Trait]) -> list[Trait]:
    return [trait for trait in shown if trait.tags & set(scheduler.tags)]


def _is_worth_a_try(one: Scheduler) -> bool:
    """Return True for a program whose makers do not call it an example or a test."""
    return one.kind == "binary" and one.production_ready is not False


def _by_turns(*kinds: Sequence[T]) -> list[T]:
    """Interleave the groups: the first of each, then the second of each, and so on."""
    rows = itertools.zip_longest(*kinds)
    return [one for row in rows for one in row if one is not None]


def _guided(schedulers: Iterable[Scheduler], situation: Situation) -> Iterator[Proposal]:
    """Yield the schedulers that go by what is known of the tasks, where an order of tasks can win something."""
    profile, expected = situation.profile, situation.expected
    if profile is None or expected is None or profile.possible < LEAST_POSSIBLE:
        return
    known = len(expected.chains_ns)
    how = f", {len(expected.by_order)} of them by their order of start" if expected.by_order else ""
    for scheduler in schedulers:
        reason = (
            f"a watched run shows that an order of tasks can save up to {profile.possible:.0%}; "
            f"how long {known} tasks and what follows them take is known{how}"
        )
        yield Proposal(scheduler.candidate({}), reason, "faster")


def _proposal(scheduler: Scheduler, votes: list[Trait], seen: Observation) -> Proposal:
    candidate = scheduler.candidate({})
    if not votes:
        return Proposal(candidate, "no hint from the baseline; tried as a default", "about the same")
    tags = ", ".join(sorted(set(scheduler.tags) & votes[0].tags))
    return Proposal(candidate, f"{votes[0].because(seen)}, and it is made for {tags}", "faster")


def leaders(results: Iterable[CandidateResult]) -> list[CandidateResult]:
    """Return the best three that ran and are not clearly slower."""
    return [item for item in results if item.speedup is not None and item.verdict not in ("invalid", "slower")][:3]


def _variations(leader: CandidateResult, place: str, scheduler: Scheduler, machine: MachineInfo) -> Iterator[Proposal]:
    """Yield the leader with one knob changed or with a profile, skipping settings that its rules refuse. `place` says
    where it stands in the race."""
    named = f"{leader.candidate.short} {place}"
    turned = _turned(leader, named, scheduler, machine)
    profiled = [(settings, profile_reason(named, name)) for name, settings in profiles(scheduler)]
    for knobs, why in _by_turns(list(turned), profiled):
        if goes_together(scheduler, knobs):
            yield Proposal(_without_defaults(scheduler, knobs.items()), why, "better than its neighbour")


def _without_defaults(scheduler: Scheduler, knobs: Iterable[tuple[str, KnobValue]]) -> Candidate:
    """The same settings are the same candidate, whether defaults are named or not."""
    return scheduler.candidate(dict(knobs))


def _turned(
    leader: CandidateResult, named: str, scheduler: Scheduler, machine: MachineInfo
) -> Iterator[tuple[dict[str, KnobValue], str]]:
    settings = dict(leader.candidate.knobs)
    for knob in scheduler.knobs:
        if can_be_turned(knob, scheduler, machine):
            current = settings.get(knob.name, knob.default)
            for value in _steps(knob, current):
                why = f"{named}; {knob.name} goes from {current} to {value}"
                yield {**settings, knob.name: value}, why


def profile_reason(named: str, profile: str) -> str:
    """Return the reason to try a profile of a leader."""
    return f"{named}; its profile for {profile} may do better"


def place_of(leader: CandidateResult, place: int) -> str:
    """Say where a candidate stands: one leads at most."""
    if place:
        return ("comes second", "comes third")[place - 1]
    return "leads" if leader.speedup is not None and leader.speedup.estimate > 1 else "is nearest to EEVDF"


def _steps(knob: Knob, current: object) -> list[KnobValue]:
    """Return the neighbouring values of a knob within its range."""
    if isinstance(current, bool):
        return [not current]
    if knob.options:
        return [option for option in knob.options if option != current]
    if isinstance(current, (int, float)):
        return _number_steps(knob, current)
    return []


def _number_steps(knob: Knob, current: int | float) -> list[KnobValue]:
    low, high = knob.range.min if knob.range else None, knob.range.max if knob.range else None
    steps: list[KnobValue] = []
    for raw in (current * STEP, current / STEP):
        value = raw if isinstance(current, float) else round(raw)
        value = value if high is None else min(value, high)
        value = value if low is None else max(value, low)
        if value != current:
            steps.append(float(value) if isinstance(current, float) else value)
    return steps
