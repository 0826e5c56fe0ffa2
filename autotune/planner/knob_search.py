# SPDX-License-Identifier: MIT
"""The planner that searches the knobs of the leaders by a model of the results (`knob_model`).

The first set is that of the offline planner. Each later set is divided between the
schedulers of the leaders, with a growing share for the best. At most half of a scheduler's places go to profiles that
were not tried, the rest to what the model suggests or, when it has nothing new, to the leader with one knob moved by
one step. Where all schedulers were slower than EEVDF, the one that came closest is searched.

The race is the only judge: the model learns nothing but its estimates. Settings that were tried, failed or refused are
not proposed again. The same seed and the same results give the same proposals.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence

from autotune.planner import knob_space
from autotune.planner.base import Situation
from autotune.planner.knob_model import Learned, suggestions
from autotune.planner.knob_space import Space
from autotune.planner.offline import LATER_SET, OfflinePlanner, leaders, place_of, profile_reason
from autotune.records import Candidate, CandidateResult, Proposal
from autotune.report.text import counted
from autotune.schedext.catalogue.catalog import Catalog, Scheduler
from autotune.verdict.promotion import Promotion

LARGEST_SET = 6
LATER_SETS = 3
"""Sets that the affordable candidates are divided among, after the first."""
TURNS = ((0, 1, 0, 2, 0, 1), (0, 0, 1), (0,))
"""Order in which schedulers get places, for each later set: 0 is the scheduler of the leader, 1 that of the next. The
last one holds for all sets after it."""


class KnobSearch:
    """Proposes the first set as the offline planner does, and then searches the knobs of the leaders."""

    spending = None
    transcript = None

    def __init__(
        self,
        catalog: Catalog,
        unusable: Container[str] = (),
        *,
        seed: int = 0,
        name: str = "search",
        standings: Mapping[str, Promotion] | None = None,
    ) -> None:
        """Propose from the catalogue as it is at each turn."""
        self.name = name
        self._catalog = catalog
        self._unusable = unusable
        self._offline = OfflinePlanner(catalog, unusable, standings)
        self._seed = seed
        self._proposed: dict[Candidate, None] = {}
        """In their order, also what was refused."""
        self._later_sets = 0
        self._over = False
        self._is_broken = False
        self._remarks: list[str] = []

    def remarks(self) -> Sequence[str]:
        remarks, self._remarks = self._remarks, []
        return remarks

    def propose(self, situation: Situation) -> Sequence[Proposal]:
        if situation.candidates_affordable <= 0 or self._over:
            return ()
        chosen = self._further(situation) if situation.results else self._opening(situation)
        self._proposed.update((one.candidate, None) for one in chosen)
        self._over = not chosen
        return chosen

    # --- the first set ---

    def _opening(self, situation: Situation) -> list[Proposal]:
        usual = self._offline.propose(situation)
        return [one for one in usual if one.candidate not in self._proposed]

    def _offered(self) -> dict[str, Scheduler]:
        return {one.name: one for one in self._catalog.schedulers if one.name not in self._unusable}

    # --- later sets ---

    def _further(self, situation: Situation) -> list[Proposal]:
        """Search; where optuna cannot be imported, vary the leaders as the offline planner does."""
        try:
            return self._later(situation)
        except ImportError as error:
            reason = " ".join(str(error).split())
            self._remarks = [f"optuna cannot be used ({reason}), so knobs are varied one at a time"][self._is_broken :]
            self._is_broken = True
        usual = self._offline.propose(situation)
        return [one for one in usual if one.candidate not in self._proposed]

    def _later(self, situation: Situation) -> list[Proposal]:
        wanted = self._set_size(situation.candidates_affordable)
        turns = TURNS[min(self._later_sets, len(TURNS) - 1)]
        self._later_sets += 1
        searches = self._searches(situation)
        places = [turns[index % len(turns)] for index in range(wanted)]
        chosen: list[Proposal] = []
        for place, search in enumerate(searches):
            share = sum(1 for one in places if one % len(searches) == place)
            chosen += search.next(share)
        for search in searches:  # what one has no use for goes to the others
            chosen += search.next(wanted - len(chosen))
        return chosen

    def _searches(self, situation: Situation) -> list[_Search]:
        """Return a search for each scheduler of the leaders that has something to search, the best first."""
        offered = self._offered()
        results = [one for one in situation.results if one.candidate.scheduler in offered]
        found: dict[str, _Search] = {}
        for place, leader in enumerate(leaders(results) or _nearest(results)):
            scheduler = offered[leader.candidate.scheduler]
            space = knob_space.of(scheduler, situation.machine)
            if scheduler.name not in found and (space.dimensions or scheduler.modes):
                own = [one for one in results if one.candidate.scheduler == scheduler.name]
                proposed = [one for one in self._proposed if one.scheduler == scheduler.name]
                seed = random.Random(f"{self._seed} {self._later_sets} {scheduler.name}").getrandbits(31)
                named = f"{leader.candidate.short} {place_of(leader, place)}"
                found[scheduler.name] = _Search(space, leader, named, own, proposed, seed)
        return list(found.values())

    def _set_size(self, affordable: int) -> int:
        """Return how many candidates to propose: an equal share for each set to come, but no set so small that it is
        not worth the runs of the leader and of EEVDF in it."""
        share = math.ceil(affordable / max(1, LATER_SETS - self._later_sets))
        return min(affordable, max(LATER_SET, min(LARGEST_SET, share)))


# --- one scheduler ---------------------------------------------------------------------------------------


class _Search:
    """The search for better settings of one scheduler, for one set."""

    def __init__(
        self,
        space: Space,
        leader: CandidateResult,
        named: str,
        results: Sequence[CandidateResult],
        proposed: Sequence[Candidate],
        seed: int,
    ) -> None:
        """Search from the `results` of this scheduler. `named` says in words where the leader stands; what was
        `proposed` and has no result was refused."""
        self._space = space
        self._leader = leader
        self._named = named
        self._results = {self._plain(one.candidate): one for one in results}
        refused = [one for one in proposed if one not in self._results]
        self._learned = [*_learned(results), *(Learned(dict(one.knobs), None) for one in refused)]
        self._seen = {*self._results, *proposed}
        self._profiles = self._of_profiles()
        self._others = self._of_model(seed)

    def next(self, count: int) -> list[Proposal]:
        """Return up to so many new proposals; each is returned once."""
        found = list(itertools.islice(self._profiles, (count + 1) // 2))
        found += itertools.islice(self._others, count - len(found))
        return [*found, *itertools.islice(self._profiles, count - len(found))]

    def _plain(self, candidate: Candidate) -> Candidate:
        """Return the candidate without settings that equal the defaults."""
        return self._space.scheduler.candidate(dict(candidate.knobs))

    def _of_profiles(self) -> Iterator[Proposal]:
        for name, settings in knob_space.profiles(self._space.scheduler):
            candidate = self._space.scheduler.candidate(settings)
            if candidate not in self._seen:
                self._seen.add(candidate)
                yield Proposal(candidate, profile_reason(self._named, name), "better than its neighbour")

    def _of_model(self, seed: int) -> Iterator[Proposal]:
        reason = f"{self._named}; chosen by the search from {counted(len(self._results), 'result')} of its scheduler"
        if not self._space.dimensions:
            return
        suggested = suggestions(self._space, self._learned, seed, lambda one: one not in self._seen)
        for candidate in itertools.chain(suggested, self._neighbours()):
            if candidate not in self._seen:
                self._seen.add(candidate)
                yield Proposal(candidate, reason, "better than its neighbour")

    def _neighbours(self) -> Iterator[Candidate]:
        """Yield the leader with one knob one step further."""
        start = self._space.point(dict(self._leader.candidate.knobs))
        for point in self._space.neighbours(start) if start is not None else ():
            settings = self._space.settings(point)
            if self._space.allows(settings):
                yield self._space.scheduler.candidate(settings)


def _nearest(results: Iterable[CandidateResult]) -> list[CandidateResult]:
    """Return the one that was slower than EEVDF by the least: other settings of it may be faster."""
    return [one for one in results if one.speedup is not None and one.verdict == "slower"][:1]


def _learned(results: Iterable[CandidateResult]) -> Iterator[Learned]:
    """Yield what the results teach. A candidate without an estimate that did not fail teaches nothing."""
    for result in results:
        settings = dict(result.candidate.knobs)
        if result.verdict == "invalid":
            yield Learned(settings, None)
        elif result.speedup is not None and result.speedup.estimate > 0:
            yield Learned(settings, math.log(result.speedup.estimate))
