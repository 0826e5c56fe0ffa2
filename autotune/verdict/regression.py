# SPDX-License-Identifier: MIT
"""Whether the same command is slower than it was in an earlier session. Pure.

The runs of two sessions are no pairs: between them lies whatever has changed on the machine. So this says less than a
verdict does, and a change within the noise of either session is none.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from autotune.records import Goal, Interval
from autotune.verdict.stats import interval_of, student_t_quantile, usable

CONFIDENCE = 0.95
LEAST_RUNS = 2
"""Of each session: one run says nothing of the noise."""


def change(now: Sequence[float], then: Sequence[float], goal: Goal) -> Interval | None:
    """Return how many times as good `now` is as `then` was (below 1 is worse), by Welch's interval of the mean
    logarithms; None with too few runs, or values without a ratio.

    Degrees of freedom: Satterthwaite, "An approximate distribution of estimates of variance components", Biometrics
    Bulletin 2, 1946."""
    if min(len(now), len(then)) < LEAST_RUNS or not all(usable(value) for value in (*now, *then)):
        return None
    logs = [[math.log(value) for value in values] for values in (now, then)]
    shares = [statistics.variance(values) / len(values) for values in logs]
    total = math.fsum(shares)
    better = statistics.fmean(logs[1]) - statistics.fmean(logs[0])
    mean = better if goal == "min" else -better
    if not total:
        return interval_of(mean, 0.0, CONFIDENCE)
    below = math.fsum(share * share / (len(values) - 1) for share, values in zip(shares, logs, strict=True))
    df = max(1, int(total * total / below)) if below else len(now) + len(then) - 2
    return interval_of(mean, student_t_quantile((1 + CONFIDENCE) / 2, df) * math.sqrt(total), CONFIDENCE)


def is_worse(found: Interval, allowed: float) -> bool:
    """Return whether the whole interval lies beyond what is allowed: 0.05 for 5 % more time, or 5 % less of a metric
    that should be large."""
    return found.high < 1.0 / (1.0 + allowed)
