# SPDX-License-Identifier: MIT
"""Results, from the measurements and the standings of the race."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from autotune.frozen import dataclass
from autotune.records import (
    BASELINE,
    AttachSpec,
    Candidate,
    CandidateResult,
    GuardResult,
    MeasuredScheduler,
    MetricResult,
    Phase,
    Workload,
    point_text,
)
from autotune.session.continuation import TakenUp, merged
from autotune.session.entries import Entries, RoundOf
from autotune.session.measured import Measured
from autotune.verdict import guards, ranking, stats
from autotune.verdict.race import Race
from autotune.verdict.standing import Standing
from autotune.verdict.statistic import Statistic
from autotune.verdict.sweep import ValuePlace

MEDIANS_DIFFER = "the medians say otherwise, since rounds differ widely: the speedup compares round by round"


@dataclass(frozen=True)
class Results:
    """Computes results from the entries and runs of a session as they are at each call."""

    entries: Entries
    measured: Measured
    workload: Workload
    statistic: Statistic | None = None
    """What is judged of the runs; None: the typical run."""
    taken_up: TakenUp | None = None
    """The session that this one continues; None for most."""

    def ranked(self, race: Race | None) -> list[CandidateResult]:
        """Return all candidates and the baseline, best first."""
        standings = race.standings() if race is not None else ()
        winner = race.winner if race is not None else None
        leader = race.shown_leader if race is not None else None
        before = self.taken_up.not_in(one.key for one in standings) if self.taken_up is not None else []
        results = [*self.of_candidates(standings), *before, *self.of_baselines()]
        return ranking.rank(results, winner, leader.key if leader is not None else None)

    def of_candidates(self, standings: Iterable[Standing]) -> list[CandidateResult]:
        return [self._of_candidate(standing) for standing in standings]

    def _of_candidate(self, standing: Standing) -> CandidateResult:
        before = self.taken_up.result(standing.key) if self.taken_up is not None else None
        if before is None:
            return self._measured_now(standing)
        if standing.fresh:
            return merged(before, self._measured_now(standing))
        verdict = "invalid" if standing.verdict == "invalid" else before.verdict
        return replace(before, verdict=verdict, note=self.note_of(standing) or before.note)

    def _measured_now(self, standing: Standing) -> CandidateResult:
        """Return one result; both medians are of the rounds that the verdict compared."""
        entry = self.entries[standing.key]
        phase: Phase = "confirm" if standing.fresh else "race"
        compared = [(phase, number) for number in standing.rounds]
        own = [entry.values[one] for one in compared] or list(entry.values.values())
        known = self.measured.baseline_values.get(standing.against, {})
        median, eevdf = self._middle(own), self._middle([known[one] for one in compared])
        note = self.note_of(standing)
        if self.workload.parameters and standing.against != self.measured.places[0].key:
            beside = f"compared with EEVDF {point_text(self.measured.points[standing.against])}"
            note = f"{note}; {beside}" if note else beside
        if self.statistic is None and stats.medians_contradict(standing.interval, eevdf, median, self.workload.goal):
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
            held=ranking.came_true(entry.proposal.prediction, standing.verdict),
            fresh_pairs=standing.fresh_pairs,
            slowest=standing.tail.slowest if standing.tail is not None else None,
            guards=self.guards_of(standing),
            metrics=self._metrics(entry.others, compared, standing.against),
            against=standing.against if self.workload.parameters else None,
            attached=attached(entry.spec),
        )

    def _middle(self, values: Sequence[float]) -> float | None:
        """Return the median, or what is judged instead."""
        return stats.median(values) if self.statistic is None else self.statistic.of(values, self.workload.goal)

    def guards_of(self, standing: Standing) -> tuple[GuardResult, ...]:
        """Judge a candidate's guards over the rounds that its interval rests on."""
        phase: Phase = "confirm" if standing.fresh else "race"
        known, own = self.measured.baseline_others.get(standing.against, {}), self.entries[standing.key].others
        compared = [(phase, number) for number in standing.rounds]
        rounds = [(known[one], own[one]) for one in compared if one in known and one in own]
        return guards.judge(self.workload.guards, rounds)

    def _metrics(
        self, own: Mapping[RoundOf, Mapping[str, float]], compared: Sequence[RoundOf] | None, against: str
    ) -> tuple[MetricResult, ...]:
        """Return medians of further metrics over the `compared` rounds, beside those of the baseline `against`; None:
        over all of EEVDF's own."""
        known = self.measured.baseline_others.get(against, {})
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
            return entry.last_problem or self._too_few(standing)
        if standing.verdict == "invalid" and entry.last_problem:
            return entry.last_problem
        return standing.dropped

    def _too_few(self, standing: Standing) -> str:
        """Return why a candidate has no interval; empty where the typical run is judged, or there is one."""
        if self.statistic is None or standing.fresh or not standing.rounds:
            return ""
        return f"too few rounds to judge its {self.statistic.name}"

    def of_baselines(self) -> list[CandidateResult]:
        """Return EEVDF at each value of the parameters, best first; a single result without parameters."""
        best = ValuePlace(next(iter(self.measured.points)), None, None, "", ())
        return [self._of_baseline(place) for place in self.measured.places or (best,)]

    def _of_baseline(self, place: ValuePlace) -> CandidateResult:
        known = self.measured.baseline_values
        own, others = known.get(place.key, {}), self.measured.baseline_others.get(place.key, {})
        rounds: list[RoundOf] = [("baseline", number) for number in place.rounds]
        compared = None if place.verdict is None else rounds
        trials = [trial for trial in self.measured.trials if trial.candidate == place.key]
        return CandidateResult(
            candidate=Candidate(BASELINE, params=self.measured.points[place.key]),
            reason="the kernel's own scheduler",
            verdict=place.verdict,
            speedup=place.interval,
            median=self._middle(list(own.values()) if compared is None else [own[one] for one in compared]),
            baseline_median=None if compared is None else self._middle([known[place.against][one] for one in compared]),
            runs=len(own),
            invalid_runs=sum(1 for trial in trials if trial.invalid is not None),
            confirmed=False,
            note=self._note_of_baseline(place),
            metrics=self._metrics(others, compared, place.against),
            against=None if compared is None else place.against,
        )

    def _note_of_baseline(self, place: ValuePlace) -> str:
        if len(self.measured.places) < 2:
            return ""
        if place.verdict is None:
            return "EEVDF's best value"
        return "" if place.verdict == "slower" else "may be EEVDF's best value: a winner must beat it too"


def attached(spec: AttachSpec) -> MeasuredScheduler | None:
    """Return what tells later whether a scheduler is still the one that was measured; None where that is not known."""
    if not spec.digest:
        return None
    try:
        status = os.stat(spec.digest_of)
    except OSError:
        return None
    return MeasuredScheduler(
        kind="binary" if spec.program is not None else "generated" if spec.generated else "bpf",
        ops=spec.ops,
        version=spec.version,
        digest=spec.digest,
        digest_of=spec.digest_of,
        size_bytes=status.st_size,
        mtime_ns=status.st_mtime_ns,
        object_path=spec.object_path,
        argv=spec.program.argv if spec.program is not None else (),
    )
