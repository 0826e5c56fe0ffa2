# SPDX-License-Identifier: MIT
"""Any planner, beginning with what earlier sessions found: the known best first, the known bad not at all.

Where the answer is known, it is only checked: with a known best of this very command, or where the last session found
no winner, those candidates alone are raced; as soon as one leads, nothing else is tried.
Otherwise winners that are stale, and those of similar commands, go before what the planner proposes.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import field, replace

from autotune.errors import AutotuneError
from autotune.frozen import dataclass
from autotune.knowledge.experience import Experience, KnownCandidate
from autotune.planner.base import Planner, Situation
from autotune.records import Candidate, CandidateResult, Proposal, Spending
from autotune.schedext.catalogue.catalog import Catalog

MOST_KNOWN = 3
"""Most candidates of earlier sessions in a set."""
MOST_TURNS = 4
"""Most times that a planner without a model is asked for one set, when what it proposes is known to be bad."""
ANEW = "--no-recall tries everything again"


@dataclass(frozen=True)
class Recollection:
    """What is known before a first set: of this command, and of similar ones."""

    own: Experience = field(default_factory=Experience)
    similar: tuple[KnownCandidate, ...] = ()
    """Winners of similar commands, the most alike first."""


class Informed:
    """A planner that begins with what is known. `recall` returns that, once, before the first set. With `settles` a
    known answer is only checked. Schedulers that are `unusable` here are not proposed."""

    def __init__(
        self,
        inner: Planner,
        catalog: Catalog,
        recall: Callable[[Situation], Recollection],
        *,
        settles: bool,
        unusable: Container[str] = (),
    ) -> None:
        self._inner = inner
        self._unusable = unusable
        self._catalog = catalog
        self._recall = recall
        self._settles = settles
        self._known: Recollection | None = None
        self._checked: dict[Candidate, KnownCandidate] = {}
        self._given: set[Candidate] = set()
        self._inner_began = False
        self._over = False
        self._remarks: list[str] = []
        self._warned: set[Candidate] = set()

    @property
    def name(self) -> str:
        return self._inner.name

    @property
    def spending(self) -> Spending | None:
        return self._inner.spending

    @property
    def transcript(self) -> str | None:
        return self._inner.transcript

    def remarks(self) -> Sequence[str]:
        remarks, self._remarks = self._remarks, []
        return [*remarks, *self._inner.remarks()]

    def propose(self, situation: Situation) -> Sequence[Proposal]:
        if situation.candidates_affordable <= 0 or self._over:
            return ()
        chosen = self._next(situation)
        self._given.update(one.candidate for one in chosen)
        self._over = not chosen
        return chosen

    def _next(self, situation: Situation) -> list[Proposal]:
        if self._known is None:
            self._known = self._recall(situation)
            checked = self._to_check(situation, self._known.own)
            if checked:
                self._checked = {self._plain(one.candidate): one for one in checked}
                return [_proposal(one) for one in checked]
            return self._with_known(situation, self._known)
        if self._checked:
            settled = self._settled(situation.results, self._known.own)
            if settled is not None:
                self._remarks.append(f"{settled}, so nothing else is tried; {ANEW}")
                return []
            self._checked = {}
        return self._of_inner(situation, self._known.own)

    # --- a known answer ---

    def _to_check(self, situation: Situation, own: Experience) -> list[KnownCandidate]:
        """Return what a known answer rests on; nothing where there is none."""
        if not self._settles:
            return []
        known = own.known_best
        if known is not None:
            return self._able([known])[: situation.candidates_affordable]
        return self._able(own.contenders)[: situation.candidates_affordable]

    def _settled(self, results: Sequence[CandidateResult], own: Experience) -> str | None:
        """Return in a clause how the race agrees with the known answer; None where it does not."""
        checked = [one for one in results if self._plain(one.candidate) in self._checked]
        for one in checked:
            is_ahead = one.speedup is not None and one.speedup.estimate > 1.0
            if is_ahead and one.verdict not in ("slower", "invalid"):
                return f"{one.candidate.key} is known from an earlier session and is ahead again"
        if own.known_best is None and checked:
            return "what came closest to beating EEVDF before does not beat it now"
        return None

    # --- what is known, before what the planner proposes ---

    def _with_known(self, situation: Situation, known: Recollection) -> list[Proposal]:
        most = situation.candidates_affordable
        bad = self._bad(known.own)
        first = [one for one in self._able([*known.own.good, *known.similar]) if self._plain(one.candidate) not in bad]
        first = first[: min(MOST_KNOWN, max(1, most // 2))]
        self._given.update(self._plain(one.candidate) for one in first)
        return [*map(_proposal, first), *self._of_inner(situation, known.own)][:most]

    def _able(self, known: Sequence[KnownCandidate]) -> list[KnownCandidate]:
        """Return the candidates that the catalogue still has, with settings that it still takes, each once."""
        found: dict[Candidate, KnownCandidate] = {}
        for one in known:
            try:
                self._catalog.validate(one.candidate)
            except AutotuneError:
                continue
            if one.candidate.scheduler not in self._unusable:
                plain = self._plain(one.candidate)
                found.setdefault(plain, replace(one, candidate=plain))
        return list(found.values())

    # --- without the known bad ---

    def _of_inner(self, situation: Situation, own: Experience) -> list[Proposal]:
        """Return what the planner proposes but for what is known to be bad, or was proposed already. One without a
        model is asked again where nothing is left."""
        bad = self._bad(own)
        asked = situation if self._inner_began else replace(situation, results=())
        for _ in range(1 if self._inner.spending is not None else MOST_TURNS):
            proposed = self._inner.propose(asked)
            self._inner_began = True
            self._tell([bad[plain] for one in proposed if (plain := self._plain(one.candidate)) in bad])
            tried = {self._plain(one.candidate) for one in situation.results} | self._given | bad.keys()
            left = [one for one in proposed if self._plain(one.candidate) not in tried]
            if left or not proposed:
                return left
        return []

    def _bad(self, own: Experience) -> dict[Candidate, KnownCandidate]:
        return {self._plain(one.candidate): one for one in own.bad}

    def _tell(self, refused: Sequence[KnownCandidate]) -> None:
        fresh = [one for one in refused if one.candidate not in self._warned]
        self._warned.update(one.candidate for one in fresh)
        self._remarks += [f"{one.candidate.key} is not tried again: {one.why}; {ANEW}" for one in fresh]

    def _plain(self, candidate: Candidate) -> Candidate:
        """Return the candidate without the workload's parameters, and without settings that equal the defaults."""
        try:
            return self._catalog.get(candidate.scheduler).candidate(dict(candidate.knobs))
        except AutotuneError:
            return candidate.alone


def _proposal(known: KnownCandidate) -> Proposal:
    changed = f"; since then {'; '.join(known.stale)}" if known.stale else ""
    return Proposal(known.candidate, f"{known.why}{changed}", "faster")
