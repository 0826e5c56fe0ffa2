# SPDX-License-Identifier: MIT
"""What to expect of the next run: the longest chain that each task begins."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotune.observe.bound import Ledger
from autotune.observe.decode import Identities, TasksSeen, WatchedTask
from autotune.observe.expectations import MOST_CHAINS, chains, expect
from tests.support.watched_tasks import a_task, a_turn


def known(task: WatchedTask, program: int, place: int = 0, both: int = 0, *, executed: bool = True) -> WatchedTask:
    return replace(task, identity=Identities(program, place, both), executed=executed)


def test_a_job_counts_with_its_own_time_and_its_starter_with_the_longest() -> None:
    starter = known(a_task(1, end_s=0.5, cpu_s=0.5), 10)
    short, long = known(a_task(2, 1, start_s=0.1, end_s=0.4), 20), known(a_task(3, 1, start_s=0.2, end_s=4.2), 30)

    found = expect(TasksSeen((starter, short, long), ()))

    assert found.chains_ns == {
        "10": pytest.approx(4.2e9),  # until it forked the long one
        "20": pytest.approx(0.3e9),
        "30": pytest.approx(4.0e9),
    }
    assert found.longest_ns == found.chains_ns["10"]
    assert found.by_order == ()


def driver(*others: WatchedTask) -> TasksSeen:
    """A driver that forks two steps, one after the other, and waits for each: `cc` with its compiler and assembler."""
    tasks = (
        known(a_task(1, end_s=5.0, cpu_s=0.3, sleep_s=4.7), 10),
        known(a_task(2, 1, start_s=0.1, end_s=3.1), 20),
        known(a_task(3, 1, start_s=3.2, end_s=4.8), 30),
    )
    turns = (
        a_turn(1, 0.0, 0.1),
        a_turn(1, 3.1, 3.2, slept_s=3.0, waker=2),
        a_turn(1, 4.8, 4.9, slept_s=1.6, waker=3),
    )
    return TasksSeen((*tasks, *others), turns)


def test_what_a_driver_does_after_its_first_step_hangs_on_that_step() -> None:
    found = expect(driver()).chains_ns

    assert found["30"] == pytest.approx(1.7e9)
    assert found["20"] == pytest.approx(3.0e9 + 0.1e9 + 1.7e9)


def test_a_pool_goes_on_whichever_of_its_jobs_ends() -> None:
    beside = known(a_task(4, 1, start_s=0.05, end_s=4.95), 40)

    found = expect(driver(beside)).chains_ns

    assert found["20"] == pytest.approx(3.0e9)
    assert found["40"] == pytest.approx(4.9e9)


def test_jobs_with_the_same_arguments_are_known_by_their_order() -> None:
    jobs = [known(a_task(2 + n, 1, start_s=0.1, end_s=0.1 + length_s), 7, both=70 + n)
            for n, length_s in enumerate((0.2, 0.2, 2.0))]  # fmt: skip

    found = expect(TasksSeen((a_task(1), *jobs), ()))

    assert found.by_order == ("70", "71", "72")
    assert [found.chains_ns[str(number)] for number in (70, 71, 72)] == pytest.approx([0.2e9, 0.2e9, 2.0e9])
    assert found.chains_ns["7"] == pytest.approx(0.8e9)


def test_jobs_that_are_alike_are_known_by_their_arguments_alone() -> None:
    jobs = [known(a_task(2 + n, 1, start_s=0.1, end_s=0.6), 7, both=70 + n) for n in range(3)]

    found = expect(TasksSeen((a_task(1), *jobs), ()))

    assert (set(found.chains_ns), found.by_order) == ({"7"}, ())


def test_workers_that_executed_nothing_are_known_by_their_order() -> None:
    workers = [known(a_task(2 + n, 1, start_s=0.1, end_s=1.0 + n), 7, place=50 + n, executed=False) for n in range(2)]

    found = expect(TasksSeen((a_task(1), *workers), ()))

    assert found.chains_ns == {"50": pytest.approx(0.9e9), "51": pytest.approx(1.9e9)}
    assert found.by_order == ("50", "51")


def test_the_longest_are_kept_when_there_are_too_many() -> None:
    many = [known(a_task(n, 0, end_s=n / 100), n) for n in range(1, MOST_CHAINS + 100)]

    found = expect(TasksSeen(tuple(many), ()))

    assert len(found.chains_ns) == MOST_CHAINS
    assert str(len(many)) in found.chains_ns
    assert "1" not in found.chains_ns


def test_nothing_seen_is_nothing_expected() -> None:
    assert expect(TasksSeen((), ())).chains_ns == {}
    assert expect(TasksSeen((), ())).longest_ns == 0


@st.composite
def trees(draw: st.DrawFn) -> TasksSeen:
    """Tasks that were forked by one before them, while that lived."""
    tasks = [a_task(1, end_s=draw(st.floats(0.1, 5.0)), cpu_s=0.1)]
    for pid in range(2, draw(st.integers(2, 12))):
        parent = tasks[draw(st.integers(0, len(tasks) - 1))]
        start_s = draw(st.floats(parent.start_s, parent.end_s))
        length_s = draw(st.floats(0.0, 4.0))
        share = draw(st.floats(0.0, 1.0))
        tasks.append(a_task(pid, parent.pid, start_s=start_s, end_s=start_s + length_s, cpu_s=length_s * share))
    return TasksSeen(tuple(tasks), ())


@given(trees())
def test_a_chain_is_at_least_the_tasks_own_time_and_that_of_each_child(seen: TasksSeen) -> None:
    ledger, found = Ledger(seen), chains(seen)
    for task in seen.tasks:
        assert found[id(task)] >= ledger.cpu_until(task, task.end_s) - 1e-9
        parent = ledger.task_at(task.parent, task.start_s)
        if parent is not None and parent is not task:
            assert found[id(parent)] >= ledger.cpu_until(parent, task.start_s) + found[id(task)] - 1e-9


@given(trees())
def test_no_chain_is_longer_than_all_work_together(seen: TasksSeen) -> None:
    work_s = sum(task.cpu_s for task in seen.tasks)
    assert all(length_s <= work_s + 1e-9 for length_s in chains(seen).values())
