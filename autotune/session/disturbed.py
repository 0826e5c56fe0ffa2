# SPDX-License-Identifier: MIT
"""Marks the runs of a session that were disturbed from outside. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from autotune.records import BASELINE, CandidateResult, Trial, is_baseline
from autotune.report.sentences import DISTURBED
from autotune.report.text import counted
from autotune.verdict import disturbance


def marked(trials: Sequence[Trial], others_before: float) -> tuple[Trial, ...]:
    """Return the trials, each with what disturbed it. `others_before` is how many CPUs others used before the
    session."""
    marks = disturbance.marks([one.surroundings for one in trials], others_before)
    return tuple(replace(one, disturbed=mark) if mark else one for one, mark in zip(trials, marks, strict=True))


def counts(results: Sequence[CandidateResult], trials: Sequence[Trial]) -> tuple[CandidateResult, ...]:
    """Return the results with how many of their runs were disturbed."""
    found = Counter(one.candidate for one in _counting(trials) if one.disturbed)
    return tuple(replace(one, disturbed_runs=found[one.candidate.key]) for one in results)


def warning(trials: Sequence[Trial]) -> str | None:
    """Return a sentence on the disturbed runs, with advice; None when there are none."""
    runs = _counting(trials)
    hit = [one for one in runs if one.disturbed]
    if not hit:
        return None
    worst = max(hit, key=lambda one: (one.surroundings.others_s or 0.0) if one.surroundings else 0.0)
    name = f"EEVDF{worst.candidate.removeprefix(BASELINE)}" if is_baseline(worst.candidate) else worst.candidate
    return (
        f"{DISTURBED}: {len(hit)} of {counted(len(runs), 'run')}, such as {name} in {worst.phase} round {worst.round} "
        f"({worst.disturbed}); they are marked and count, since all schedulers take turns, and widen the intervals: "
        "repeat it on a quiet machine"
    )


def _counting(trials: Sequence[Trial]) -> list[Trial]:
    return [one for one in trials if one.phase != "warmup" and one.value is not None]
