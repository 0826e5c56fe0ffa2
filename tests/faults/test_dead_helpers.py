# SPDX-License-Identifier: MIT
"""A measuring helper that dies, is stopped or cannot go on costs one run and not the session; a machine that stands
still is blamed on nobody. Real helpers, killed and stopped for real, at any moment; the machine's sleep is played.

A holder that dies: tests/unit/schedext/holding. A micro-VM that dies or is stopped: tests/vm/test_microvm.py.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from autotune.errors import AutotuneError, MachineFault, MachineLost, RunnerLost, WorkloadError
from autotune.events import Event, Finished
from autotune.machine.base import Place
from autotune.machine.local import invoking_identity
from autotune.measure.client import shell_argv
from autotune.records import BASELINE, Run, RunSpec, Session, Workload
from autotune.session.options import SessionOptions
from autotune.session.parts import SessionParts
from autotune.session.tuner import tune
from tests.support.hands import Hands
from tests.support.list_planner import ListPlanner, resolve
from tests.support.scripted_machine import ScriptedMachine, a_run
from tests.support.waiting import is_gone

ENV = {"PATH": os.environ["PATH"]}
PATIENCE_S = 30.0


@pytest.fixture
def hands(tmp_path: Path) -> Iterator[Hands]:
    with contextlib.closing(Hands(Place(str(tmp_path), False, invoking_identity()))) as machine:
        yield machine


@pytest.fixture(params=[False, True], ids=["plain", "pristine"])
def any_hands(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Hands]:
    with contextlib.closing(Hands(Place(str(tmp_path), request.param, invoking_identity()))) as machine:
        yield machine


def sh(command: str, cwd: Path) -> RunSpec:
    return RunSpec(shell_argv(command), str(cwd), ENV, timeout_s=PATIENCE_S)


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def kill(pid: int) -> None:
    """Kill it, and wait until it is dead for everybody who looks."""
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: is_gone(pid))


def killed_when(machine: Hands, path: Path) -> threading.Thread:
    """Kills the helper as soon as its command has made the file."""

    def wait_and_kill() -> None:
        wait_until(path.exists)
        os.kill(machine.helper, signal.SIGKILL)

    thread = threading.Thread(target=wait_and_kill)
    thread.start()
    return thread


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("measured", [True, False])
@pytest.mark.slow
def test_in_the_middle_of_a_run(any_hands: Hands, tmp_path: Path, measured: bool, times: int) -> None:
    outside = tmp_path.with_name(f"{tmp_path.name}-outside")  # an overlay does not cover it
    for _ in range(times):
        outside.unlink(missing_ok=True)
        thread = killed_when(any_hands, outside)
        spec = sh(f"touch {outside}; sleep {PATIENCE_S}", tmp_path)
        with pytest.raises(RunnerLost):
            any_hands.measure(spec, None) if measured else any_hands.run(spec)
        thread.join()
    any_hands.fresh()
    assert any_hands.run(sh("echo again", tmp_path)).stdout.head == "again\n"
    assert any_hands.measure(sh("echo again", tmp_path), None).run.stdout.head == "again\n"
    layers = any_hands.executor._own_scratch
    assert layers is None or len(list(layers.path.glob("layers-*"))) == 1, "files of lost runs are left behind"


def test_between_two_runs(hands: Hands, tmp_path: Path) -> None:
    """Nothing was lost: the next command just gets another helper."""
    hands.run(sh("true", tmp_path))
    kill(hands.helper)
    assert hands.measure(sh("echo next", tmp_path), None).run.stdout.head == "next\n"
    kill(hands.helper)
    assert hands.run(sh("echo next", tmp_path)).stdout.head == "next\n"


def test_a_pristine_run_is_never_measured_without_what_prepare_made(tmp_path: Path) -> None:
    with contextlib.closing(Hands(Place(str(tmp_path), True, invoking_identity()))) as machine:
        machine.fresh()
        machine.run(sh("echo prepared > made", tmp_path))
        kill(machine.helper)
        with pytest.raises(RunnerLost, match="the files of the run with it"):
            machine.measure(sh("cat made", tmp_path), None)
        machine.fresh()
        machine.run(sh("echo prepared > made", tmp_path))
        assert machine.measure(sh("cat made", tmp_path), None).run.stdout.head == "prepared\n"
    assert list(tmp_path.iterdir()) == []


def test_a_pristine_helper_found_dead_by_fresh_costs_nothing(tmp_path: Path) -> None:
    with contextlib.closing(Hands(Place(str(tmp_path), True, invoking_identity()))) as machine:
        machine.run(sh("true", tmp_path))
        kill(machine.helper)
        machine.fresh()
        assert machine.run(sh("echo next", tmp_path)).stdout.head == "next\n"


# --- whole sessions ---

KILLS_ITS_HELPER = 'if [ "$(wc -l < {log})" = {at} ]; then kill -9 $PPID; sleep 30; fi'
"""For a command that is the helper's own child, the `at`th time it runs."""


def deadly(log: Path, at: int) -> str:
    return f"echo x >> {log}; " + KILLS_ITS_HELPER.format(log=log, at=at)


def session(machine: Hands, cwd: Path, **given: object) -> tuple[Session, Finished]:
    heard: list[Event] = []
    work = Workload(**{"command": "c", "argv": ("true",), "cwd": str(cwd), "env": ENV, **given})  # type: ignore[arg-type]
    options = SessionOptions(seed=3, max_rounds=4, budget_s=60.0)
    result = tune(work, SessionParts(machine, ListPlanner([["x"]]), heard.append, resolve), options)
    finished = heard[-1]
    assert isinstance(finished, Finished)
    assert result.failure is None, result.failure
    assert not result.interrupted
    assert machine.attached is None
    return result, finished


@pytest.mark.parametrize("at", [1, 3, 6, 7])
@pytest.mark.parametrize("where", ["argv", "prepare"])
@pytest.mark.slow
def test_a_session_repeats_the_run_and_completes(any_hands: Hands, tmp_path: Path, where: str, at: int) -> None:
    """The first warm-up, a run of the baseline, and runs of the race."""
    log = tmp_path.with_name(f"{tmp_path.name}-log")
    command = deadly(log, at)
    result, finished = session(
        any_hands, tmp_path, **({"argv": shell_argv(command)} if where == "argv" else {"prepare": command})
    )
    assert finished.error is None
    assert any("a run was lost and is repeated" in warning for warning in result.warnings)
    by_key = {row.candidate.key: row for row in result.results}
    assert by_key["x"].runs >= 3
    assert by_key[BASELINE].runs >= 6
    assert all(trial.invalid is None for trial in result.trials)
    assert len(log.read_text().splitlines()) == len(result.trials) + 1


@pytest.mark.parametrize("where", ["setup", "cleanup"])
@pytest.mark.slow
def test_a_session_repeats_setup_and_cleanup(any_hands: Hands, tmp_path: Path, where: str) -> None:
    log = tmp_path.with_name(f"{tmp_path.name}-log")
    _, finished = session(any_hands, tmp_path, **{where: deadly(log, 1)})
    assert finished.error is None
    assert len(log.read_text().splitlines()) == 2


def test_a_cleanup_that_kills_each_helper_is_a_warning_beside_a_whole_report(hands: Hands, tmp_path: Path) -> None:
    result, finished = session(hands, tmp_path, cleanup="kill -9 $PPID; sleep 30")
    assert isinstance(finished.error, RunnerLost)
    assert len(result.trials) > 8


# --- helpers that are stopped ------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_command_that_stops_its_helper_costs_one_run(hands: Hands, tmp_path: Path) -> None:
    log = tmp_path.with_name(f"{tmp_path.name}-log")
    command = f'echo x >> {log}; if [ "$(wc -l < {log})" = 5 ]; then kill -STOP $PPID; sleep 30; fi'
    result, finished = session(hands, tmp_path, argv=shell_argv(command))
    assert finished.error is None
    (warning,) = [warning for warning in result.warnings if "lost" in warning]
    assert warning.startswith("a run was lost and is repeated: the process that measures runs failed: it was stopped")
    assert all(trial.invalid is None for trial in result.trials)


@pytest.mark.slow
def test_a_run_whose_helper_stood_still_for_a_while_does_not_count(hands: Hands, tmp_path: Path) -> None:
    command = "(sleep 2; kill -CONT $PPID) & kill -STOP $PPID; sleep 1; wait"
    with pytest.raises(RunnerLost, match="it was stopped"):
        hands.measure(sh(command.replace("$PPID", str(helper_of(hands, tmp_path))), tmp_path), None)
    assert hands.measure(sh("echo next", tmp_path), None).run.stdout.head == "next\n"


def helper_of(hands: Hands, tmp_path: Path) -> int:
    hands.run(sh("true", tmp_path))
    return hands.helper


# --- commands that signal their group ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "number"), [("kill 0", 15), ("kill -9 0", 9), ("(kill -STOP $$; kill -9 $$) & wait", 9)]
)
def test_a_command_that_kills_its_group_kills_nobody_else(hands: Hands, tmp_path: Path, how: str, number: int) -> None:
    helper = helper_of(hands, tmp_path)
    assert hands.run(sh(how, tmp_path)).signal == number
    assert hands.run(sh("echo next", tmp_path)).stdout.head == "next\n"
    assert hands.helper == helper


# --- expressions that take exponential time ----------------------------------------------------------------

EXPONENTIAL = r"(a+)+$"


@pytest.mark.slow
def test_a_metric_of_exponential_time_is_named_and_ends_no_helper(hands: Hands, tmp_path: Path) -> None:
    helper = helper_of(hands, tmp_path)
    spec = replace(sh(f"echo {'a' * 60}b; echo aaa", tmp_path), metric_regex=EXPONENTIAL)
    run = hands.run(spec)
    assert run.metric_error == f"searching the output for the metric '{EXPONENTIAL}' took more than 1 s of CPU"
    assert (run.exit_code, hands.helper) == (0, helper)
    assert hands.run(replace(spec, argv=shell_argv("echo aaa"))).metric_matches == ("aaa",)


@pytest.mark.slow
def test_a_metric_that_never_ends_under_the_baseline_is_the_commands_fault(hands: Hands, tmp_path: Path) -> None:
    with pytest.raises(WorkloadError, match=r"the metric .* took more than 1 s") as caught:
        session(hands, tmp_path, argv=shell_argv(f"echo {'a' * 60}b"), metric_regex=EXPONENTIAL)
    assert caught.value.exit_code == 3
    assert "make the expression simpler" in caught.value.hint


@pytest.mark.slow
def test_a_metric_that_never_ends_on_one_output_costs_one_run(hands: Hands, tmp_path: Path) -> None:
    """A number that is followed by what makes the expression explode, in the seventh run."""
    log = tmp_path.with_name(f"{tmp_path.name}-log")
    command = f'echo x >> {log}; if [ "$(wc -l < {log})" = 7 ]; then echo {"1" * 60}b; else echo 1.5; fi'
    result, finished = session(hands, tmp_path, argv=shell_argv(command), metric_regex=r"^((?:[0-9.]+)+)$")
    assert finished.error is None
    assert [trial.invalid for trial in result.trials if trial.invalid] == [
        "searching the output for the metric '^((?:[0-9.]+)+)$' took more than 1 s of CPU"
    ]
    assert len(result.trials) >= 12


# --- machines that stand still -----------------------------------------------------------------------------


def faulty(*faults: Exception) -> ScriptedMachine:
    """A machine on which these befall the runs of the race, one after another."""
    machine, waiting, runs = ScriptedMachine({BASELINE: 1.0, "x": 0.8}), list(faults), 0

    def run() -> Run | Exception:
        nonlocal runs
        runs += 1
        return waiting.pop(0) if waiting and runs > 4 else a_run(1.0)

    machine.faults[BASELINE] = run
    return machine


ASLEEP = MachineFault("the machine slept for 31.0 s during the run")


def tuned(machine: ScriptedMachine, cwd: Path) -> Session:
    work = Workload("c", ("true",), str(cwd), ENV)
    options = SessionOptions(seed=3, max_rounds=4, budget_s=60.0)
    return tune(work, SessionParts(machine, ListPlanner([["x"]]), lambda _event: None, resolve), options)


@pytest.mark.parametrize("times", [1, 3])
def test_a_run_during_which_the_machine_slept_is_repeated(tmp_path: Path, times: int) -> None:
    result = tuned(faulty(*[ASLEEP] * times), tmp_path)
    assert (result.winner, result.failure) == ("x", None)
    assert [warning for warning in result.warnings if "slept" in warning] == [
        "a run was lost and is repeated: the machine slept for 31.0 s during the run"
    ]
    assert all(trial.invalid is None for trial in result.trials)


@pytest.mark.parametrize(
    ("fault", "kind", "exit_code"),
    [(ASLEEP, MachineLost, 1), (RunnerLost("the process that measures runs failed"), WorkloadError, 3)],
)
def test_a_baseline_that_the_machine_spoils_is_not_the_commands_fault(
    tmp_path: Path, fault: Exception, kind: type[AutotuneError], exit_code: int
) -> None:
    machine = ScriptedMachine({BASELINE: 1.0, "x": 0.8}, {BASELINE: lambda: fault})
    with pytest.raises(kind, match="the baseline could not be measured") as caught:
        tuned(machine, tmp_path)
    assert caught.value.exit_code == exit_code


@pytest.fixture
def sleeping(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """By how much the machine has slept; a test sets it."""
    slept, real = [0.0], time.clock_gettime

    def read(clock: int) -> float:
        return real(clock) + (slept[0] if clock == time.CLOCK_BOOTTIME else 0.0)

    monkeypatch.setattr(time, "clock_gettime", read)
    return slept


def test_a_sleep_during_a_run_is_seen_and_one_between_runs_is_not(
    hands: Hands, tmp_path: Path, sleeping: list[float]
) -> None:
    sleeping[0] = 1000.0
    assert hands.measure(sh("true", tmp_path), None).run.exit_code == 0
    spec = replace(sh("echo asleep", tmp_path), stream=True)
    with pytest.raises(MachineFault, match=r"slept for 31\.0 s"):
        hands.measure(spec, None, lambda *_output: sleeping.__setitem__(0, 1031.0))
    assert hands.measure(sh("true", tmp_path), None).run.exit_code == 0


def test_losing_the_cpu_between_two_clocks_is_no_sleep(
    hands: Hands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each reading comes 0.3 s after the one before."""
    readings, real = iter(range(1000)), time.clock_gettime
    monkeypatch.setattr(time, "clock_gettime", lambda clock: real(clock) + 0.3 * next(readings))
    assert hands.measure(sh("true", tmp_path), None).run.exit_code == 0


def test_a_clock_that_is_set_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, days = time.time, iter([0, 3, -40, 9, -9] * 100)
    monkeypatch.setattr(time, "time", lambda: real() + 86400 * next(days))
    assert tuned(faulty(), tmp_path).winner == "x"
