# SPDX-License-Identifier: MIT
"""The client of the helper that measures: who asks goes away, the helper is lost, and whom it runs as."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from autotune.errors import AutotuneError, Interrupted, PrivilegeError, RunnerLost, UsageError
from autotune.measure.client import Runner
from autotune.records import Identity, RunSpec
from tests.support.run_specs import NOBODY, SYSTEM_PYTHON, needs_root, shell, spec, wait_until
from tests.support.waiting import is_gone

ROOT = str(Path(__file__).resolve().parents[3])


# --- who asks goes away ---


def start_in_thread(runner: Runner, asked: RunSpec) -> tuple[threading.Thread, list[Any]]:
    results: list[Any] = []

    def run() -> None:
        try:
            results.append(runner.run(asked))
        except AutotuneError as error:
            results.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, results


def long_command(tmp_path: Path) -> RunSpec:
    """A tree of processes that writes its ids: in the session, in another one, and deaf to SIGTERM."""
    command = "sleep 60 & echo $! > a; setsid sleep 60 & echo $! > b; (trap '' TERM; sleep 61; sleep 62) & echo $! > c"
    return shell(f"{command}; echo $$ > d; touch ready; sleep 63", cwd=tmp_path)


def pids_of(tmp_path: Path) -> list[int]:
    assert wait_until((tmp_path / "ready").exists, 60)
    return [int((tmp_path / name).read_text()) for name in "abcd"]


def all_gone(pids: list[int]) -> Callable[[], bool]:
    return lambda: all(is_gone(pid) for pid in pids)


def test_a_run_can_be_cancelled_and_the_runner_goes_on(runner: Runner, tmp_path: Path) -> None:
    thread, results = start_in_thread(runner, long_command(tmp_path))
    pids = pids_of(tmp_path)
    runner.cancel()
    thread.join(2)
    assert isinstance(results[0], Interrupted)
    assert all_gone(pids)()
    assert runner.run(spec("true")).exit_code == 0


def test_a_cancelled_command_may_tidy_up(runner: Runner, tmp_path: Path) -> None:
    command = "trap 'echo tidy > tidied; exit' TERM; touch ready; sleep 60 & wait"
    thread, _ = start_in_thread(runner, shell(command, cwd=tmp_path))
    assert wait_until((tmp_path / "ready").exists, 60)
    runner.cancel()
    thread.join(2)
    assert (tmp_path / "tidied").exists()


def test_to_cancel_when_nothing_runs_is_nothing(runner: Runner) -> None:
    runner.cancel()
    assert runner.run(spec("true")).exit_code == 0


def test_closing_ends_what_is_going(runner: Runner, tmp_path: Path) -> None:
    thread, results = start_in_thread(runner, long_command(tmp_path))
    pids = pids_of(tmp_path)
    began = time.monotonic()
    runner.close()
    assert time.monotonic() - began < 30
    assert all_gone(pids)()
    thread.join(2)
    assert isinstance(results[0], RunnerLost)


@pytest.mark.slow
def test_an_interrupted_caller_can_go_on_or_close(runner: Runner, tmp_path: Path) -> None:
    """As Ctrl-C does it: the exception rises in the middle of the waiting."""
    before = signal.signal(signal.SIGALRM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        with pytest.raises(KeyboardInterrupt):
            runner.run(long_command(tmp_path))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    pids = pids_of(tmp_path)
    assert runner.run(spec("echo", "next")).stdout.head == "next\n"
    assert all_gone(pids)()


def fail() -> None:
    raise ZeroDivisionError


def test_a_listener_that_fails_ends_the_run(runner: Runner) -> None:
    with pytest.raises(ZeroDivisionError):
        runner.run(shell("echo a; sleep 60", stream=True), lambda _stream, _data: fail())
    began = time.monotonic()
    assert runner.run(spec("true")).exit_code == 0
    assert time.monotonic() - began < 30


def test_closing_while_nobody_takes_the_output_ends_the_command(tmp_path: Path) -> None:
    runner = Runner()
    asked = shell("echo $$ > pid; touch ready; exec yes", cwd=tmp_path, stream=True)
    runner._worker.peer.channel.send({"id": 99, "op": "run", "spec": dataclasses.asdict(asked)})
    assert wait_until((tmp_path / "ready").exists, 60)
    time.sleep(0.2)  # until every pipe is full
    began = time.monotonic()
    runner.close()
    assert time.monotonic() - began < 30
    assert is_gone(int((tmp_path / "pid").read_text()))


CLIENT = """
import json, sys
sys.path.insert(0, sys.argv[1])
from autotune.measure.client import Runner
from autotune.records import RunSpec; from autotune.wire import from_json
with Runner() as runner:
    print(runner.pid, flush=True)
    runner.run(from_json(RunSpec, json.loads(sys.argv[2])))
"""


@pytest.fixture
def client(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    asked = json.dumps(dataclasses.asdict(long_command(tmp_path)))
    argv = [sys.executable, "-S", "-c", CLIENT, ROOT, asked]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def test_sigkill_of_the_client_ends_helper_and_workload_within_a_second(
    client: subprocess.Popen[str], tmp_path: Path
) -> None:
    assert client.stdout is not None
    helper = int(client.stdout.readline())
    pids = pids_of(tmp_path)
    client.kill()
    assert wait_until(all_gone([helper, *pids]), 20)


def test_a_helper_that_is_killed_is_lost_and_its_workload_ended(runner: Runner, tmp_path: Path) -> None:
    thread, results = start_in_thread(runner, shell("sleep 60 & echo $! > a; touch ready; wait", cwd=tmp_path))
    assert wait_until((tmp_path / "ready").exists, 60)
    os.kill(runner.pid, signal.SIGKILL)
    thread.join(5)
    assert isinstance(results[0], RunnerLost)
    assert wait_until(all_gone([int((tmp_path / "a").read_text())]), 20)


@pytest.mark.first
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_nothing_of_the_workload_of_a_lost_helper_stays_whatever_its_session(
    runner: Runner, tmp_path: Path, number: signal.Signals
) -> None:
    thread, results = start_in_thread(runner, long_command(tmp_path))
    pids = pids_of(tmp_path)
    os.kill(runner.pid, number)
    thread.join(60)
    assert isinstance(results[0], RunnerLost)
    assert all_gone([runner.pid, *pids])()


def test_what_prepare_left_in_a_session_of_its_own_ends_with_a_helper_that_is_killed(
    runner: Runner, tmp_path: Path
) -> None:
    left = shell("setsid setsid sleep 60 & echo $! > a; sleep 0.1", cwd=tmp_path, stage="prepare")
    assert runner.run(left).left_running == 1
    os.kill(runner.pid, signal.SIGKILL)
    assert wait_until(lambda: not runner.alive, 20)
    runner.close()
    assert all_gone([int((tmp_path / "a").read_text())])()


def test_a_helper_ends_with_its_guard(runner: Runner, tmp_path: Path) -> None:
    thread, results = start_in_thread(runner, shell("sleep 60 & echo $! > a; touch ready; wait", cwd=tmp_path))
    assert wait_until((tmp_path / "ready").exists, 60)
    os.kill(runner._worker.process.pid, signal.SIGKILL)
    thread.join(20)
    assert isinstance(results[0], RunnerLost)
    assert wait_until(all_gone([runner.pid, int((tmp_path / "a").read_text())]), 20)


def test_a_runner_that_was_lost_stays_lost(runner: Runner) -> None:
    os.kill(runner.pid, signal.SIGKILL)
    for _ in range(2):
        with pytest.raises(RunnerLost, match="the process that measures runs"):
            runner.run(spec("true"))
    runner.close()
    runner.close()


def test_the_helper_heeds_the_end_of_its_pipe_and_no_signal_of_a_terminal(runner: Runner) -> None:
    pid = runner.pid
    assert os.getsid(pid) != os.getsid(0)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(pid, number)
    assert runner.run(spec("true")).exit_code == 0
    runner.close()
    assert is_gone(pid)


def test_many_runs_leave_no_descriptors_behind(runner: Runner) -> None:
    fds = Path(f"/proc/{runner.pid}/fd")
    runner.run(spec("true"))
    before = len(list(fds.iterdir()))
    for index in range(20):
        runner.run(spec("true" if index % 2 else "no-such-command"))
        with contextlib.suppress(UsageError):
            runner.run(spec("true", metric_regex="("))
    assert len(list(fds.iterdir())) == before


def test_a_helper_without_an_interpreter_is_lost() -> None:
    with pytest.raises(RunnerLost, match="cannot be started"):
        Runner(python="/nonexistent/python")


# --- as whom ---


@needs_root
def test_the_helper_itself_is_that_user_and_not_root() -> None:
    with Runner(Identity(NOBODY, NOBODY)) as runner:
        status = Path(f"/proc/{runner.pid}/status").read_text()
        assert f"Uid:\t{NOBODY}\t{NOBODY}\t{NOBODY}\t{NOBODY}" in status


def test_ones_own_identity_needs_no_privilege() -> None:
    with Runner(Identity(os.geteuid(), os.getegid(), tuple(os.getgroups()))) as runner:
        assert runner.run(spec("id", "-u")).stdout.head == f"{os.geteuid()}\n"


@needs_root
@pytest.mark.skipif(SYSTEM_PYTHON is None, reason="no interpreter that an ordinary user can run")
def test_an_ordinary_user_cannot_run_commands_as_another() -> None:
    code = (
        "import sys\nsys.path.insert(0, sys.argv[1])\nfrom autotune.measure.client import Runner\n"
        "from autotune.errors import PrivilegeError\nfrom autotune.records import Identity\n"
        "try: Runner(Identity(0, 0))\nexcept PrivilegeError as error: print(error)"
    )
    ids = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
    argv = [str(SYSTEM_PYTHON), "-S", "-c", code, ROOT]
    seen = subprocess.run(argv, capture_output=True, text=True, cwd="/", check=False, **ids)  # type: ignore[call-overload]
    assert seen.stdout.startswith("commands cannot be run as user 0"), seen.stderr
    assert PrivilegeError.exit_code == 1
