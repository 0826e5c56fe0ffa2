# SPDX-License-Identifier: MIT
"""The bound holds for every schedule, and is reached by some."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autotune.observe.bound import Ledger, Lineage, bound
from autotune.observe.decode import TasksSeen, Turn, WatchedTask
from tests.support.watched_tasks import a_task, a_turn


def test_independent_work_is_bound_by_its_share_of_the_cpus() -> None:
    found = bound(TasksSeen((a_task(1, cpu_s=2.0, end_s=3.0), a_task(2, cpu_s=2.0, end_s=3.0)), ()), 2)

    assert found.least_s == found.share_s == 2.0
    assert found.possible(3.0) == pytest.approx(1 / 3)


def test_one_long_task_is_bound_by_itself() -> None:
    found = bound(TasksSeen((a_task(1, cpu_s=4.0, end_s=4.0), a_task(2, cpu_s=1.0, end_s=2.0)), ()), 4)

    assert found.least_s == 4.0
    assert [task.pid for task in found.chain] == [1]


def test_a_child_starts_after_what_its_parent_did_before_the_fork() -> None:
    parent = a_task(1, end_s=3.0, cpu_s=1.0, sleep_s=2.0)
    child = a_task(2, 1, start_s=1.0, end_s=3.0, cpu_s=2.0)

    found = bound(TasksSeen((parent, child), (a_turn(1, 0.0, 1.0), a_turn(2, 1.0, 3.0))), 2)

    assert found.chain_s == pytest.approx(3.0)
    assert [task.pid for task in found.chain] == [1, 2]


def test_a_sleep_that_only_the_kernel_ended_is_part_of_the_chain() -> None:
    sleeper = a_task(1, end_s=3.0, cpu_s=1.0, sleep_s=2.0)

    assert bound(TasksSeen((sleeper,), (a_turn(1, 2.0, 3.0, slept_s=2.0, waker=0),)), 2).chain_s == pytest.approx(3.0)


@pytest.mark.parametrize("waker", [7, None])
def test_a_sleep_that_another_task_ended_is_not(waker: int | None) -> None:
    sleeper = a_task(1, end_s=3.0, cpu_s=1.0, sleep_s=2.0)

    assert bound(TasksSeen((sleeper,), (a_turn(1, 2.0, 3.0, slept_s=2.0, waker=waker),)), 2).chain_s == pytest.approx(
        1.0
    )


def test_what_is_started_one_by_one_cannot_be_shared_before_it_is_there() -> None:
    """One task works for 1 s, then forks three of 2 s at once: a second CPU is idle for that second."""
    parent = a_task(1, end_s=4.0, cpu_s=1.0, sleep_s=3.0)
    children = [a_task(pid, 1, start_s=1.0, end_s=4.0, cpu_s=2.0) for pid in (2, 3, 4)]
    seen = TasksSeen((parent, *children), (a_turn(1, 0.0, 1.0),))

    assert bound(seen, 2).share_s == pytest.approx(3.5)
    assert bound(seen, 2).chain_s == pytest.approx(3.0)
    assert bound(seen, 2).least_s == pytest.approx(4.0)
    assert bound(seen, 1).least_s == pytest.approx(7.0)


def test_a_sleep_before_the_work_delays_it_only_where_nobody_could_end_it_sooner() -> None:
    def seen(waker: int) -> TasksSeen:
        parent = a_task(1, end_s=3.0, cpu_s=1.0, sleep_s=2.0)
        children = [a_task(pid, 1, start_s=3.0, end_s=6.0, cpu_s=3.0) for pid in (2, 3)]
        return TasksSeen((parent, *children), (a_turn(1, 2.0, 3.0, slept_s=2.0, waker=waker),))

    assert bound(seen(0), 2).least_s == pytest.approx(6.0)
    assert bound(seen(9), 2).least_s == pytest.approx(4.0)


def test_work_of_tasks_that_were_lost_may_have_been_done_at_any_time() -> None:
    parent = a_task(1, end_s=1.0, cpu_s=1.0)
    child = a_task(2, 1, start_s=1.0, end_s=2.0, cpu_s=1.0)
    turns = (a_turn(1, 0.0, 1.0), a_turn(2, 1.0, 2.0))

    assert bound(TasksSeen((parent, child), turns), 2).begin_s == pytest.approx(2.0)
    assert bound(TasksSeen((parent, child), turns, lost_cpu_s=9.0), 2).begin_s == pytest.approx(2.0)


def test_a_number_that_is_used_again_is_another_task() -> None:
    first = a_task(5, end_s=1.0, cpu_s=1.0)
    second = a_task(5, start_s=2.0, end_s=2.5, cpu_s=0.5)
    child = a_task(6, 5, start_s=2.5, end_s=3.0, cpu_s=0.5)

    found = bound(TasksSeen((first, second, child), ()), 2)

    assert found.chain_s == pytest.approx(1.0)


def test_a_chain_of_forks_without_end_is_cut() -> None:
    tasks = tuple(a_task(pid, pid - 1, start_s=pid / 1000, end_s=9.0, cpu_s=0.001) for pid in range(1, 1500))

    assert len(bound(TasksSeen(tasks, ()), 2).chain) == 1000


def test_tasks_that_were_lost_still_count_as_work() -> None:
    assert bound(TasksSeen((a_task(1, cpu_s=1.0),), (), lost_cpu_s=3.0), 2).share_s == 2.0


def test_nothing_seen_bounds_nothing() -> None:
    assert bound(TasksSeen((), ()), 2).least_s == 0.0
    assert bound(TasksSeen((), ()), 2).possible(0.0) == 0.0


# --- the law: no schedule is faster ------------------------------------------------------------------------

STEP_S = 0.01


@dataclass
class Job:
    """A task to come: its CPU time in steps, and at which of them it forks which others."""

    pid: int
    parent: int
    steps: int
    forks: list[tuple[int, Job]] = field(default_factory=list)
    done: int = 0
    started: int = 0
    ended: int = 0
    turns: list[int] = field(default_factory=list)


def jobs(rng: random.Random, amount: int) -> list[Job]:
    made = [Job(1, 0, rng.randint(1, 30))]
    for pid in range(2, amount + 1):
        parent = rng.choice(made)
        made.append(Job(pid, parent.pid, rng.randint(1, 30)))
        parent.forks.append((rng.randint(1, parent.steps), made[-1]))
    return made


def scheduled(first: Job, cpus: int, rng: random.Random) -> tuple[TasksSeen, float]:
    """Run the jobs in a random order that leaves no CPU idle while a job could run; each is preempted at each step."""
    ready, over, now = [first], [], 0
    while ready:
        for job in rng.sample(ready, min(cpus, len(ready))):
            job.turns.append(now)
            job.done += 1
            for _, child in [one for one in job.forks if one[0] == job.done]:
                child.started = now + 1
                ready.append(child)
            if job.done == job.steps:
                job.ended = now + 1
                ready.remove(job)
                over.append(job)
        now += 1
    return TasksSeen(tuple(map(_task, over)), tuple(turn for job in over for turn in _turns(job))), now * STEP_S


def _task(job: Job) -> WatchedTask:
    start_s, end_s = job.started * STEP_S, job.ended * STEP_S
    return a_task(job.pid, job.parent, start_s=start_s, end_s=end_s, cpu_s=job.steps * STEP_S)


def _turns(job: Job) -> list[Turn]:
    return [a_turn(job.pid, at * STEP_S, (at + 1) * STEP_S) for at in job.turns]


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1 << 30), st.integers(1, 25), st.integers(1, 8))
def test_no_schedule_of_the_same_tasks_ends_before_the_bound(seed: int, amount: int, cpus: int) -> None:
    seen, wall_s = scheduled(jobs(random.Random(seed), amount)[0], cpus, random.Random(seed + 1))
    found = bound(seen, cpus)

    for other in range(5):
        again, other_s = scheduled(jobs(random.Random(seed), amount)[0], cpus, random.Random(seed + 2 + other))
        assert found.least_s <= other_s + 1e-6
        assert bound(again, cpus).least_s == pytest.approx(found.least_s)  # it is of the tasks, not of the schedule
    assert 0.0 <= found.possible(wall_s) < 1.0


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1 << 30), st.integers(1, 25), st.integers(1, 8))
def test_a_schedule_without_idle_cpus_takes_less_than_twice_the_bound(seed: int, amount: int, cpus: int) -> None:
    """Graham's inequality: share + (1 - 1/n) x chain bounds every greedy schedule from above."""
    seen, wall_s = scheduled(jobs(random.Random(seed), amount)[0], cpus, random.Random(seed + 1))

    assert wall_s <= 2 * bound(seen, cpus).least_s + 1e-6


@given(st.lists(st.integers(0, 30), min_size=1, max_size=30))
def test_the_numbers_of_a_task_are_its_own_and_those_of_its_ancestors(choices: list[int]) -> None:
    """Each task is forked by one of those before it, or by none of them."""
    parents = [choice % (number + 1) for number, choice in enumerate(choices)]
    seen = TasksSeen(
        tuple(a_task(number + 1, parent, start_s=number, end_s=99.0) for number, parent in enumerate(parents)), ()
    )
    ledger = Ledger(seen)
    lineage = Lineage(seen, ledger)

    for task in seen.tasks:
        ancestors = {one.pid for one in ledger.ancestry(task)}
        assert {pid for pid in range(40) if pid in lineage.pids_of(task)} == ancestors


def test_of_a_number_that_was_used_again_each_is_another_task() -> None:
    first, second = a_task(5, end_s=1.0), a_task(5, start_s=2.0, end_s=4.0)
    of_first, of_second = a_task(6, 5, start_s=0.5, end_s=3.0), a_task(7, 6, start_s=2.5, end_s=3.0)
    stranger = a_task(8, start_s=2.5, end_s=3.0)
    seen = TasksSeen((first, second, of_first, of_second, stranger), ())
    lineage = Lineage(seen, Ledger(seen))

    assert [5 in lineage.pids_of(one) for one in (of_first, of_second, stranger)] == [True, True, False]
    assert second.pid in lineage.pids_of(second)


def test_tasks_that_claim_to_have_forked_each_other_end_in_no_circle() -> None:
    seen = TasksSeen((a_task(1, 2), a_task(2, 1), a_task(3, 3)), ())

    assert 9 not in Lineage(seen, Ledger(seen)).pids_of(seen.tasks[0])
    assert bound(seen, 2).chain_s > 0.0
