# SPDX-License-Identifier: MIT
"""Statistics: samples -> ratios, intervals, verdicts and cautions. Pure: no clock, no random numbers, no I/O.

What always holds here:
- a speedup above 1 is better, whatever the goal of the metric;
- runs are compared only within their round, so that drift of the machine cancels;
- ratios are averaged by their logarithms: a speedup of 2 and one of 1/2 average to 1 (Fleming and Wallace, "How not to
  lie with statistics: the correct way to summarize benchmark results", CACM 29, 1986);
- a value without a logarithm (zero, negative, not finite) has no ratio: the run is invalid (`usable`). Leaving such
  values out silently would flatter a scheduler under which the workload reports zero.
"""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Sequence
from typing import Literal

from autotune.frozen import dataclass
from autotune.records import (
    Goal,
    Interval,
    Verdict,
)

SAME_MARGIN = 0.01
"""A speedup is `same` when its whole interval lies within this relative distance of 1."""

_ROUNDING = 1e-9
"""Smaller relative differences are rounding of floating point numbers, never a speedup."""

# --- Student's t -----------------------------------------------------------------------------------------


def _two_sided_t_probability(theta: float, df: int) -> float:
    """Return P(|T| <= sqrt(df) * tan(theta)) for Student's t with `df` degrees of freedom, by the finite series of
    Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.3 (odd df) and 26.7.4 (even df)."""
    sin, cos = math.sin(theta), math.cos(theta)
    odd = df % 2
    term = cos if odd else 1.0
    total = 0.0
    for power in range(odd, df - 1, 2):
        total += term
        term *= cos * cos * (power + 1) / (power + 2)
    return (theta + sin * total) * 2 / math.pi if odd else sin * total


@functools.lru_cache(maxsize=4096)
def student_t_quantile(p: float, df: int) -> float:
    """Return the `p` quantile of Student's t with `df` degrees of freedom.

    Found by bisection over the angle theta of t = sqrt(df) * tan(theta) (`_two_sided_t_probability`). Relative error
    about 1e-9 for tails down to 1e-6. Raises ValueError unless 0 < p < 1 and df >= 1.
    """
    if not 0.0 < p < 1.0 or df < 1:
        raise ValueError(f"no t quantile for p={p!r} with df={df!r}")
    if p < 0.5:
        return -student_t_quantile(1.0 - p, df)
    wanted = 2.0 * p - 1.0
    low, high = 0.0, math.pi / 2
    while True:
        middle = (low + high) / 2
        if middle in (low, high):
            return math.sqrt(df) * math.tan(low)
        if _two_sided_t_probability(middle, df) < wanted:
            low = middle
        else:
            high = middle


# --- values ----------------------------------------------------------------------------------------------


def usable(value: float | None) -> bool:
    """Return whether a ratio can be taken of the value: it is finite and above zero."""
    return value is not None and math.isfinite(value) and value > 0.0


def median(values: Sequence[float]) -> float | None:
    """Return the median; None without values."""
    return statistics.median(values) if values else None


def robust_deviation(values: Sequence[float]) -> float:
    """Return a standard deviation that a few outliers do not move: 1.4826 times the median absolute deviation.

    1.4826 makes it equal the standard deviation of normal values (Rousseeuw and Croux, "Alternatives to the median
    absolute deviation", JASA 88, 1993)."""
    if not values:
        return 0.0
    centre = statistics.median(values)
    return 1.4826 * statistics.median(abs(value - centre) for value in values)


def noise(values: Sequence[float]) -> float | None:
    """Return the relative standard deviation over runs of one candidate (0.02 for 2 %). Outliers are included, because
    they widen the intervals too. None with fewer than two values or one that is not `usable`."""
    if len(values) < 2 or not all(usable(value) for value in values):
        return None
    return statistics.stdev(values) / statistics.fmean(values)


# --- speedups --------------------------------------------------------------------------------------------


def log_speedup(baseline: float, candidate: float, goal: Goal) -> float:
    """Return the logarithm of the speedup of one pair of `usable` values; above 0 is better."""
    gain = math.log(baseline) - math.log(candidate)
    return gain if goal == "min" else -gain


def interval_of(mean: float, half: float, confidence: float) -> Interval:
    """Return the interval of a speedup: the geometric mean of ratios, from their mean logarithm and its half width.
    Pairs that agree exactly, as counts can, give an interval without width."""
    return Interval(estimate=_exp(mean), low=_exp(mean - half), high=_exp(mean + half), confidence=confidence)


def excludes_one(interval: Interval) -> Literal["faster", "slower"] | None:
    """Return the side of 1 that the whole interval lies on; None when it contains 1."""
    if interval.low > 1.0 + _ROUNDING:
        return "faster"
    return "slower" if interval.high < 1.0 - _ROUNDING else None


def verdict(interval: Interval | None, margin: float = SAME_MARGIN) -> Verdict:
    """Return the verdict of an interval: `faster` and `slower` when it excludes 1, `same` when it lies within
    1/(1 + margin) and 1 + margin, else `undecided`, as without an interval."""
    if interval is None:
        return "undecided"
    side = excludes_one(interval)
    if side is not None:
        return side
    return "same" if 1.0 / (1.0 + margin) <= interval.low and interval.high <= 1.0 + margin else "undecided"


def medians_contradict(interval: Interval | None, baseline: float | None, median: float | None, goal: Goal) -> bool:
    """Return whether an interval excludes 1 although the medians point the other way, as they can where rounds differ
    more than schedulers do."""
    side = None if interval is None else excludes_one(interval)
    if side is None or baseline is None or median is None or not (usable(baseline) and usable(median)):
        return False
    gain = log_speedup(baseline, median, goal)
    return gain < 0.0 if side == "faster" else gain > 0.0


def ratio_text(ratio: float) -> str:
    """Format a ratio in five characters, with more digits only where it would read as 1 and is not: an interval that
    excludes 1 is never printed as one that holds it. Intervals of few noisy runs can be very wide."""
    if ratio >= 999.5:
        return ">999"
    if abs(ratio - 1.0) > _ROUNDING and abs(ratio - 1.0) < 0.0005:
        return f"{ratio:.{-math.floor(math.log10(abs(ratio - 1.0)))}f}"
    return f"{ratio:.{3 if ratio < 9.9995 else 2 if ratio < 99.995 else 1}f}"


def _exp(exponent: float) -> float:
    """Return exp(exponent), infinity when it overflows."""
    try:
        return math.exp(exponent)
    except OverflowError:
        return math.inf


# --- cautions --------------------------------------------------------------------------------------------

CautionKind = Literal["already done", "slow start", "outliers", "drift"]

_DONE_SHARE = 0.25
_DONE_LEAST_S = 0.5
_SLOW_START_SHARE = 1.2
_OUTLIER_DEVIATIONS = 6.0
_OUTLIER_SHARE = 0.1
_DRIFT_SHARE = 0.03
_DRIFT_CONFIDENCE = 0.99


@dataclass(frozen=True)
class Caution:
    """An oddity of the runs, for the user: `text` is a sentence that ends in what to do."""

    kind: CautionKind
    text: str


def looks_already_done(first_s: float, later_s: Sequence[float]) -> bool:
    """Return whether later runs take a quarter of the first or less: the first did the work, as a build does, and
    the others found it done. A gain below 0.5 s may be a cold start instead: programs and
    files that were not in memory yet."""
    typical_s = median(later_s)
    if typical_s is None:
        return False
    return typical_s <= _DONE_SHARE * first_s and first_s - typical_s >= _DONE_LEAST_S


def looks_slow_at_start(first_s: float, later_s: Sequence[float]) -> bool:
    """Return whether the first run took clearly longer than every later one (1.2 times, and outside their scatter), as
    with cold caches, and not because the work was already done. Needs two later runs."""
    if len(later_s) < 2 or looks_already_done(first_s, later_s):
        return False
    slowest_s = max(later_s)
    return first_s > _SLOW_START_SHARE * slowest_s and first_s - slowest_s > 2 * (slowest_s - min(later_s))


def outliers(values: Sequence[float]) -> list[float]:
    """Return the values more than 6 robust deviations and 10 % away from the median; none among fewer than five."""
    if len(values) < 5:
        return []
    centre = statistics.median(values)
    limit = max(_OUTLIER_DEVIATIONS * robust_deviation(values), _OUTLIER_SHARE * abs(centre))
    return [value for value in values if abs(value - centre) > limit]


def drift(values: Sequence[float]) -> float | None:
    """Return the relative change from the first to the last value (0.1: the last is 10 % above the first), by a
    straight line through their logarithms, in the order they were measured. None unless the slope differs from 0 at
    99 % confidence and the change is 3 % or more. Needs six `usable` values.

    The slope is tested by least squares, t = slope / sqrt(s^2 / Sxx), Sxx = n (n^2 - 1) / 12 for the places 0 to n - 1
    (Draper and Smith, Applied Regression Analysis, chapter 1)."""
    count = len(values)
    if count < 6 or not all(usable(value) for value in values):
        return None
    logs = [math.log(value) for value in values]
    places = range(count)
    slope, start = statistics.linear_regression(places, logs)
    scatter = math.fsum((log - start - slope * place) ** 2 for place, log in zip(places, logs, strict=True))
    width = count * (count * count - 1) / 12
    least = student_t_quantile((1 + _DRIFT_CONFIDENCE) / 2, count - 2) * math.sqrt(scatter / (count - 2) / width)
    change = math.expm1(slope * (count - 1))
    return change if abs(slope) > least and abs(change) >= _DRIFT_SHARE else None


def cautions(wall_s: Sequence[float], *, prepared: bool) -> tuple[Caution, ...]:
    """Find oddities of the baseline's runs, given in the order they were measured. `prepared`: `--prepare` or
    `--pristine` already restores the files before every run, so the advice differs."""
    if len(wall_s) < 2:
        return ()
    first_s, later_s = wall_s[0], wall_s[1:]
    found = [
        _already_done(first_s, later_s, prepared) if looks_already_done(first_s, later_s) else None,
        _slow_start(first_s, later_s) if looks_slow_at_start(first_s, later_s) else None,
        _outliers(later_s),
        _drift(later_s),
    ]
    return tuple(caution for caution in found if caution is not None)


def _already_done(first_s: float, later_s: Sequence[float], prepared: bool) -> Caution:
    what = f"Later runs take {statistics.median(later_s):.3g} s, the first took {first_s:.3g} s: "
    if prepared:
        advice = "--prepare or --pristine does not seem to undo all that a run does; check what it leaves behind."
    else:
        advice = "the work seems to be done already; use --prepare (such as 'make clean') or --pristine."
    return Caution("already done", what + advice)


def _slow_start(first_s: float, later_s: Sequence[float]) -> Caution:
    ratio = first_s / statistics.median(later_s)
    text = f"The first run took {ratio:.2g} times as long as later ones; --warmup 1 leaves it out."
    return Caution("slow start", text)


def _outliers(wall_s: Sequence[float]) -> Caution | None:
    odd = outliers(wall_s)
    if not odd:
        return None
    count = f"{len(odd)} of {len(wall_s)} runs took far more or less time than the rest"
    return Caution("outliers", f"{count}; quiet the machine if something else is running.")


def _drift(wall_s: Sequence[float]) -> Caution | None:
    change = drift(wall_s)
    if change is None:
        return None
    way = "slower" if change > 0 else "faster"
    what = f"Runs got {way} by {abs(change) * 100:.0f} % during the session, as with heat or other work"
    return Caution("drift", f"{what}; rounds stay comparable, but a steadier machine shows smaller differences.")


def percent_text(share: float) -> str:
    """Format a share for a sentence: 0.021 is `2.1 %`, 0.25 is `25 %`."""
    percent = share * 100
    return f"{percent:.0f} %" if abs(percent) >= 9.95 else f"{percent:.1f} %"
