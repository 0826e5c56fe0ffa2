# SPDX-License-Identifier: MIT
"""Faults in a run that is watched: it is no trial, so whatever happens to it, what was measured is reported, the
session goes on where it can, and the first error is the one that is told.

A probe that dies in a real kernel: tests/vm/test_watching.py. What is kept of the run: tests/unit/session.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from autotune.deadline import Deadline
from autotune.errors import AutotuneError, DetachError, Interrupted, MachineFault, MachineLost, RunnerLost
from autotune.events import BaselineKnown, Event, Finished, RunFinished, WorkloadSeen
from autotune.machine.base import OutputHandler
from autotune.records import BASELINE, ProbeSpec, Run, RunSpec, Session, Watched, Workload
from autotune.session.options import SessionOptions
from autotune.session.parts import SessionParts
from autotune.session.tuner import tune
from tests.support.list_planner import ListPlanner, resolve
from tests.support.rough_machine import Rough, after
from tests.support.scripted_machine import WATCHED, a_run
from tests.support.watched_tasks import a_task, raw

PROBE = ProbeSpec("tasks.o", "0" * 64)


def session(
    machine: Rough, probe: Callable[[], ProbeSpec] = lambda: PROBE, **workload: Any
) -> tuple[Session, list[Event]]:
    heard: list[Event] = []
    work = Workload("true", ("true",), "/", **workload)
    done = tune(
        work, SessionParts(machine, ListPlanner([["x"]]), heard.append, resolve, probe=probe), SessionOptions(seed=3)
    )
    assert machine.attached is None, "a scheduler was left attached"
    return done, heard


def failing(fault: BaseException | Run) -> Rough:
    """A machine on which the run under EEVDF that is watched ends so."""

    def ends() -> Any:
        if isinstance(fault, BaseException):
            raise fault
        return fault

    machine = Rough()
    machine.faults[WATCHED] = ends
    return machine


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (RunnerLost("the helper died"), "the helper died"),
        (MachineFault("the machine stood still"), "the machine stood still"),
        (AutotuneError("the probe failed: it was ended by SIGKILL"), "the probe failed: it was ended by SIGKILL"),
        (OSError(28, "No space left on device", "objects"), "the disk is full: objects: No space left on device"),
        (MemoryError(), "memory"),
        (ValueError("odd"), "ValueError: odd"),
        (a_run(1.0, 7), "the run that was watched failed: exit code 7"),
    ],
)
def test_a_session_goes_on_without_it_and_says_why(fault: BaseException | Run, why: str) -> None:
    done, heard = session(failing(fault))
    assert (done.winner, done.failure, done.watched) == ("x", None, None)
    assert why in done.not_watched
    assert [event.not_watched for event in heard if isinstance(event, WorkloadSeen)] == [done.not_watched]


def test_a_disk_that_is_full_when_the_probe_is_compiled_costs_the_look_only() -> None:
    def full() -> ProbeSpec:
        raise OSError(28, "No space left on device", "objects")

    done, _ = session(Rough(), full)
    assert (done.winner, done.failure) == ("x", None)
    assert "No space left on device" in done.not_watched


@pytest.mark.parametrize(
    "fault",
    [Interrupted("interrupted"), KeyboardInterrupt(), MachineLost("the micro-VM died"), DetachError("still attached")],
)
def test_what_ends_the_session_there_leaves_the_baseline_in_its_report(fault: BaseException) -> None:
    done, heard = session(failing(fault))
    runs = [event.trial for event in heard if isinstance(event, RunFinished)]
    assert done.baseline is not None
    assert done.baseline.runs == 3
    assert list(done.trials) == runs
    assert done.interrupted == isinstance(fault, (Interrupted, KeyboardInterrupt))
    assert (done.failure or "") == ("" if done.interrupted else str(fault))
    assert isinstance(heard[-1], Finished)
    assert heard[-1].error is fault


def test_the_baseline_is_known_before_the_run_so_that_kill_9_does_not_lose_it() -> None:
    heard: list[str] = []

    class Listening(Rough):
        def watch(self, spec: RunSpec, probe: ProbeSpec, on_output: OutputHandler | None = None) -> Watched:
            heard.append("watch")
            return super().watch(spec, probe, on_output)

    work = Workload("true", ("true",), "/")

    def listen(event: Event) -> None:
        heard.append(type(event).__name__)

    parts = SessionParts(Listening(), ListPlanner([["x"]]), listen, resolve, probe=lambda: PROBE)
    tune(work, parts, SessionOptions(seed=3))
    assert heard.index(BaselineKnown.__name__) < heard.index("watch") < heard.index(WorkloadSeen.__name__)


def test_a_prepare_that_fails_just_before_it_is_told_and_the_next_one_decides() -> None:
    good = 4  # the warm-up and three baselines
    once, _ = session(Rough({"prep": after(good, 1)}), prepare="prep")
    assert (once.winner, once.failure) == ("x", None)
    assert "the prepare command failed: exit code 1" in once.not_watched

    always, _ = session(Rough({"prep": after(good, *[1] * 99)}), prepare="prep")
    assert always.baseline is not None
    assert "the prepare command failed: exit code 1" in (always.failure or "")


def test_a_budget_that_ends_in_it_is_named_and_no_run_begins_after_it() -> None:
    now = 0.0

    class Hanging(Rough):
        def measure(self, spec: RunSpec, ops: str | None, on_output: OutputHandler | None = None) -> Any:
            nonlocal now
            now += 1.0
            return super().measure(spec, ops, on_output)

        def watch(self, spec: RunSpec, probe: ProbeSpec, on_output: OutputHandler | None = None) -> Watched:
            nonlocal now
            assert spec.timeout_s is not None
            assert spec.timeout_s <= 40.0 - now
            now += spec.timeout_s
            seen = super().watch(spec, probe, on_output)
            return replace(seen, run=replace(seen.run, wall_s=spec.timeout_s, timed_out=True))

    machine, clock = Hanging(), lambda: now
    budget = Deadline(40.0, clock)
    work = Workload("true", ("true",), "/", timeout_s=500.0)
    options = SessionOptions(seed=3, budget_s=40.0)
    done = tune(
        work,
        SessionParts(
            machine, ListPlanner([["x"]]), lambda _: None, resolve, clock=clock, deadline=budget, probe=lambda: PROBE
        ),
        options,
    )
    assert done.baseline is not None
    assert done.not_watched == "the budget ended during the command"
    assert machine.log[-1] != f"run {BASELINE}"
    assert now <= 40.0


def test_ctrl_c_in_the_run_under_the_winner_keeps_the_winner() -> None:
    class Pressed(Rough):
        def watch(self, spec: RunSpec, probe: ProbeSpec, on_output: OutputHandler | None = None) -> Watched:
            if self.attached is not None:
                raise KeyboardInterrupt
            return super().watch(spec, probe, on_output)

    machine = Pressed()
    machine.tasks = raw([a_task(1, arguments=("sh",)), a_task(2, 1, start_s=0.1, arguments=("xz",))])
    done, _ = session(machine)
    assert (done.winner, done.interrupted, done.failure) == ("x", True, None)
