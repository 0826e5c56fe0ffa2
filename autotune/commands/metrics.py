# SPDX-License-Identifier: MIT
"""The options of `autotune cc` that say what is compared: metrics, and which of them to which goal."""

from __future__ import annotations

from collections.abc import Sequence

from autotune.errors import UsageError
from autotune.expressions import compiled
from autotune.records import Goal, Metric
from autotune.verdict import metrics


def metrics_of(texts: Sequence[str], goal_text: str | None) -> tuple[Metric | None, tuple[Metric, ...], Goal]:
    """Return the metric to judge, None for wall time, the others, and the goal. Raises UsageError."""
    name, colon, goal = ("min" if goal_text is None else goal_text).rpartition(":")
    if goal_text is not None and not texts:
        raise UsageError("--goal needs --metric", hint="without a metric, less wall time is better")
    if goal not in ("min", "max"):
        raise UsageError(f"--goal: {goal!r} is not one of min, max", hint="such as --goal max or --goal rps:max")
    given = metrics.named(_metric_regex(text) for text in texts)
    if len(set(texts)) < len(texts):
        raise UsageError("the same --metric is given twice", hint="leave one out")
    names = [metric.name for metric in given]
    if colon and name not in names:
        raise UsageError(f"--goal: no --metric is named {name!r}", hint=f"names are {', '.join(names)}")
    judged = next((metric for metric in given if not colon or metric.name == name), None)
    return judged, tuple(metric for metric in given if metric is not judged), "max" if goal == "max" else "min"


def _metric_regex(text: str) -> str:
    try:
        compiled(text)
    except ValueError as error:
        raise UsageError(f"--metric is not a regular expression: {error}", hint="such as 'rps: ([0-9.]+)'") from None
    return text
