# SPDX-License-Identifier: MIT
"""The Planner protocol, and the record that a planner bases its proposals on."""

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
    """The facts that a planner bases its proposals on."""

    machine: MachineInfo
    workload: Workload
    baseline: Baseline
    observation: Observation
    run: Run
    """Last baseline run, with the head and tail of its output."""
    results: tuple[CandidateResult, ...]
    """Results so far, best first, without the baseline; empty before the first set."""
    budget_left_s: float
    candidates_affordable: int
    """Candidates that the remaining budget allows, estimated."""
    refused: tuple[str, ...] = ()
    """Proposals of the last turn that were refused, with the reason."""


class Planner(Protocol):
    """A source of candidates. It never measures and never judges."""

    @property
    def name(self) -> str: ...

    @property
    def spending(self) -> Spending | None:
        """Tokens, cost and time used so far; None for a planner without a model."""

    @property
    def transcript(self) -> str | None:
        """Path of the conversation's transcript; None without one."""

    def remarks(self) -> Sequence[str]:
        """Return notes for the user about the last proposal, one sentence each. Each is returned once."""

    def propose(self, situation: Situation) -> Sequence[Proposal]:
        """Return candidates to try next, none of them tried before; empty when nothing is left worth trying. Raises
        PlannerError when the planner cannot continue."""
