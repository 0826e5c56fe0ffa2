# SPDX-License-Identifier: MIT
"""The continuation of an undecided session: what it takes up, what it leaves to the next, and when it is refused.

`verdict.chain` says why this keeps the promise of a single session.
"""

from __future__ import annotations

import hashlib
import math
import random
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from autotune import reading
from autotune.errors import AutotuneError, BusyError, UsageError
from autotune.frozen import dataclass
from autotune.knowledge.chains import Kept
from autotune.records import (
    BASELINE,
    AttachSpec,
    Baseline,
    CandidateResult,
    Chain,
    Contender,
    Goal,
    MachineInfo,
    Proposal,
    Session,
)
from autotune.report.text import counted
from autotune.verdict.chain import RULE, Carried, Remainder, scaled
from autotune.verdict.confirm import MOST_PAIRS, Scatter, pairs_to_show
from autotune.verdict.race import Race
from autotune.verdict.statistic import Statistic
from autotune.verdict.tail import Tail

START_ANEW = "start a new session"


# --- what a session leaves -------------------------------------------------------------------------------


def left_by(
    race: Race, baseline: Baseline, goal: Goal, digest: Callable[[str], str], options: tuple[str, ...]
) -> Chain:
    """Return what a session leaves whose race is so far. `digest` names what was attached for a candidate."""
    remainder = race.remainder()
    unit = 1.0 / _cost(baseline, goal)
    return Chain(
        rule=RULE,
        alpha_left=remainder.alpha,
        contenders=tuple(_contender(one, unit, digest(one.key)) for one in remainder.carried),
        noise_squares=remainder.others.squares,
        noise_df=remainder.others.df,
        options=options,
    )


def _contender(one: Carried, unit: float, digest: str) -> Contender:
    tail = scaled(one.tail, unit)
    return Contender(one.key, one.pairs, one.fresh, tuple(tail.compared), digest)


def _cost(baseline: Baseline, goal: Goal) -> float:
    """Return EEVDF's median as something that is to be small."""
    value = baseline.median or 1.0
    return value if goal == "min" else 1.0 / value


def pairs_wanted(chain: Chain, pair_deviation: float | None, min_effect: float, statistic: Statistic | None) -> int:
    """Return how many pairs a continuation should have room for, to show the gain of its first contender."""
    least, most = (2, MOST_PAIRS) if statistic is None else (statistic.least_pairs, statistic.most_pairs)
    first = chain.contenders[0]
    gain_log = max(statistics.fmean((*first.race_logs, *first.fresh_logs)), math.log1p(min_effect))
    if gain_log <= 0.0 or not pair_deviation:
        return most
    return max(least, min(most, pairs_to_show(gain_log, pair_deviation, chain.alpha_left / 2)))


def digest_of(spec: AttachSpec) -> str:
    """Return a digest of what is attached: the object's content, or the program's file and options."""
    found = hashlib.sha256(repr((spec.ops, sorted(spec.rodata.items()), spec.partial)).encode())
    if spec.program is not None:
        found.update(repr((spec.program.argv, spec.program.size_bytes, spec.program.mtime_ns)).encode())
    elif spec.object_path:
        found.update(_content(Path(spec.object_path)))
    return found.hexdigest()[:32]


def _content(path: Path) -> bytes:
    try:
        return reading.data(path, most_bytes=reading.MOST_OBJECT_BYTES)
    except (OSError, ValueError):
        return str(path).encode()  # attaching it will say what is wrong


# --- what a continuation takes up ------------------------------------------------------------------------


@dataclass(frozen=True)
class TakenUp:
    """The session that is continued. `refusal` did not refuse it."""

    session: Session

    @property
    def chain(self) -> Chain:
        assert self.session.chain is not None
        return self.session.chain

    @property
    def alpha(self) -> float:
        """Risk that the first confirmation gets."""
        return self.chain.alpha_left / 2

    def proposals(self) -> list[Proposal]:
        """Return the contenders, best first, as they were proposed."""
        known = {result.candidate.key: result for result in self.session.results}
        found = [known[one.key] for one in self.chain.contenders if one.key in known]
        return [Proposal(one.candidate, one.reason, one.expected, one.prediction) for one in found]

    def require_same_machine(self, info: MachineInfo) -> None:
        """Raise UsageError when this is not the machine of the session."""
        before = self.session.machine
        for then, now in zip(_traits(before), _traits(info), strict=True):
            if then != now:
                raise UsageError(f"session {self.session.id} ran on {then}, and this is {now}", hint=START_ANEW)

    def require_same_scheduler(self, key: str, spec: AttachSpec | None) -> None:
        """Raise UsageError when a contender cannot be attached as it was."""
        known = next(one for one in self.chain.contenders if one.key == key)
        what = "cannot be built any more" if spec is None else "has changed since"
        if spec is None or digest_of(spec) != known.scheduler_digest:
            raise UsageError(f"{key} {what}, which session {self.session.id} measured", hint=START_ANEW)

    def race(self, rng: random.Random, baseline: Baseline, tail_runs: int) -> Race:
        """Return a race that confirms the contenders, with the alpha that is left."""
        goal = self.session.workload.goal
        unit = _cost(baseline, goal)
        carried = tuple(
            Carried(one.key, one.race_logs, one.fresh_logs, scaled(Tail(list(one.compared)), unit))
            for one in self.chain.contenders
        )
        race = Race(
            [one.key for one in carried],
            goal=goal,
            rng=rng,
            alpha=self.chain.alpha_left,
            tail_runs=tail_runs,
            min_effect=self.session.min_effect,
            statistic=Statistic.named(self.session.statistic),
        )
        race.take_up(Remainder(self.chain.alpha_left, carried, Scatter(self.chain.noise_squares, self.chain.noise_df)))
        return race

    def result(self, key: str) -> CandidateResult | None:
        """Return what the session before found of a candidate."""
        return next((one for one in self.session.results if one.candidate.key == key), None)

    def not_in(self, keys: Iterable[str]) -> list[CandidateResult]:
        """Return what the session before found of all candidates but these."""
        known = {BASELINE, *keys}
        return [one for one in self.session.results if one.candidate.key not in known]


_PLACES = {"none": "the host", "kvm": "a micro-VM with KVM", "tcg": "an emulated micro-VM"}


def _traits(info: MachineInfo) -> tuple[str, ...]:
    """Return what makes two machines the same for a comparison of schedulers."""
    return _PLACES[info.acceleration], f"Linux {info.kernel}", counted(info.cpus, "CPU"), info.cpu_model


def merged(before: CandidateResult, now: CandidateResult) -> CandidateResult:
    """Return the result of a candidate that this session confirmed: its fresh pairs are this session's alone, and its
    runs those of all sessions."""
    return replace(now, runs=before.runs + now.runs, invalid_runs=before.invalid_runs + now.invalid_runs)


# --- what is refused -------------------------------------------------------------------------------------


def require(kept: Kept) -> None:
    """Raise UsageError or BusyError, in one line, for a session that cannot be continued."""
    reason = refusal(kept)
    if reason is not None:
        raise reason


def refusal(kept: Kept) -> AutotuneError | None:
    """Return why a session cannot be continued; None when it can."""
    session = kept.session
    name, chain = f"session {session.id}", session.chain
    if kept.is_running:
        return BusyError(f"{name} is still running", hint="wait for its end")
    if session.winner is not None:
        return UsageError(f"{name} is decided: {session.winner} won it", hint=f"to test that again, {START_ANEW}")
    if session.workload.parameters:
        return UsageError(f"{name} swept parameters (--param), and cannot be continued", hint=START_ANEW)
    if kept.continued_by is not None:
        return continued_already(session.id, kept.continued_by)
    if kept.is_void:
        hint = f"continue that one: --continue {session.continues}"
        return UsageError(f"{name} measured no fresh pair, so it continues nothing of {session.continues}", hint=hint)
    if chain is None:
        return UsageError(f"{name} ended before any candidate was compared with EEVDF", hint=START_ANEW)
    if chain.rule != RULE:
        known = f"rule {chain.rule} of autotune {session.autotune_version}"
        what = f"{name} was judged by {known}, and this autotune judges by rule {RULE}"
        return UsageError(what, hint=START_ANEW)
    if not chain.contenders:
        hint = f"{START_ANEW} with others: 'autotune schedulers' lists them"
        return UsageError(f"{name} has no candidate ahead of EEVDF, so there is nothing to confirm", hint=hint)
    return None


def continued_already(name: str, by: str) -> UsageError:
    return UsageError(f"session {name} is continued by session {by}", hint=f"continue that one: --continue {by}")


def kept_options(options: Sequence[str]) -> tuple[str, ...]:
    """Return the options that a continuation repeats: all but how long to run."""
    kept: list[str] = []
    for flag, value in zip(options[::2], options[1::2], strict=True):
        if flag not in ("--budget", "--runs"):
            kept += [flag, value]
    return tuple(kept)
