# SPDX-License-Identifier: MIT
"""Promotion by evidence: what may be claimed of a generated scheduler, from what was measured here and how it behaved.

    candidate   it passed the gates, and its seal holds
    proven      it was confirmed faster on a workload, and nothing since has refuted that
    trusted     that holds on several workloads, it passed its canary, and it never had a strike nor was ejected

What always holds here:
- only a confirmed win promotes; what is undecided, or led a race and was not confirmed, changes nothing;
- a later session that finds it slower, the same or unusable, with the same settings in the same surroundings, takes the
  win back; a strike takes back all wins before it, and three bar the scheduler;
- it is about one build: whoever counts passes on what was measured of this very object;
- the order in which things are told makes no difference, their times do.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from autotune.frozen import dataclass

Standing = Literal["unsealed", "barred", "candidate", "proven", "trusted"]
"""From worst to best. `unsealed`: its seal does not hold (any more), so that no host loads it; `barred`: three
strikes."""
ORDER: tuple[Standing, ...] = ("unsealed", "barred", "candidate", "proven", "trusted")
SEVERAL = 2
"""Workloads on which a trusted scheduler was confirmed."""
STRIKES_TO_BAR = 3
"""Strikes after which a build is no longer tried on this host."""
_REFUTES = ("slower", "same", "invalid")


@dataclass(frozen=True)
class Outcome:
    """What one session found of one candidate of the scheduler."""

    workload: str
    """What tells workloads apart; two sessions of one workload have the same."""
    surroundings: str
    """What tells machines and kernels apart."""
    settings: str
    """Key of the candidate: the same scheduler with the same settings."""
    at_s: float
    """Unix time."""
    verdict: str | None
    confirmed: bool
    """It was faster in fresh rounds that did not choose it."""
    ejected: bool = False
    """The kernel detached it during a run."""

    @property
    def is_win(self) -> bool:
        return self.verdict == "faster" and self.confirmed and not self.ejected

    @property
    def refutes(self) -> bool:
        return self.ejected or self.verdict in _REFUTES


@dataclass(frozen=True)
class Behaviour:
    """How the build behaved on this host: whether it passed its canary, and when it had strikes (Unix time)."""

    canary_passed: bool = False
    strikes_at_s: tuple[float, ...] = ()


@dataclass(frozen=True)
class Promotion:
    """A standing, and what it rests on in clauses. `workloads` are those on which it is proven."""

    standing: Standing
    why: tuple[str, ...]
    workloads: tuple[str, ...] = ()

    @property
    def rank(self) -> int:
        return rank_of(self.standing)

    @property
    def text(self) -> str:
        return f"{self.standing}: {'; '.join(self.why)}"


def rank_of(standing: Standing) -> int:
    """Return a number that is larger for a better standing."""
    return ORDER.index(standing)


def promotion(findings: Iterable[Outcome], behaviour: Behaviour, *, unsealed: str | None = None) -> Promotion:
    """Return the standing of a build. `unsealed` says why its seal does not hold; None when it does."""
    if unsealed is not None:
        return Promotion("unsealed", (unsealed,))
    told = sorted(findings, key=lambda one: one.at_s)
    strikes = behaviour.strikes_at_s
    if len(strikes) >= STRIKES_TO_BAR:
        return Promotion("barred", (f"{len(strikes)} strikes on this host",))
    standing_wins = _standing_wins(told, max(strikes, default=float("-inf")))
    won = tuple(sorted({one.workload for one in standing_wins}))
    if not won:
        return Promotion("candidate", ("it passed the gates", *_why_not_proven(told, strikes)))
    proof = f"confirmed faster on {_workloads(len(won))} here"
    missing = tuple(_missing(won, behaviour, any(one.ejected for one in told)))
    if missing:
        return Promotion("proven", (proof, *missing), won)
    return Promotion("trusted", (proof, "no strike, canary passed"), won)


def _standing_wins(told: Sequence[Outcome], after_s: float) -> list[Outcome]:
    """Return the wins later than the last strike that no finding at the same time or later refutes. `told` is in the
    order of time."""

    def is_refuted(win: Outcome) -> bool:
        return any(one.refutes and one.at_s >= win.at_s and _is_about(one, win) for one in told)

    return [one for one in told if one.is_win and one.at_s > after_s and not is_refuted(one)]


def _is_about(one: Outcome, other: Outcome) -> bool:
    same = (other.workload, other.surroundings, other.settings)
    return (one.workload, one.surroundings, one.settings) == same


def _why_not_proven(told: Sequence[Outcome], strikes: Sequence[float]) -> list[str]:
    wins = [one for one in told if one.is_win]
    if not wins:
        return ["nothing was confirmed here yet"]
    if strikes and all(one.at_s <= max(strikes) for one in wins):
        return ["it had a strike since it was confirmed"]
    return ["a later session refuted what was confirmed"]


def _missing(won: Sequence[str], behaviour: Behaviour, was_ejected: bool) -> Iterable[str]:
    """Yield what is missing for trust, in clauses."""
    if len(won) < SEVERAL:
        yield f"trusted from {SEVERAL} on"
    if behaviour.strikes_at_s:
        yield f"{len(behaviour.strikes_at_s)} strike{'' if len(behaviour.strikes_at_s) == 1 else 's'} on this host"
    if was_ejected:
        yield "the kernel ejected it during a run"
    if not behaviour.canary_passed:
        yield "no canary passed on this host"


def _workloads(count: int) -> str:
    return "1 workload" if count == 1 else f"{count} workloads"
