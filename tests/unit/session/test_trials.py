# SPDX-License-Identifier: MIT
"""A command whose helper dies is done again."""

from __future__ import annotations

from typing import Any

import pytest

from autotune.errors import RunnerLost, WorkloadError
from autotune.records import Run
from tests.support.rough_machine import Rough, after, session
from tests.support.scripted_machine import a_run


@pytest.mark.parametrize("command", ["setup", "prepare", "cleanup"])
def test_a_command_whose_helper_dies_is_repeated_and_the_session_completes(command: str) -> None:
    machine = Rough({command: after(0, RunnerLost("it died"))})
    wanted: dict[str, Any] = {command: command}
    result, finished = session(machine, **wanted)
    assert result.winner == "x"
    assert finished.error is None


def test_a_settling_that_is_lost_half_way_is_begun_anew() -> None:
    """After a reboot: setup, then a warm-up whose helper dies. The next trial settles again."""
    machine = Rough({"s": after(1), "true": after(0, RunnerLost("it died"))})

    def reboots() -> Run:
        machine.faults.clear()
        machine.generation += 1
        raise RunnerLost("the VM died; another was booted")

    machine.faults["x"] = reboots
    result, _ = session(machine, setup="s")
    assert machine.log.count("s") == 3
    assert machine.log.count("true") == 2
    assert result.winner == "x"


# --- conclude ---


def test_conclude_runs_after_every_run_once_the_scheduler_is_detached() -> None:
    machine = Rough()
    result, _ = session(machine, prepare="p", conclude="c")
    assert result.winner == "x"
    log = [entry for entry in machine.log if entry != "fresh"]
    runs = [place for place, entry in enumerate(log) if entry.startswith("run ")]
    assert len(runs) > 10
    for place in runs:
        if log[place] == "run x":
            assert log[place - 2 : place + 3] == ["p", "attach x", "run x", "detach x", "c"]
        else:
            assert log[place - 1 : place + 2] == ["p", "run eevdf", "c"]


def test_a_conclude_that_fails_ends_the_session_as_prepare_does() -> None:
    result, finished = session(Rough({"c": after(4, 1)}), conclude="c")
    assert result.failure is not None
    assert "the conclude command failed: exit code 1" in str(finished.error)


def test_a_conclude_whose_helper_dies_is_repeated_and_no_run_is_lost() -> None:
    machine = Rough({"c": after(2, RunnerLost("it died"), RunnerLost("again"))})
    result, finished = session(machine, conclude="c")
    assert (result.winner, finished.error) == ("x", None)
    assert any("conclude was lost and is repeated" in warning for warning in result.warnings)
    assert any("conclude was lost: again" in warning for warning in result.warnings)
    runs = [entry for entry in machine.log if entry.startswith("run ")]
    assert machine.log.count("c") == len(runs) + 1


def test_a_command_that_fails_is_reported_before_a_conclude_that_fails_after_it() -> None:
    machine = Rough({"c": after(0, 1, 1, 1, 1)})
    machine.faults["eevdf"] = lambda: a_run(1.0, 2)
    with pytest.raises(WorkloadError, match="cannot be measured: exit code 2"):
        session(machine, conclude="c")


def test_after_a_reboot_the_warm_up_is_concluded_too() -> None:
    machine = Rough()

    def reboots() -> Run:
        machine.faults.clear()
        machine.generation += 1
        raise RunnerLost("the VM died; another was booted")

    machine.faults["x"] = reboots
    session(machine, prepare="p", conclude="c")
    assert ["p", "true", "c"] in [machine.log[place : place + 3] for place in range(len(machine.log))]
