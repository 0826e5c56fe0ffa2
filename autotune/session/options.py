# SPDX-License-Identifier: MIT
"""Options of a session besides its workload, as plain values."""

from __future__ import annotations

import os
from dataclasses import field

from autotune.frozen import dataclass
from autotune.records import Candidate, Profile
from autotune.session.continuation import TakenUp
from autotune.session.runs import Approve
from autotune.verdict.race import MAX_ROUNDS, MIN_ROUNDS, TAIL_RUNS


@dataclass(frozen=True)
class SessionOptions:
    """Options of a session besides the workload."""

    warmup: int = 1
    min_rounds: int = MIN_ROUNDS
    max_rounds: int = MAX_ROUNDS
    most_pairs: int | None = None
    """Most fresh pairs of a confirmation; None: as many as the budget has room for."""
    min_effect: float = 0.0
    """The least gain that the user would bother to apply (0.03 for 3 %)."""
    statistic: str = "typical"
    """What is judged of the runs (`verdict.statistic`)."""
    budget_s: float = 600.0
    seed: int = 0
    user_candidates: tuple[Candidate, ...] = ()
    """Candidates of `--scheduler`; without any, the planner proposes."""
    approve: Approve | None = None
    show_output: bool = False
    known_before: tuple[str, ...] = ()
    """Warnings about the machine from before the session."""
    others_before: float = 0.0
    """How many CPUs others used before the session."""
    id: str = field(default_factory=lambda: os.urandom(4).hex())
    """Name of the session."""
    known: Profile | None = None
    """What earlier sessions saw the command do, for where no run is watched."""
    not_watched: str = ""
    """Why no run shall be watched; empty where one shall."""
    explain: bool = True
    """Watch one run under the winner, too, if the budget has room."""
    early_end: bool = False
    """End before any candidate is tried where nothing can be won."""
    taken_up: TakenUp | None = None
    """The session to continue; None: begin with a race."""
    tail_runs: int = TAIL_RUNS
    """Valid runs of a winner that are wanted, to know how slow its slow runs are."""
    tail_known: frozenset[str] = frozenset()
    """Keys of candidates whose slow runs an earlier session knows well enough, under the same conditions."""
    repeats: tuple[str, ...] = ()
    """Options for where and how to run, which a continuation repeats."""
