# SPDX-License-Identifier: MIT
"""Sums up the gates' numbers, for a model whose scheduler passed and for `schedulers show`.
The whole reports stay on disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_SKIPPED = ("watched_s", "passed_s", "speed")
"""Numbers without use apart from the rest: how long a load was watched, and how fast the machine was meanwhile."""


def summary(reports: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the numbers by gate, from reports as JSON. Of the loads: `[under the scheduler, under EEVDF]` of each
    number, tasks by their longest wait."""
    return {str(report["gate"]): dict(_short(report.get("numbers", {}))) for report in reports}


def _short(numbers: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in numbers.items():
        if name == "loads" and isinstance(value, Mapping):
            yield from ((load, dict(_compared(both))) for load, both in value.items())
        elif name == "properties" and isinstance(value, Mapping):
            yield name, dict(value)
        elif isinstance(value, (int, float, str)):
            yield name, value


def _compared(both: Mapping[str, Any]) -> Iterator[tuple[str, list[Any]]]:
    ours, theirs = both.get("scheduler", {}), both.get("eevdf", {})
    yield "longest_wait_s", [_longest_wait(ours), _longest_wait(theirs)]
    for name, value in ours.items():
        if isinstance(value, (int, float)) and not isinstance(value, bool) and name not in _SKIPPED:
            yield name, [value, theirs.get(name)]
        elif isinstance(value, Mapping) and "p99" in value:
            yield f"{name}_p99", [value["p99"], theirs.get(name, {}).get("p99")]


def _longest_wait(numbers: Mapping[str, Any]) -> float:
    return max((float(task.get("longest_wait_s", 0.0)) for task in numbers.get("tasks", ())), default=0.0)
