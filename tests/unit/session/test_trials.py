# SPDX-License-Identifier: MIT
"""A command whose helper dies is done again."""

from __future__ import annotations

from typing import Any

import pytest

from autotune.errors import RunnerLost
from autotune.records import Run
from tests.support.rough_machine import Rough, after, session


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
