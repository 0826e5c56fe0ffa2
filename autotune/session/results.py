# SPDX-License-Identifier: MIT
"""Results, from the measurements and the standings of the race."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from autotune.records import BASELINE, Candidate, CandidateResult, GuardResult, MetricResult, Phase, Workload
from autotune.session.entries import Entries, RoundOf
from autotune.session.measured import Measured
from autotune.verdict import guards, ranking, stats
from autotune.verdict.race import Race, Standing


@dataclass(frozen=True)
class Results:
    """Computes results from the entries and runs of a session as they are at each call."""

    entries: Entries
    measured: Measured
    workload: Workload

    def ranked(self, race: Race | None) -> list[CandidateResult]:
        """Return all candidates and the baseline, best first."""
        standings = race.standings() if race is not None else ()
        winner = race.winner if race is not None else None
        return ranking.rank([*self.of_candidates(standings), self._of_baseline()], winner)

    def of_candidates(self, standings: Iterable[Standing]) -> list[CandidateResult]:
        return [self._of_candidate(standing) for standing in standings]

    def _of_candidate(self, standing: Standing) -> CandidateResult:
        """Return one result; both medians are of the rounds that the verdict compared."""
        entry = self.entries[standing.key]
        phase: Phase = "confirm" if standing.fresh else "race"
        compared = [(phase, number) for number in standing.rounds]
        own = [entry.values[one] for one in compared] or list(entry.values.values())
        return CandidateResult(
            candidate=entry.proposal.candidate,
            reason=entry.proposal.reason,
            verdict=standing.verdict,
            speedup=standing.interval,
            median=stats.median(own),
            baseline_median=stats.median([self.measured.baseline_values[one] for one in compared]),
            runs=len(entry.values),
            invalid_runs=standing.invalid,
            confirmed=standing.confirmed,
            note=self.note_of(standing),
            expected=entry.proposal.expected,
            prediction=entry.proposal.prediction,
            held=ranking.held(entry.proposal.prediction, standing.verdict),
            fresh_pairs=standing.fresh_pairs,
            slowest=standing.tail.slowest if standing.tail is not None else None,
            guards=self.guards_of(standing),
            metrics=self._metrics(entry.others, compared),
        )

    def guards_of(self, standing: Standing) -> tuple[GuardResult, ...]:
        """Judge a candidate's guards over the rounds that its interval rests on."""
        phase: Phase = "confirm" if standing.fresh else "race"
        known, own = self.measured.baseline_others, self.entries[standing.key].others
        compared = [(phase, number) for number in standing.rounds]
        rounds = [(known[one], own[one]) for one in compared if one in known and one in own]
        return guards.judge(self.workload.guards, rounds)

    def _metrics(
        self, own: Mapping[RoundOf, Mapping[str, float]], compared: Sequence[RoundOf] | None
    ) -> tuple[MetricResult, ...]:
        """Return medians of further metrics over the `compared` rounds; None: over all of EEVDF's own."""
        known = self.measured.baseline_others
        found = []
        for metric in self.workload.metrics:
            rounds = [one for one in (own if compared is None else compared) if one in own and metric.name in own[one]]
            eevdf = [known[one][metric.name] for one in rounds if metric.name in known.get(one, {})]
            median = stats.median([own[one][metric.name] for one in rounds])
            if median is not None:
                found.append(MetricResult(metric.name, median, None if compared is None else stats.median(eevdf)))
        return tuple(found)

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
            metrics=self._metrics(self.measured.baseline_others, None),
        )
