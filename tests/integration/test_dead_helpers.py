# SPDX-License-Identifier: MIT
"""A measuring helper that dies costs one run and not the session: real helpers, killed for real, at any moment."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from autotune.errors import RunnerLost
from autotune.events import Event, Finished
from autotune.machine.base import Place
from autotune.machine.local import invoking_identity
from autotune.measure.client import shell_argv
from autotune.records import BASELINE, RunSpec, Session, Workload
from autotune.session.tuner import SessionOptions, tune
from tests.support.hands import Hands
from tests.support.list_planner import ListPlanner, resolve

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
    wait_until(lambda: "Z" in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0])


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
    assert layers is None or len(os.listdir(layers)) == 1, "files of lost runs are left behind"


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
    told: list[Event] = []
    work = Workload(**{"command": "c", "argv": ("true",), "cwd": str(cwd), "env": ENV, **given})  # type: ignore[arg-type]
    options = SessionOptions(seed=3, max_rounds=4, budget_s=60.0)
    result = tune(work, machine, ListPlanner([["x"]]), options, told.append, resolve)
    finished = told[-1]
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
