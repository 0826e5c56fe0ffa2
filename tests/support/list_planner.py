# SPDX-License-Identifier: MIT
"""A planner that proposes given sets, and a resolver for what it proposes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from autotune.planner.base import Situation
from autotune.records import AttachSpec, Candidate, Proposal, Spending


@dataclass
class ListPlanner:
    """Proposes the given sets one after another."""

    sets: list[list[str]]
    seen: list[Situation] = field(default_factory=list)
    name: str = "list"
    spending: Spending | None = None
    transcript: str | None = None

    def remarks(self) -> Sequence[str]:
        return ()

    def propose(self, situation: Situation) -> Sequence[Proposal]:
        self.seen.append(situation)
        names = self.sets.pop(0) if self.sets else []
        return [Proposal(Candidate(name), "a test") for name in names]


def resolve(candidate: Candidate) -> AttachSpec:
    return AttachSpec(candidate.scheduler, "x.o")
