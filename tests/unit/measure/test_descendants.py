# SPDX-License-Identifier: MIT
"""Whatever a command leaves behind is ended, and costs the run nothing."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from autotune.measure import descendants
from autotune.measure.client import Runner
from autotune.runner import CANCEL_GRACE_S
from tests.support.run_specs import shell, spec
from tests.support.waiting import is_gone


def test_a_background_child_that_holds_the_output_delays_nothing_and_is_ended(shared: Runner) -> None:
    run = shared.run(shell("sleep 60 & echo $!"))
    assert run.wall_s < 60
    assert run.left_running == 1
    assert is_gone(int(run.stdout.head))


def test_a_daemon_that_left_the_session_twice_over_is_ended(shared: Runner, tmp_path: Path) -> None:
    daemon = "(setsid sh -c 'sleep 60 & echo $!; sleep 61 & touch ready; wait' &)"
    run = shared.run(shell(f"{daemon}; until test -e ready; do sleep 0.01; done", cwd=tmp_path))
    assert run.left_running == 3  # a shell in a session of its own, and its two sleeps
    assert is_gone(int(run.stdout.head))


def test_ending_what_is_left_adds_nothing_to_the_time(shared: Runner, tmp_path: Path) -> None:
    began = time.monotonic()
    deaf = "sh -c 'trap \"\" TERM; touch ready; sleep 60; sleep 60'"
    run = shared.run(shell(f"{deaf} & until test -e ready; do sleep 0.01; done", cwd=tmp_path))
    elapsed_s = time.monotonic() - began
    assert run.left_running >= 1
    assert elapsed_s - run.wall_s >= CANCEL_GRACE_S  # that one needed a SIGKILL


def test_a_writer_left_behind_does_not_keep_the_run_going(shared: Runner) -> None:
    run = shared.run(shell("yes & echo first", timeout_s=10))
    assert not run.timed_out
    assert run.left_running == 1
    assert run.stdout.total_bytes < 1 << 22


@pytest.mark.slow
def test_orphans_that_end_meanwhile_are_reaped_meanwhile(runner: Runner) -> None:
    done = shell("for i in 1 2 3 4 5 6 7 8 9; do (true & ) ; done; sleep 1.6", timeout_s=10)
    thread = threading.Thread(target=runner.run, args=(done,))
    thread.start()
    time.sleep(1.4)
    helper = runner.pid
    zombies = [process for process in descendants.processes() if process.parent == helper and process.state == "Z"]
    thread.join()
    assert zombies == []


def test_nothing_of_one_run_is_left_in_the_next(shared: Runner) -> None:
    shared.run(shell("sleep 60 &"))
    assert shared.run(spec("true")).left_running == 0
