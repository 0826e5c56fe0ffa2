# SPDX-License-Identifier: MIT
"""A micro-VM that is lost in the middle of a run: what happens to its scheduler and to the session. The machines in it
are scripted."""

from __future__ import annotations

from typing import Any

import pytest

from autotune.errors import MachineLost, NotAttached, RunnerLost
from autotune.machine.base import OutputHandler
from autotune.machine.vm.resilient import ResilientVM
from autotune.planner.offline import OfflinePlanner
from autotune.records import BASELINE, AttachSpec, Candidate, Run, RunSpec
from autotune.session.options import SessionOptions
from autotune.session.parts import SessionParts
from autotune.session.tuner import tune
from tests.support.planning_room import CATALOG, attach_spec
from tests.support.scripted_machine import ScriptedMachine
from tests.support.sessions import workload

SPEC = AttachSpec("at_fifo", "x.o")


def lost() -> Run | Exception:
    return MachineLost("the micro-VM died")


def resilient(*machines: ScriptedMachine) -> ResilientVM:
    """One machine after another."""
    boots: Any = iter(machines)
    return ResilientVM(lambda: next(boots), lambda _text: None)


def test_a_scheduler_that_went_with_its_micro_vm_is_not_attached() -> None:
    machine = resilient(ScriptedMachine({BASELINE: 1.0}, faults={"at_fifo": lost}), ScriptedMachine({BASELINE: 1.0}))
    machine.attach(SPEC)
    with pytest.raises(RunnerLost):
        machine.measure(RunSpec(("true",), "/", {}), "at_fifo")
    with pytest.raises(NotAttached):
        machine.detach()
    machine.attach(SPEC)
    machine.detach()


def test_a_closed_one_has_nothing_to_detach() -> None:
    machine = resilient(ScriptedMachine({BASELINE: 1.0}))
    machine.attach(SPEC)
    machine.close()
    with pytest.raises(NotAttached):
        machine.detach()


def test_the_run_that_was_lost_with_it_is_repeated_and_the_session_goes_on() -> None:
    times = {BASELINE: 1.0, "at_fifo": 0.8}
    machine = resilient(ScriptedMachine(dict(times), faults={"at_fifo": lost}), ScriptedMachine(dict(times)))
    options = SessionOptions(seed=1, user_candidates=(Candidate("at_fifo"),))
    done = tune(workload(), SessionParts(machine, OfflinePlanner(CATALOG), lambda _event: None, attach_spec), options)
    assert done.failure is None
    assert done.winner == "at_fifo"
    assert any("the micro-VM died" in warning for warning in done.warnings)


def test_one_that_was_released_still_runs_cleanup_and_is_not_replaced_when_it_is_lost() -> None:
    class Dying(ScriptedMachine):
        def run(self, spec: RunSpec, on_output: OutputHandler | None = None) -> Run:
            if spec.argv[-1] == "die":
                raise MachineLost("the micro-VM died")
            return super().run(spec, on_output)

    machine = resilient(Dying({BASELINE: 1.0}))
    machine.attach(SPEC)
    machine.release()
    assert machine.run(RunSpec(("clean up",), "/", {})).exit_code == 0
    with pytest.raises(MachineLost):
        machine.run(RunSpec(("die",), "/", {}))
    assert machine.generation == 0


def test_one_that_cannot_be_released_is_closed_for_the_host_is_not_concerned() -> None:
    class Stuck(ScriptedMachine):
        def release(self) -> None:
            raise MachineLost("no answer to 'release' within 60 s")

    stuck = Stuck({BASELINE: 1.0})
    resilient(stuck).release()
    assert stuck.closed
