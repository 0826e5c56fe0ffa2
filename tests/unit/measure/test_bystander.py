# SPDX-License-Identifier: MIT
"""The bystander beside a run: what it measures, and what it costs."""

from __future__ import annotations

import threading
import time

import pytest

from autotune.machine.base import Place
from autotune.machine.executor import Executor
from autotune.measure.bystander import PERIOD_S, Bystander, overdue, typical
from autotune.records import Identity
from tests.support.run_specs import shell


def test_a_run_of_some_wake_ups_has_a_latency() -> None:
    bystander = Bystander(probe=True)
    bystander.begin()
    time.sleep(5 * PERIOD_S)
    side = bystander.end()
    assert side.wakes > 0
    assert side.wake_late_s is not None
    assert side.wake_late_s > 0.0


def test_a_short_run_has_none() -> None:
    bystander = Bystander(probe=True)
    bystander.begin()
    assert bystander.end().wake_late_s is None


@pytest.mark.parametrize(
    ("late_s", "elapsed_s", "expected"),
    [
        ([0.001, 0.003], 1.0, 0.002),
        ([9.0], 10.0, 9.0),  # it starved nearly all the time
        ([], 10.0, None),
        ([0.001, 0.001], 0.1, None),
    ],
)
def test_what_the_wake_ups_of_a_run_say(late_s: list[float], elapsed_s: float, expected: float | None) -> None:
    assert typical(late_s, elapsed_s) == expected


def test_a_wake_up_that_has_not_come_counts() -> None:
    """A bystander that is starved until the end of the run is late by all that time."""
    assert overdue(100.0, 109.0) == [9.0]
    assert overdue(100.0, 99.0) == []
    assert overdue(None, 99.0) == []


def test_without_a_probe_there_is_no_thread() -> None:
    before = threading.active_count()
    bystander = Bystander(probe=False)
    bystander.begin()
    assert threading.active_count() == before
    assert bystander.end().wakes == 0


@pytest.mark.slow
def test_the_probe_costs_less_than_a_hundredth_of_a_cpu() -> None:
    """CPU time, not wall time: what others do on this machine does not count."""
    bystander = Bystander(probe=True)
    bystander.begin()
    time.sleep(2.0)
    side = bystander.end()
    print(f"\n{side.wakes} wake-ups took {side.probe_cpu_s * 1e3:.2f} ms of CPU: {side.probe_cpu_s / 2.0:.2%}")
    assert 0.0 < side.probe_cpu_s < 0.02


@pytest.mark.slow
def test_a_measured_run_brings_what_its_expressions_found_and_the_latency() -> None:
    executor = Executor(Place("/", pristine=False, identity=Identity(0, 0)))
    try:
        command = "echo p99: 12.5; echo rps: 7; echo p99: again; sleep 0.3"
        spec = shell(command, more_regexes=("p99: ([0-9.]+)", "rps: (.*)", "none (.*)"), metric_regex="rps: (.*)")
        plain = executor.measure(spec, None)
        assert [one.matches for one in plain.run.found] == [("12.5",), ("7",), ()]
        assert [one.count for one in plain.run.found] == [1, 1, 0]
        assert plain.run.metric_matches == ("7",)
        assert plain.side.wakes == 0
        probed = executor.measure(shell("sleep 0.3", probe=True), None)
        assert probed.run.found == ()
        assert probed.side.wake_late_s is not None
    finally:
        executor.close()
