# SPDX-License-Identifier: MIT
"""Charts of a session as SVG: intervals around 1, runs in order of time, a histogram. Pure.

What always holds here: places across are percentages, so that a chart is as wide as its page while text and lines keep
their size; what lies outside of a chart is drawn at its edge and marked.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from autotune.frozen import dataclass
from autotune.records import BASELINE, Candidate, Interval, Session, Trial
from autotune.report.elements import Safe, element, joined
from autotune.report.text import Scale, value_text

MARGIN = 2.0
"""Percent left free at both edges, for what is drawn around a place."""
MOST_POINTS = 4000
"""Most runs drawn in all charts of a page together; of more, some are left out evenly."""
MOST_GAIN = 4.0
"""Largest ratio that an axis of speedups shows."""


@dataclass(frozen=True)
class Axis:
    """A span of values, as places in percent."""

    low: float
    high: float
    logarithmic: bool = False

    def place(self, value: float) -> float:
        """Return the place of a value; one outside of the span is at its edge."""
        at, low, high = (self._position(one) for one in (value, self.low, self.high))
        share = (at - low) / (high - low) if high > low else 0.5
        return MARGIN + (100 - 2 * MARGIN) * min(1.0, max(0.0, share))

    def _position(self, value: float) -> float:
        return math.log(max(value, 1e-12)) if self.logarithmic else value


def percent(place: float) -> str:
    return f"{place:.2f}%"


# --- intervals -------------------------------------------------------------------------------------------


def speedup_axis(intervals: Iterable[Interval]) -> Axis:
    """Return an axis with 1 in its middle that holds all intervals, up to `MOST_GAIN`."""
    bounds = [abs(math.log(one)) for each in intervals for one in (each.low, each.high) if 0 < one < math.inf]
    reach = math.exp(min(math.log(MOST_GAIN), max([*bounds, math.log(1.02)]) * 1.05))
    return Axis(1 / reach, reach, logarithmic=True)


def interval_bar(interval: Interval, axis: Axis, kind: str) -> Safe:
    """Draw one interval and its estimate."""
    low, estimate, high = (percent(axis.place(one)) for one in (interval.low, interval.estimate, interval.high))
    ends = [_end(one, axis) for one in (interval.low, interval.high)]
    bar = element("line", x1=low, x2=high, y1=11, y2=11, class_="bar")
    dot = element("circle", cx=estimate, cy=11, r=5, class_="dot")
    return _chart("chart " + kind, 22, f"speedup {interval.estimate:.3f}", _middle(axis, 22), bar, *ends, dot)


def _end(bound: float, axis: Axis) -> Safe:
    place = percent(axis.place(bound))
    if axis.low <= bound <= axis.high:
        return element("line", x1=place, x2=place, y1=6, y2=16, class_="bar")
    is_low = bound < axis.low
    return element("text", "<" if is_low else ">", x=place, y=15, text_anchor="end" if is_low else "start")


def _middle(axis: Axis, height: int) -> Safe:
    place = percent(axis.place(1.0))
    return element("line", x1=place, x2=place, y1=0, y2=height, class_="one")


def no_interval(axis: Axis) -> Safe:
    """Draw the line of 1 alone."""
    return _chart("chart", 10, "no interval", _middle(axis, 10))


def axis_below(axis: Axis) -> Safe:
    """Draw the numbers of an axis of speedups."""
    drawn = []
    for ratio in speedup_ticks(axis):
        place = percent(axis.place(ratio))
        drawn.append(element("line", x1=place, x2=place, y1=0, y2=5, class_="axis"))
        drawn.append(element("text", f"{ratio:g}", x=place, y=18, text_anchor="middle", class_="number"))
    across = element("line", x1=percent(MARGIN), x2=percent(100 - MARGIN), y1=0.5, y2=0.5, class_="axis")
    return _chart("chart", 22, "axis of speedups", across, *drawn)


def speedup_ticks(axis: Axis) -> list[float]:
    """Return round ratios within the axis: 1, and at most three on each side."""
    room = axis.high - 1
    step = next((one for one in (0.005, 0.01, 0.02, 0.05, 0.1, 0.2) if room / one < 4), None)
    steps = range(-3, 4)
    ratios = _WIDE_TICKS if step is None else [round(1 + step * number, 4) for number in steps]
    return [one for one in ratios if axis.low <= one <= axis.high]


_WIDE_TICKS = (0.25, 0.5, 0.7, 1.0, 1.4, 2.0, 4.0)
"""Ratios about as far above 1 as below it."""


# --- runs ------------------------------------------------------------------------------------------------


def measured(session: Session) -> dict[str, list[Trial]]:
    """Return the runs of each candidate in order of time, without warm-up, thinned to `MOST_POINTS` in all."""
    counted = sorted((one for one in session.trials if one.phase != "warmup"), key=lambda one: one.started_at)
    by_key: dict[str, list[Trial]] = {}
    for trial in counted[:: max(1, math.ceil(len(counted) / MOST_POINTS))]:
        by_key.setdefault(trial.candidate, []).append(trial)
    return by_key


def values(trials: Iterable[Trial]) -> list[float]:
    return [one.value for one in trials if one.value is not None and math.isfinite(one.value)]


def value_axis(numbers: Sequence[float]) -> Axis:
    """Return an axis for values; a single one is in its middle."""
    low, high = min(numbers), max(numbers)
    return Axis(low, high) if high > low else Axis(low - abs(low or 1) * 0.01, high + abs(high or 1) * 0.01)


_PANEL_HEIGHT = 64
_EDGE = 7


def runs_in_order(trials: Sequence[Trial], time: Axis, value: Axis, baseline: float | None, *, is_time: bool) -> Safe:
    """Draw the runs of one candidate: across is the time of day, upwards the value. `baseline` is EEVDF's median."""
    drawn: list[Safe] = []
    if baseline is not None:
        height = _height(value, baseline)
        drawn.append(element("line", x1="0%", x2="100%", y1=height, y2=height, class_="one"))
    for trial in trials:
        place = percent(time.place(trial.started_at))
        where = f"{trial.phase} {trial.round}"
        if trial.value is None or not math.isfinite(trial.value):
            title = element("title", f"{where}: {trial.invalid or 'no value'}")
            drawn.append(element("text", "\u00d7", title, x=place, y=_PANEL_HEIGHT - 2, class_="lost"))
            continue
        says = f"{where}: {value_text(trial.value, is_time=is_time)}"
        title = element("title", f"{says}; {trial.disturbed}" if trial.disturbed else says)
        kind = "dot" if trial.phase in ("confirm", "tail") else "ring"
        if trial.disturbed:
            drawn.append(element("text", "!", x=place, y=_PANEL_HEIGHT - 2, class_="disturbed"))
        drawn.append(element("circle", title, cx=place, cy=_height(value, trial.value), r=3.5, class_=kind))
    return _chart("panel", _PANEL_HEIGHT, f"{len(trials)} runs in order of time", *drawn)


def _height(axis: Axis, value: float) -> float:
    share = (axis.place(value) - MARGIN) / (100 - 2 * MARGIN)
    return _EDGE + (_PANEL_HEIGHT - 2 * _EDGE) * (1 - share)


def time_axis(session: Session) -> Axis:
    times = [one.started_at for one in session.trials if one.phase != "warmup"] or [0.0]
    return Axis(min(times), max(times))


# --- histogram -------------------------------------------------------------------------------------------

BINS = 16


def histogram(numbers: Sequence[float], axis: Axis, most: int) -> Safe:
    """Draw how often values fell into each of `BINS` parts of the axis; `most` is the height of a whole panel."""
    width = (100 - 2 * MARGIN) / BINS
    bars = []
    for number, count in enumerate(bin_counts(numbers, axis)):
        height = (_PANEL_HEIGHT - 2) * count / most
        title = element("title", f"{count}")
        place = percent(MARGIN + number * width)
        if count:
            bars.append(
                element(
                    "rect",
                    title,
                    x=place,
                    width=percent(width * 0.92),
                    y=_PANEL_HEIGHT - height,
                    height=height,
                    class_="column",
                )
            )
    return _chart("panel", _PANEL_HEIGHT, f"histogram of {len(numbers)} runs", *bars)


def bin_counts(numbers: Iterable[float], axis: Axis) -> list[int]:
    """Return how many values are in each part of the axis; the last part includes its end."""
    counts = [0] * BINS
    for value in numbers:
        share = (axis.place(value) - MARGIN) / (100 - 2 * MARGIN)
        counts[min(BINS - 1, int(share * BINS))] += 1
    return counts


def ends(axis: Axis, scale: Scale) -> tuple[str, str]:
    """Return the ends of an axis of values with their unit."""
    unit = f" {scale.unit}" if scale.unit else ""
    return f"{scale.text(axis.low)}{unit}", f"{scale.text(axis.high)}{unit}"


def baseline_of(session: Session, candidate: Candidate) -> str:
    """Return the key of the EEVDF runs that a candidate is compared with; for EEVDF's best value, its own."""
    found = next((one for one in session.results if one.candidate == candidate), None)
    if found is not None and found.against is not None:
        return found.against
    return candidate.key if candidate.scheduler == BASELINE else BASELINE


def compared(session: Session, runs: dict[str, list[Trial]]) -> list[str]:
    """Return the first candidate of the table that has values, and before it the EEVDF runs that it is compared with,
    as far as there are runs."""
    tried = [one.candidate for one in session.results if one.candidate.scheduler != BASELINE]
    first = next((one for one in tried if values(runs.get(one.key, []))), None)
    keys = [BASELINE] if first is None else [baseline_of(session, first), first.key]
    return [key for key in keys if values(runs.get(key, []))]


def _chart(kind: str, height: int, label: str, *parts: Safe) -> Safe:
    return element("svg", joined(parts), class_=kind, height=height, width="100%", role="img", aria_label=label)
