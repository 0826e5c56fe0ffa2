# SPDX-License-Identifier: MIT
"""Measurements of a session: all trials, and the baseline with its observation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from autotune.measure import counters
from autotune.records import Baseline, Observation, Run, Trial
from autotune.session.entries import RoundOf
from autotune.session.trials import TrialOutcome
from autotune.verdict import stats
from autotune.verdict.confirm import detectable


@dataclass
class Measured:
    """All that was measured so far. `baseline`, `observation` and `last_run` are None until the baseline is known."""

    trials: list[Trial] = field(default_factory=list)
    baseline_values: dict[RoundOf, float] = field(default_factory=dict)
    baseline_others: dict[RoundOf, dict[str, float]] = field(default_factory=dict)
    """Values of guards and of further metrics, by name."""
    baseline: Baseline | None = None
    observation: Observation | None = None
    last_run: Run | None = None

    def learn_baseline(self, measured: Sequence[TrialOutcome], cpus: int, pairs: int) -> tuple[Baseline, Observation]:
        """Set the baseline from its first runs, without the warm-up. `pairs` are those that the budget has for a
        confirmation, 0 when it has no room for one."""
        trials = [outcome.trial for outcome in measured]
        self.baseline_values = {(one.phase, one.round): one.value for one in trials if one.value is not None}
        self.baseline_others = {(one.phase, one.round): one.others for one in trials if one.value is not None}
        values = list(self.baseline_values.values())
        noise = stats.noise(values) or 0.0
        self.last_run = trials[-1].run
        self.baseline = Baseline(
            median=stats.median(values) or 0.0,
            runs=len(values),
            noise=noise,
            detectable=detectable(noise, pairs) if pairs else None,
        )
        self.observation = counters.average(
            [counters.observe(item.before, item.after, item.trial.run, cpus) for item in measured]
        )
        return self.baseline, self.observation
