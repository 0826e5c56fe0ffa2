# SPDX-License-Identifier: MIT
"""The Planner protocol, and the record that a planner bases its proposals on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from autotune.frozen import dataclass
from autotune.records import (
    Baseline,
    CandidateResult,
    Expectations,
    MachineInfo,
    Observation,
    Profile,
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
    """Seconds for planning, and for the runs of what it proposes."""
    candidates_affordable: int
    """Candidates that the remaining budget allows, estimated; 0 when it allows none."""
    profile: Profile | None = None
    expected: Expectations | None = None
    """What schedulers are told to expect of tasks; None when nothing is known of them."""
    """What the command does, in a run that was watched; None where none was."""
    refused: tuple[str, ...] = ()
    """Proposals of the last turn that were refused, with the reason."""


class Planner(Protocol):
    """A source of candidates. It never measures and never judges.

    What the tuner relies on; `tests/contract/planner_suite.py` holds every planner to it:
    - each proposal resolves in the catalogue, can run on this machine, and has a reason in one line;
    - none has the settings of a result, or of another proposal: a default that is named makes no difference;
    - there are at most `candidates_affordable`: none, at no cost, when that is 0;
    - an empty list ends planning;
    - a planner may attach schedulers to look at them; when `propose` returns or raises, nothing is attached;
    - `propose` ends within `budget_left_s`, and never changes the situation;
    - proposals are plain values, which become records.

    Whoever makes a planner closes what it opened for it, after the session; closing twice does no harm.
    """

    @property
    def name(self) -> str:
        """Who has proposed so far, as reports show it: `offline`, `claude`, `claude, then offline`."""

    @property
    def spending(self) -> Spending | None:
        """Tokens, cost and time used so far, which only grow; None for a planner without a model."""

    @property
    def transcript(self) -> str | None:
        """Path of the conversation's transcript, which only the user can read; None without one."""

    def remarks(self) -> Sequence[str]:
        """Return notes for the user about the last proposal, one sentence each. Each is returned once."""

    def propose(self, situation: Situation) -> Sequence[Proposal]:
        """Return candidates to try next; an empty list when nothing is affordable or left worth trying. Raises
        PlannerError, and nothing else, when the planner cannot continue."""
