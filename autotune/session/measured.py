# SPDX-License-Identifier: MIT
"""Measurements of a session: all trials, and the baseline with its observation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from autotune.measure import counters
from autotune.records import BASELINE, Baseline, Observation, Point, Run, Trial
from autotune.session.entries import RoundOf
from autotune.session.trials import TrialOutcome
from autotune.verdict import stats
from autotune.verdict.confirm import detectable
from autotune.verdict.sweep import Place


@dataclass
class Measured:
    """All that was measured so far. `baseline`, `observation` and `last_run` are None until the baseline is known."""

    trials: list[Trial] = field(default_factory=list)
    baseline_values: dict[str, dict[RoundOf, float]] = field(default_factory=dict)
    """Values of EEVDF's runs, by its key: there is one for each value of the workload's parameters."""
    baseline_others: dict[str, dict[RoundOf, dict[str, float]]] = field(default_factory=dict)
    """Values of guards and of further metrics, by name; as `baseline_values`."""
    places: tuple[Place, ...] = ()
    """EEVDF at each value of the parameters, best first; empty until the baseline is known."""
    points: Mapping[str, Point] = field(default_factory=lambda: {BASELINE: ()})
    """The values of each key of EEVDF."""
    baseline: Baseline | None = None
    observation: Observation | None = None
    last_run: Run | None = None

    def note_baseline(self, trial: Trial) -> None:
        """Keep the values of a run of EEVDF; none for one that does not count."""
        if trial.value is not None:
            self.baseline_values.setdefault(trial.candidate, {})[trial.phase, trial.round] = trial.value
            self.baseline_others.setdefault(trial.candidate, {})[trial.phase, trial.round] = trial.others

    def learn_baseline(
        self, measured: Mapping[str, Sequence[TrialOutcome]], places: Sequence[Place], cpus: int, pairs: int
    ) -> tuple[Baseline, Observation]:
        """Set the baseline from EEVDF's first runs by key, without the warm-up: that of the first place. `pairs` are
        those that the budget has for a confirmation, 0 when it has no room for one."""
        for outcome in (one for outcomes in measured.values() for one in outcomes):
            self.note_baseline(outcome.trial)
        self.places = tuple(places)
        best = measured[places[0].key]
        values = [one.trial.value for one in best if one.trial.value is not None]
        noise = stats.noise(values) or 0.0
        self.last_run = best[-1].trial.run
        self.baseline = Baseline(
            median=stats.median(values) or 0.0,
            runs=len(values),
            noise=noise,
            detectable=detectable(noise, pairs) if pairs else None,
            params=self.points[places[0].key],
        )
        self.observation = counters.average(
            [counters.observe(item.before, item.after, item.trial.run, cpus) for item in best]
        )
        return self.baseline, self.observation
