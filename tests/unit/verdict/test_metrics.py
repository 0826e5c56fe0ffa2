# SPDX-License-Identifier: MIT
"""Further metrics: their names and values."""

from __future__ import annotations

import pytest

from autotune.records import Found, Guard, Metric, Workload
from autotune.verdict import metrics
from tests.support.scripted_machine import a_run


@pytest.mark.parametrize(
    ("regex", "name"),
    [
        ("rps: ([0-9.]+)", "rps"),
        (r"p99\s*=\s*([0-9.]+) ms", "p99"),
        ("Requests per sec: ([0-9.]+)", "sec"),
        ("([0-9.]+) MB/s", "([0-9.]+) MB/s"),
        ("(?i)rate ([0-9]+)", "(?i)rate ([0-9]+)"),
    ],
)
def test_a_metric_is_named_by_the_word_before_its_number(regex: str, name: str) -> None:
    assert metrics.name_of(regex) == name


def test_metrics_of_one_name_are_distinguished() -> None:
    named = metrics.named(["rps: ([0-9]+) a", "rps: ([0-9]+) b"])
    assert [one.name for one in named] == ["rps", "rps: ([0-9]+) b"]


def test_the_values_of_a_run_are_those_of_its_expressions_in_order() -> None:
    workload = Workload(
        "x",
        ("x",),
        "/",
        metrics=(Metric("p99", "p99 (.*)"), Metric("rps", "rps (.*)")),
        guards=(Guard("slow", "max", 1.0, relative=True, regex="p99 (.*)"), Guard("e", "max", 0, False, "e (.*)")),
    )
    assert metrics.expressions(workload) == ("p99 (.*)", "rps (.*)", "e (.*)")
    run = a_run(1.0, found=(Found(("12.5",), 1), Found(("7",), 2), Found(("0",), 1)))
    assert metrics.values(workload, run) == {"p99": 12.5, "slow": 12.5, "e": 0.0}


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        (Found(("1",), 1), None),
        (Found(("-1e3",), 1), None),
        (Found((), 0), "it matched nothing in the output"),
        (Found(("1", "2"), 2), "it matched 2 times, not once"),
        (Found(("x",), 1), "it found 'x', which is not a number"),
        (Found(("nan",), 1), "it found nan"),
        (Found(("-inf",), 1), "it found -inf"),
        (Found(("1e308",), 1), "it found 1e+308"),
        (Found(("-1e-300",), 1), "it found -1e-300"),
        (Found(("-0",), 1), None),
        (Found(("1e50",), 1), None),
        (Found(("1",), 1, "too slow"), "too slow"),
    ],
)
def test_why_there_is_no_number(found: Found, problem: str | None) -> None:
    assert metrics.problem_of(found) == problem
