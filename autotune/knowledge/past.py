# SPDX-License-Identifier: MIT
"""Past sessions as records and as sentences."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Literal

from autotune.frozen import dataclass
from autotune.records import Candidate, Interval, Observation, is_baseline
from autotune.report.text import counted
from autotune.verdict.workload_kind import UNCLEAR, WorkloadKind

WHY_CHARACTERS = 900
"""Of the reasons why a winner won: under 300 tokens."""


@dataclass(frozen=True)
class PastResult:
    """Result of one candidate (or of EEVDF) in a past session."""

    key: str
    candidate: Candidate
    verdict: str | None
    """None for EEVDF."""
    speedup: Interval | None
    """None for EEVDF, and where too few runs were valid."""
    median: float | None
    """None without a valid run."""
    runs: int
    invalid_runs: int
    confirmed: bool
    reason: str
    note: str
    attached: Mapping[str, Any] | None = None
    """What was attached, as `records.MeasuredScheduler`; None for EEVDF, and of older versions."""


@dataclass(frozen=True)
class PastRun:
    """One measured run of a past session. `key` is that of its candidate, or BASELINE."""

    phase: str
    round: int
    key: str
    started_at: float
    """Unix time."""
    value: float | None
    """The metric; None when the run does not count."""
    invalid: str | None
    """Why it does not count; None when it does."""
    wall_s: float
    exit_code: int | None


@dataclass(frozen=True)
class PastSession:
    """A past session, its results best first. Of one that was lost, the results are those of its last whole round."""

    id: int
    command: str
    cwd: str
    started_at: float
    """Unix time."""
    elapsed_s: float
    machine: str
    kernel: str
    cpus: int
    cpu_model: str
    acceleration: str
    planner: str
    seed: int
    winner: str | None
    """Key of the confirmed winner; None when nothing beat EEVDF."""
    recommendation: str
    baseline_median: float | None
    """None when it ended before its baseline was known; the same for its noise and runs."""
    baseline_noise: float | None
    baseline_runs: int | None
    interrupted: bool
    failure: str | None
    """The error that ended the session early; None when none did."""
    state: Literal["ended", "lost"]
    """Lost: autotune was killed, or its machine went down, before the session was over."""
    measured_runs: int
    results: tuple[PastResult, ...]
    name: str | None = None
    """Its own name, as `--continue` takes it; None for sessions of older versions."""
    continues: str | None = None
    """The session that it continued; None for most."""
    why: tuple[str, ...] = ()
    """Why its winner won, in lines; empty where that is not known."""
    memory_bytes: int | None = None
    """None for sessions of older versions; the same for `topology`."""
    topology: str | None = None
    argv: tuple[str, ...] | None = None
    """Words of the command; None for those of older versions."""
    project: str = ""
    """Its project by git, and its place in it (`knowledge.projects`); empty where there is none."""
    observation: Observation | None = None
    """What the system did in its baseline; None where that is not kept."""
    kind: WorkloadKind = UNCLEAR
    """What kind of work its command does; empty where that is not clear."""


@dataclass(frozen=True)
class RunningSession:
    """A session that is going on. `runs` are those that have ended."""

    id: int
    name: str | None
    command: str
    cwd: str
    started_at: float
    machine: str
    runs: int


def sentences(sessions: list[PastSession]) -> list[str]:
    """Describe past sessions for people and models, one sentence each."""
    return [_sentence(session) for session in sessions]


def _sentence(session: PastSession) -> str:
    day = time.strftime("%Y-%m-%d", time.gmtime(session.started_at))
    judged = [one for one in session.results if not is_baseline(one.key) and one.verdict is not None]
    tried = "; ".join(f"{result.key} {result.verdict}{_speedup(result)}" for result in judged[:8])
    place = {"none": "host", "kvm": "micro-VM", "tcg": "emulated micro-VM"}.get(session.acceleration, session.machine)
    where = f"{day}, {place}, Linux {session.kernel}, {session.cpus} CPUs: {session.command[:100]!r}"
    continuing = " (it confirmed the leaders of the session before)" if session.continues is not None else ""
    return f"{where}: {finding(session)}{continuing}." + (f" Tried: {tried}" if tried else "") + _why(session)


def _why(session: PastSession) -> str:
    head, *facts = session.why or ("",)
    text = f" {head} {'; '.join(fact.strip() for fact in facts)}".rstrip()
    return text[:WHY_CHARACTERS]


def finding(session: PastSession) -> str:
    """Describe the session's finding; one that ended early has not found that nothing beats EEVDF."""
    if session.winner is not None:
        return f"won by {session.winner}"
    if session.state == "lost":
        return _cut_off(session)
    if session.failure is not None:
        return f"ended early without an answer ({session.failure[:100]!r})"
    if session.interrupted or session.baseline_median is None:
        return "stopped early without an answer"
    return "nothing beat EEVDF"


def _cut_off(session: PastSession) -> str:
    led = next((one for one in session.results if one.speedup is not None and one.speedup.estimate > 1.0), None)
    leader = f"; {led.key} led by{_speedup(led)}, not confirmed" if led is not None else ""
    return f"cut off after {counted(session.measured_runs, 'run')}, since autotune was killed{leader}"


def _speedup(result: PastResult) -> str:
    if result.speedup is None:
        return ""
    return f" {result.speedup.estimate:.3f} [{result.speedup.low:.3f}, {result.speedup.high:.3f}]"
