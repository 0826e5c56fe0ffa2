# SPDX-License-Identifier: MIT
"""What a planner is, and what it may know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from autotune.records import (
    Baseline,
    CandidateResult,
    MachineInfo,
    Observation,
    Proposal,
    Run,
    Spending,
    Workload,
)


@dataclass(frozen=True)
class Situation:
    """What a planner may know when it proposes."""

    machine: MachineInfo
    workload: Workload
    baseline: Baseline
    observation: Observation
    run: Run
    """The last run of the baseline, with the head and tail of its output."""
    results: tuple[CandidateResult, ...]
    """What was tried so far, best first, without the baseline; empty before the first set."""
    budget_left_s: float
    candidates_affordable: int
    """How many more candidates the budget allows, as far as can be told."""
    refused: tuple[str, ...] = ()
    """What was proposed last and could not be taken, with the reason."""


class Planner(Protocol):
    """Proposes candidates. It never measures and never judges."""

    @property
    def name(self) -> str: ...

    @property
    def spending(self) -> Spending | None:
        """What it took so far; None when it asks no model."""

    @property
    def transcript(self) -> str | None:
        """File that keeps what was said; None when there is none."""

    def remarks(self) -> Sequence[str]:
        """What the user should know of the last proposing, one sentence each; each is told once."""

    def propose(self, situation: Situation) -> Sequence[Proposal]:
        """Candidates to try next, none of them tried before; empty when nothing better is in sight. Raises
        PlannerError when it cannot go on."""
