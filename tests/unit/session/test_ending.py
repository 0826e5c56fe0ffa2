# SPDX-License-Identifier: MIT
"""However a session ends once its baseline is known, it ends in a Session that holds all of its runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from autotune.errors import (
    AutotuneError,
    BusyError,
    Interrupted,
    MachineLost,
    PrivilegeError,
    RunnerLost,
    WorkloadError,
)
from autotune.events import Event, Warned
from autotune.records import BASELINE, Workload
from autotune.session.options import SessionOptions
from autotune.session.parts import SessionParts
from autotune.session.tuner import tune
from tests.support.list_planner import ListPlanner, resolve
from tests.support.rough_machine import Rough, after, session
from tests.support.scripted_machine import a_run

BASELINE_RUNS = 4
"""With the warm-up."""


# --- cleanup ---


def test_a_cleanup_that_fails_costs_no_session() -> None:
    machine = Rough({"c": after(0, 3)})
    result, finished = session(machine, cleanup="c")
    assert result.winner == "x"
    assert result.failure is None
    assert not result.interrupted
    assert any("cleanup command failed: exit code 3" in warning for warning in result.warnings)
    assert isinstance(finished.error, WorkloadError)


@pytest.mark.parametrize(
    "again", [KeyboardInterrupt(), OSError(5, "I/O error"), MachineLost("gone"), ZeroDivisionError()]
)
def test_no_other_end_of_cleanup_does_either(again: BaseException) -> None:
    result, finished = session(Rough({"c": after(0, again)}), cleanup="c")
    assert result.winner == "x"
    assert (result.failure, result.interrupted) == (None, False)
    assert finished.error is (None if isinstance(again, MachineLost) else again)


def test_a_cleanup_whose_helper_dies_is_done_again() -> None:
    machine = Rough({"c": after(0, RunnerLost("it died"))})
    result, finished = session(machine, cleanup="c")
    assert machine.log.count("c") == 2
    assert finished.error is None
    assert result.winner == "x"


def test_of_two_errors_the_first_is_reported() -> None:
    machine = Rough({"p": after(8, 1), "c": after(0, 2)})
    result, finished = session(machine, prepare="p", cleanup="c")
    assert "prepare command failed: exit code 1" in (result.failure or "")
    assert "prepare" in str(finished.error)
    assert any("cleanup command failed: exit code 2" in warning for warning in result.warnings)


def test_where_the_baseline_fails_it_is_that_which_is_raised_and_cleanup_is_a_warning() -> None:
    machine = Rough({"c": after(0, 2)})
    machine.faults[BASELINE] = lambda: a_run(1.0, 7)
    heard: list[Event] = []
    with pytest.raises(WorkloadError, match="exit code 7"):
        tune(
            Workload("b", ("b",), "/", cleanup="c"),
            SessionParts(machine, ListPlanner([]), heard.append, resolve),
            SessionOptions(),
        )
    assert any(isinstance(event, Warned) and "cleanup command failed" in event.text for event in heard)


# --- what comes after the baseline ---


ERRORS: list[BaseException] = [
    PrivilegeError("sudo asks for a password"),
    BusyError("somebody else's"),
    AutotuneError("odd"),
    MachineLost("the micro-VM is lost"),
    OSError(28, "No space left on device"),
    ZeroDivisionError("a bug"),
    SystemExit(1),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("where", ["prepare", "measure", "attach", "detach"])
def test_every_error_is_a_failure_beside_all_runs(where: str, error: BaseException) -> None:
    machine = Rough({"p": after(BASELINE_RUNS + 3, error)} if where == "prepare" else {})
    if where != "prepare":
        break_later(machine, where, error)
    result, finished = session(machine, prepare="p", cleanup="c")
    assert str(error).split(":", maxsplit=1)[0] in (result.failure or "")
    assert finished.error is error
    assert result.baseline is not None
    assert len(result.trials) >= BASELINE_RUNS
    assert machine.released
    assert machine.log[-1] == "c"
    assert not result.interrupted


def break_later(machine: Rough, where: str, error: BaseException) -> None:
    """The second time that `x` is dealt with so."""
    real: Callable[..., Any] = getattr(machine, where)
    calls = iter(range(100))

    def broken(*given: Any) -> Any:
        counts = where != "measure" or given[1] == "x"
        if counts and next(calls) == 1:
            raise error
        return real(*given)

    setattr(machine, where, broken)


@pytest.mark.parametrize("pressed", [KeyboardInterrupt(), Interrupted("quit")])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_ctrl_c_once_twice_and_thrice(pressed: BaseException, count: int) -> None:
    machine = Rough({"p": after(8, pressed), "c": after(0, *[KeyboardInterrupt()] * (count > 2))})
    machine.releasing = iter([KeyboardInterrupt()] * (count > 1))
    result, finished = session(machine, prepare="p", cleanup="c")
    assert result.interrupted
    assert result.failure is None
    assert finished.error is pressed
    assert len(result.trials) >= BASELINE_RUNS


def test_an_interruption_after_a_failure_leaves_the_failure_reported() -> None:
    machine = Rough({"p": after(8, 1)})
    machine.releasing = iter([KeyboardInterrupt()])
    result, _ = session(machine, prepare="p")
    assert "prepare" in (result.failure or "")
    assert not result.interrupted
