# SPDX-License-Identifier: MIT
"""The state of a session, computed from its events, for the moving part of the live view. Pure; the time comes with
each event."""

from __future__ import annotations

from dataclasses import replace

from autotune import events
from autotune.frozen import dataclass
from autotune.records import CandidateResult, Phase, Trial
from autotune.report.sentences import spending_text
from autotune.views.wording import step_text


@dataclass(frozen=True)
class SessionProgress:
    """The state so far. All times are seconds of one monotonic clock."""

    started_s: float
    step: str = "Starting"
    """Current step besides runs; empty while a run is under way."""
    phase: Phase | None = None
    """None before the first round."""
    phase_started_s: float = 0.0
    phase_runs: int = 0
    """Runs finished in this phase."""
    round: int = 0
    at_most: int = 0
    """Most rounds of this phase; 0 where that is not known."""
    order: tuple[str, ...] = ()
    round_runs: int = 0
    """Runs finished in this round."""
    running: str | None = None
    """Key of the candidate whose run is under way; None between runs."""
    run_started_s: float = 0.0
    attached: str | None = None
    """Name of the attached scheduler as the kernel shows it; None for EEVDF."""
    results: tuple[CandidateResult, ...] = ()
    last: Trial | None = None
    """The run that ended last; None before the first."""
    values: tuple[tuple[str, float], ...] = ()
    """Key and value of each run that counts, without warm-up."""

    def values_of(self, key: str) -> list[float]:
        """Return the values of a candidate's runs so far."""
        return [value for one, value in self.values if one == key]

    ends_at_s: float | None = None
    """When the session ends at the latest; None before the first round, when only its budget tells."""

    def left_s(self, now_s: float, budget_s: float) -> float:
        """Estimate the seconds until the session ends at the latest."""
        budget_ends_s = self.started_s + budget_s
        ends_s = budget_ends_s if self.ends_at_s is None else min(budget_ends_s, self.ends_at_s)
        return max(0.0, ends_s - now_s)

    def phase_left_s(self, now_s: float) -> float | None:
        """Estimate the seconds until the phase ends, at the pace of its runs so far; None before the first has ended.
        An upper bound while candidates may be dropped."""
        if not self.phase_runs or not self.order:
            return None
        left = (self.at_most - self.round) * len(self.order) + len(self.order) - self.round_runs
        latest_s = self.run_started_s if self.running is not None else now_s
        pace_s = max(0.0, latest_s - self.phase_started_s) / self.phase_runs
        spent_s = now_s - latest_s
        return max(0.0, left * pace_s - spent_s)


def advance(progress: SessionProgress, event: events.Event, now_s: float) -> SessionProgress:
    """Return the state after one more event, which happened at `now_s`."""
    if isinstance(event, events.Step):
        return replace(progress, step=step_text(event), running=None)
    if isinstance(event, events.PlannerActed):
        return replace(progress, step=f"Planning ({event.what}; {spending_text(event.spending)})", running=None)
    if isinstance(event, events.RoundStarted):
        return _round_started(progress, event, now_s)
    if isinstance(event, events.Attached):
        return replace(progress, attached=event.attachment.ops)
    if isinstance(event, events.Detached):
        return replace(progress, attached=None)
    if isinstance(event, events.RunStarted):
        return _run_started(progress, event, now_s)
    if isinstance(event, events.RunFinished):
        runs = progress.round_runs + 1, progress.phase_runs + 1
        progress = _measured(progress, event.trial)
        return replace(progress, running=None, round_runs=runs[0], phase_runs=runs[1])
    if isinstance(event, events.Standings):
        return replace(progress, results=event.results)
    return progress


def _measured(progress: SessionProgress, trial: Trial) -> SessionProgress:
    counts = trial.value is not None and trial.phase != "warmup"
    values = (*progress.values, (trial.candidate, trial.value or 0.0)) if counts else progress.values
    return replace(progress, last=trial, values=values)


def _round_started(progress: SessionProgress, event: events.RoundStarted, now_s: float) -> SessionProgress:
    progress = _in_phase(progress, event.phase, now_s)
    order = event.order
    ends_at_s = None if event.left_s is None else now_s + event.left_s
    return replace(
        progress, round=event.round, at_most=event.at_most, order=order, round_runs=0, step="", ends_at_s=ends_at_s
    )


def _run_started(progress: SessionProgress, event: events.RunStarted, now_s: float) -> SessionProgress:
    """Enter the phase here too: warm-up and baseline have runs without rounds."""
    progress = _in_phase(progress, event.phase, now_s)
    return replace(progress, round=event.round, running=event.candidate, run_started_s=now_s, step="")


def _in_phase(progress: SessionProgress, phase: Phase, now_s: float) -> SessionProgress:
    if phase == progress.phase:
        return replace(progress, running=None)
    return SessionProgress(
        started_s=progress.started_s,
        phase=phase,
        phase_started_s=now_s,
        attached=progress.attached,
        results=progress.results,
        last=progress.last,
        values=progress.values,
        ends_at_s=progress.ends_at_s,
    )
