# SPDX-License-Identifier: MIT
"""Metrics and guards, from arguments to the workload and back."""

from __future__ import annotations

import pytest

from autotune.commands.arguments import CcArguments
from autotune.commands.workloads import workload_from
from autotune.errors import UsageError
from autotune.records import DEFAULT_GUARDS

RPS, P99 = "rps: ([0-9.]+)", "p99: ([0-9.]+)"


@pytest.mark.parametrize(
    ("metrics", "goal", "judged", "way", "others"),
    [
        (None, None, None, "min", []),
        ([RPS], None, RPS, "min", []),
        ([RPS], "max", RPS, "max", []),
        ([RPS, P99], "max", RPS, "max", ["p99"]),
        ([RPS, P99], "p99:min", P99, "min", ["rps"]),
        ([RPS, P99], "rps:max", RPS, "max", ["p99"]),
        (["([0-9]+) a", RPS], "([0-9]+) a:max", "([0-9]+) a", "max", ["rps"]),
    ],
)
def test_one_metric_is_judged_and_the_others_are_reported(
    metrics: list[str] | None, goal: str | None, judged: str | None, way: str, others: list[str]
) -> None:
    workload = workload_from(CcArguments(["make"], metric=metrics, goal=goal))
    assert (workload.metric_regex, workload.goal) == (judged, way)
    assert [one.name for one in workload.metrics] == others
    assert workload.guards == DEFAULT_GUARDS


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"goal": "max"}, "--goal needs --metric"),
        ({"metric": [RPS], "goal": "more"}, "is not one of min, max"),
        ({"metric": [RPS], "goal": "p99:min"}, "no --metric is named 'p99'"),
        ({"metric": [RPS, RPS]}, "given twice"),
        ({"metric": [RPS, "("]}, "not a regular expression"),
        ({"guard": ["rps:max+5%"]}, "--guard rps is none of"),
        ({"guard": ["memory"]}, "--guard 'memory'"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(arguments: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError, match=says) as refused:
        workload_from(CcArguments(["make"], **arguments))  # type: ignore[arg-type]
    assert "\n" not in str(refused.value)


def test_a_guard_may_name_a_metric_that_is_reported() -> None:
    workload = workload_from(CcArguments(["make"], metric=[RPS, P99], guard=["p99:max+5%"], no_guards=True))
    (guard,) = workload.guards
    assert (guard.name, guard.regex) == ("p99", P99)
