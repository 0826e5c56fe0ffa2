# SPDX-License-Identifier: MIT
"""The planner that needs no key and no network: matches what the baseline showed with the catalogue's tags, then
turns the knobs of whatever leads.

First set: every trait that the baseline shows (CPUs busy, tasks waiting, many forks, ...) votes for the schedulers
whose tags suit it. Later sets: one knob of the leader at a time, a step up and a step down, and further in a
direction that has helped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from autotune.records import Candidate, CandidateResult, KnobValue, Observation, Proposal
from autotune.schedext.catalog import Catalog, Scheduler
from autotune.schedext.knobs import Knob
from autotune.tuner import Situation

FIRST_SET = 6
LATER_SET = 3
STEP = 4
"""Numbers are multiplied or divided by this: smaller steps rarely show through the noise."""


@dataclass(frozen=True)
class Trait:
    """Something a baseline may show: when it does, the tags that suit it, and how to say so."""

    shows: Callable[[Observation], bool]
    tags: frozenset[str]
    because: Callable[[Observation], str]


def _waiting(seen: Observation) -> float:
    """How much tasks waited for a CPU; 0 where the kernel does not tell."""
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
    """Proposes from the catalogue alone. `name` is `offline`."""

    name = "offline"
    spending = None
    transcript = None

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def remarks(self) -> Sequence[str]:
        return ()

    def propose(self, situation: Situation) -> Sequence[Proposal]:
        if not situation.results:
            return self._first(situation.observation)[: max(1, min(FIRST_SET, situation.candidates_affordable))]
        return self._later(situation)[: min(LATER_SET, situation.candidates_affordable)]

    # --- the first set ---

    def _first(self, seen: Observation) -> list[Proposal]:
        shown = [trait for trait in TRAITS if trait.shows(seen)]
        usable = [scheduler for scheduler in self._catalog.schedulers if scheduler.kind == "bpf"]
        ranked = sorted(usable, key=lambda scheduler: -len(_votes(scheduler, shown)))
        return [_proposal(scheduler, _votes(scheduler, shown), seen) for scheduler in ranked]

    # --- later sets ---

    def _later(self, situation: Situation) -> list[Proposal]:
        tried = {result.candidate.key for result in situation.results}
        proposals = []
        for leader in _leaders(situation.results):
            scheduler = self._catalog.get(leader.candidate.scheduler)
            for proposal in _variations(leader, scheduler):
                if proposal.candidate.key not in tried:
                    tried.add(proposal.candidate.key)
                    proposals.append(proposal)
        return proposals


def _votes(scheduler: Scheduler, shown: Iterable[Trait]) -> list[Trait]:
    return [trait for trait in shown if trait.tags & set(scheduler.tags)]


def _proposal(scheduler: Scheduler, votes: list[Trait], seen: Observation) -> Proposal:
    candidate = Candidate(scheduler.name)
    if not votes:
        return Proposal(candidate, "nothing the baseline showed speaks for it; tried to be sure", "about the same")
    tags = ", ".join(sorted(set(scheduler.tags) & votes[0].tags))
    return Proposal(candidate, f"{votes[0].because(seen)}, and it is made for {tags}", "faster")


def _leaders(results: Iterable[CandidateResult]) -> list[CandidateResult]:
    """What is worth varying: the best three that ran and are not clearly slower."""
    return [item for item in results if item.speedup is not None and item.verdict not in ("invalid", "slower")][:3]


def _variations(leader: CandidateResult, scheduler: Scheduler) -> Iterator[Proposal]:
    settings = dict(leader.candidate.knobs)
    for knob in scheduler.knobs:
        if knob.name == "partial":
            continue
        current = settings.get(knob.name, knob.default)
        for value in _steps(knob, current):
            changed = {**settings, knob.name: value}
            if value == knob.default:
                changed.pop(knob.name)
            candidate = Candidate(scheduler.name, tuple(sorted(changed.items())))
            yield Proposal(candidate, _why(leader, knob, current, value), "better than its neighbour")


def _why(leader: CandidateResult, knob: Knob, current: object, value: object) -> str:
    place = "leads" if leader.speedup is not None and leader.speedup.estimate > 1 else "is nearest to EEVDF"
    return f"{leader.candidate.key} {place}; {knob.name} goes from {current} to {value}"


def _steps(knob: Knob, current: object) -> list[KnobValue]:
    """Neighbouring values of a knob within its range."""
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
            steps.append(value)
    return steps
