# SPDX-License-Identifier: MIT
"""Tasks of a load, as real processes: what they count, and that none outlives its block."""

from __future__ import annotations

import os
import time
from functools import partial

import pytest

from autotune.verify.behaviour.crew import WRONG, Board, Crew, Task, bound_hog, hog, waker


def wait_until_all_count(*tasks: Task) -> None:
    deadline = time.monotonic() + 60.0
    while any(task.done() == 0 for task in tasks):
        assert time.monotonic() < deadline, "a task did not count"
        time.sleep(0.01)


def test_tasks_count_and_die_with_their_block() -> None:
    cpu = min(os.sched_getaffinity(0))
    with Crew(Board()) as crew:
        bound = crew.start("bound", bound_hog, cpus={cpu})
        tasks = [crew.start("hog", hog, nice=5), bound]
        wait_until_all_count(*tasks)
    assert bound.tally.read(WRONG) == 0
    assert crew.undead == []
    for task in tasks:
        with pytest.raises(ProcessLookupError):
            os.kill(task.pid, 0)


def test_each_waker_notes_its_latency_in_a_place_of_its_own() -> None:
    board = Board()
    with Crew(board) as crew:
        body = partial(waker, sleep_s=0.001, burst_s=0.0)
        first, second = (crew.start(name, body, wakes=3) for name in ("first", "second"))
        wait_until_all_count(first, second)
    assert (first.tally.wakes, second.tally.wakes) == (range(3), range(3, 6))
    assert board.wakes[0] > 0
    assert board.wakes[3] > 0


def test_a_task_that_stands_still_is_a_task_that_waits() -> None:
    board = Board()
    with Crew(board) as crew:
        task = crew.start("still", lambda _tally: time.sleep(60))
        task.look(0.02)
        task.look(0.02)
        assert task.longest_wait_s == pytest.approx(0.04)
        task.tally.count()
        task.look(0.02)
        assert task.waiting_s == 0.0
