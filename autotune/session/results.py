# SPDX-License-Identifier: MIT
"""Results, from the measurements and the standings of the race."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from autotune.records import BASELINE, Candidate, CandidateResult, Goal, Phase
from autotune.session.entries import Entries
from autotune.session.measured import Measured
from autotune.verdict import ranking, stats
from autotune.verdict.race import Race, Standing

MEDIANS_DIFFER = "the medians say otherwise, since rounds differ widely: the speedup compares round by round"


@dataclass(frozen=True)
class Results:
    """Computes results from the entries and runs of a session as they are at each call."""

    entries: Entries
    measured: Measured
    goal: Goal = "min"

    def ranked(self, race: Race | None) -> list[CandidateResult]:
        """Return all candidates and the baseline, best first."""
        standings = race.standings() if race is not None else ()
        winner = race.winner if race is not None else None
        leader = race.shown_leader if race is not None else None
        return ranking.rank(
            [*self.of_candidates(standings), self._of_baseline()], winner, leader.key if leader is not None else None
        )

    def of_candidates(self, standings: Iterable[Standing]) -> list[CandidateResult]:
        return [self._of_candidate(standing) for standing in standings]

    def _of_candidate(self, standing: Standing) -> CandidateResult:
        """Return one result; both medians are of the rounds that the verdict compared."""
        entry = self.entries[standing.key]
        phase: Phase = "confirm" if standing.fresh else "race"
        compared = [(phase, number) for number in standing.rounds]
        own = [entry.values[one] for one in compared] or list(entry.values.values())
        median, eevdf = stats.median(own), stats.median([self.measured.baseline_values[one] for one in compared])
        note = self.note_of(standing)
        if stats.medians_contradict(standing.interval, eevdf, median, self.goal):
            note = f"{note}; {MEDIANS_DIFFER}" if note else MEDIANS_DIFFER
        return CandidateResult(
            candidate=entry.proposal.candidate,
            reason=entry.proposal.reason,
            verdict=standing.verdict,
            speedup=standing.interval,
            median=median,
            baseline_median=eevdf,
            runs=len(entry.values),
            invalid_runs=standing.invalid,
            confirmed=standing.confirmed,
            note=note,
            expected=entry.proposal.expected,
            prediction=entry.proposal.prediction,
            held=ranking.held(entry.proposal.prediction, standing.verdict),
            fresh_pairs=standing.fresh_pairs,
            slowest=standing.tail.slowest if standing.tail is not None else None,
        )

    def note_of(self, standing: Standing) -> str:
        """Return the note of a candidate in the table."""
        entry = self.entries[standing.key]
        if standing.fresh and not standing.confirmed and not entry.last_problem and not standing.dropped:
            return f"not confirmed in {standing.pairs} fresh rounds"
        if standing.dropped is None or standing.dropped == entry.last_problem:
            return entry.last_problem
        if standing.verdict == "invalid" and entry.last_problem:
            return entry.last_problem
        return standing.dropped

    def _of_baseline(self) -> CandidateResult:
        values = list(self.measured.baseline_values.values())
        trials = [trial for trial in self.measured.trials if trial.candidate == BASELINE]
        return CandidateResult(
            candidate=Candidate(BASELINE),
            reason="the kernel's own scheduler",
            verdict=None,
            speedup=None,
            median=stats.median(values),
            runs=len(values),
            invalid_runs=sum(1 for trial in trials if trial.invalid is not None),
            confirmed=False,
        )
