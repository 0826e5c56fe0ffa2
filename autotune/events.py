# SPDX-License-Identifier: MIT
"""Events of a tuning session. The tuner emits these; views (live, plain) render them.

An event is a fact that has happened or is about to; it carries records, never text for the screen.
Standard library only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias, Union

from autotune.errors import AutotuneError
from autotune.frozen import dataclass
from autotune.records import (
    Allotment,
    Attachment,
    Baseline,
    CandidateResult,
    Chain,
    Detachment,
    MachineInfo,
    Observation,
    Phase,
    Profile,
    Proposal,
    Session,
    Spending,
    Trial,
    Workload,
)


@dataclass(frozen=True)
class Step:
    """Something that may take a while has begun: booting, building, setup, prepare, cleanup, planning."""

    name: str
    detail: str = ""


@dataclass(frozen=True)
class MachineReady:
    info: MachineInfo
    workload: Workload
    started_at: float = 0.0
    """Unix time at which the session began."""
    seed: int = 0
    """Seed of the order of the runs."""
    session: str = ""
    """`Session.id`."""
    continues: str | None = None
    """`Session.continues`."""


@dataclass(frozen=True)
class BaselineKnown:
    baseline: Baseline
    observation: Observation


@dataclass(frozen=True)
class WorkloadSeen:
    """What the command does, before anybody proposes: `watched` in a run of its own, which was not measured. Where none
    was, `not_watched` says why, and `watched` is what an earlier session saw, or None."""

    watched: Profile | None
    not_watched: str = ""


@dataclass(frozen=True)
class ValuesKnown:
    """EEVDF at each value of the workload's parameters, best first; emitted before BaselineKnown where there are
    several."""

    results: tuple[CandidateResult, ...]


@dataclass(frozen=True)
class Proposed:
    planner: str
    proposals: tuple[Proposal, ...]


@dataclass(frozen=True)
class RacePlanned:
    """How far the budget reaches, emitted before the first round when every candidate fits."""

    allotted: Allotment


@dataclass(frozen=True)
class PlannerChosen:
    """Who proposes, and why; emitted again when that changes."""

    name: str
    why: str


@dataclass(frozen=True)
class LeftOut:
    """Schedulers that nobody proposes on this machine, by reason: they cannot help here or, with an empty reason, are
    not installed."""

    names_by_reason: dict[str, tuple[str, ...]]
    programs_here: bool = False
    """Whether any scx program can be proposed."""


@dataclass(frozen=True)
class PlannerActed:
    """A planner that uses a model did something (a call, a tool), and what that took so far."""

    what: str
    spending: Spending


@dataclass(frozen=True)
class RoundStarted:
    """`order` are the keys to run, in the order drawn for this round."""

    phase: Phase
    round: int
    at_most: int
    order: tuple[str, ...]
    left_s: float | None = None
    """Estimate of what the session takes at most from here on, sets to come and confirmation included; None where
    nobody estimated it."""


@dataclass(frozen=True)
class Attached:
    candidate: str
    attachment: Attachment


@dataclass(frozen=True)
class Detached:
    candidate: str
    detachment: Detachment


@dataclass(frozen=True)
class AttachFailed:
    """A candidate could not be attached. `detail` is what the verifier or its program printed; empty for nothing."""

    candidate: str
    reason: str
    detail: str


@dataclass(frozen=True)
class RunStarted:
    phase: Phase
    round: int
    candidate: str


@dataclass(frozen=True)
class OutputSeen:
    """A piece of the workload's output, sent only when it is to be shown."""

    stream: Literal["stdout", "stderr"]
    data: bytes


@dataclass(frozen=True)
class RunFinished:
    trial: Trial


@dataclass(frozen=True)
class Dropped:
    """A candidate left the race."""

    candidate: str
    reason: str


@dataclass(frozen=True)
class Standings:
    """The order of the race after a round, best first, the baseline included."""

    results: tuple[CandidateResult, ...]


@dataclass(frozen=True)
class Left:
    """What a continuation could start from now. Emitted after each round, and before a confirmation."""

    chain: Chain


@dataclass(frozen=True)
class Warned:
    """Something the user should know and can act on; one sentence."""

    text: str


@dataclass(frozen=True)
class Notice:
    """Something done on the host around a session, one sentence: another scheduler is stopped or restored, the winner
    is applied."""

    text: str


@dataclass(frozen=True)
class Problem:
    """Something beside the session failed: a report or the knowledge cannot be written, the cleanup command failed, or
    the listener itself did on an earlier event. The session counts all the same."""

    what: Literal["report", "knowledge", "cleanup", "listener"]
    error: AutotuneError


@dataclass(frozen=True)
class Finished:
    """`error` is what ended the session before its end, or what failed after it (cleanup); None when all went well."""

    session: Session
    error: BaseException | None = None


@dataclass(frozen=True)
class Unmeasured:
    """The session ended before its baseline was known, by an error that is raised. `session` is what is known."""

    session: Session


Event: TypeAlias = Union[  # noqa: UP007 - a plain union of forward-declared classes reads worse
    Step,
    MachineReady,
    BaselineKnown,
    WorkloadSeen,
    ValuesKnown,
    Proposed,
    RacePlanned,
    PlannerChosen,
    LeftOut,
    PlannerActed,
    RoundStarted,
    Attached,
    AttachFailed,
    Detached,
    RunStarted,
    OutputSeen,
    RunFinished,
    Dropped,
    Standings,
    Left,
    Warned,
    Notice,
    Problem,
    Finished,
    Unmeasured,
]
Listener: TypeAlias = Callable[[Event], None]
