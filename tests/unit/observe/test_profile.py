# SPDX-License-Identifier: MIT
"""The profile adds up: CPU time by key and over time is the work, whatever the turns were."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotune.observe.decode import TasksSeen
from autotune.observe.profile import BRIEF_GROUPS, BRIEF_LINKS, MOST_GROUPS, OTHERS, SLOTS, brief, profile
from autotune.records import Profile
from autotune.wire import from_json, to_json
from tests.support.watched_tasks import a_task, a_turn

BUILD = TasksSeen(
    (
        a_task(1, arguments=("make", "-j2"), end_s=6.0, cpu_s=0.2, sleep_s=5.8),
        a_task(2, 1, arguments=("cc", "a.c"), start_s=0.1, end_s=1.1),
        a_task(3, 1, arguments=("cc", "b.c"), start_s=0.1, end_s=2.1, wait_s=0.5),
        a_task(4, 1, arguments=("ld", "a.o", "b.o"), start_s=2.2, end_s=5.9),
    ),
    (a_turn(2, 0.1, 1.1), a_turn(3, 0.6, 2.1, waited_s=0.5), a_turn(4, 2.2, 5.9)),
)


def test_tasks_are_grouped_by_key_the_most_cpu_time_first() -> None:
    twice = TasksSeen((*BUILD.tasks, a_task(5, 1, arguments=("cc", "a.c"), start_s=1.0, end_s=1.5)), BUILD.turns)

    found = profile(twice, wall_s=6.0, cpus=2)

    assert [(group.key, group.tasks) for group in found.groups] == [
        ("ld a.o b.o", 1),
        ("cc a.c", 2),
        ("cc b.c", 1),
        ("make -j2", 1),
    ]
    assert found.groups[1].longest_s == pytest.approx(1.0)
    assert (found.groups[1].starts_s, found.groups[1].ends_s) == (0.1, 1.5)


def test_cpus_busy_and_waited_for_are_told_over_time() -> None:
    slots = profile(BUILD, wall_s=6.0, cpus=2).slots

    assert len(slots) == SLOTS
    assert slots[2].busy == pytest.approx(1.03, abs=0.02)  # only a.c runs, and b.c waits
    assert slots[2].waiting == pytest.approx(1.0, abs=0.02)
    assert slots[8].busy == pytest.approx(2.03, abs=0.02)
    assert slots[40].busy == pytest.approx(1.03, abs=0.02)


def test_the_serial_part_is_where_one_cpu_would_do() -> None:
    assert profile(BUILD, wall_s=6.0, cpus=2).serial_s == pytest.approx(4.9, abs=0.3)


def test_the_chain_names_its_tasks_and_what_bounds_the_run() -> None:
    found = profile(BUILD, wall_s=6.0, cpus=2)

    assert [link.key for link in found.chain] == ["make -j2", "ld a.o b.o"]
    assert found.limit == "chain"
    assert found.possible == pytest.approx(1 - found.least_s / 6.0)


def test_what_the_measuring_helper_forks_for_itself_is_left_out() -> None:
    helper = a_task(9, 0, arguments=(), comm="python3", end_s=0.1)

    assert profile(TasksSeen((helper, *BUILD.tasks), BUILD.turns), wall_s=6.0, cpus=2).tasks == 4


def test_very_many_keys_are_bounded_and_nothing_of_the_work_is_lost() -> None:
    tasks = (a_task(pid, arguments=("cc", f"{9000 + pid}.c"), end_s=1.0) for pid in range(1, 2 * MOST_GROUPS))
    many = TasksSeen(tuple(tasks), ())

    found = profile(many, wall_s=1000.0, cpus=2)

    assert len(found.groups) == MOST_GROUPS + 1
    assert found.groups[-1].key == OTHERS
    assert sum(group.cpu_s for group in found.groups) == pytest.approx(found.work_s)


def test_only_numbers_of_a_task_s_own_ancestors_are_taken_for_processes() -> None:
    tasks = (
        a_task(300, arguments=("sh", "-c", "x")),
        a_task(301, 300, arguments=("cat", "log.300", "302.c")),
        a_task(302),
    )

    assert "cat log.<pid> 302.c" in [group.key for group in profile(TasksSeen(tasks, ()), wall_s=1.0, cpus=2).groups]


def test_it_survives_the_way_to_json_and_back() -> None:
    import json

    found = profile(BUILD, wall_s=6.0, cpus=2)

    assert from_json(type(found), json.loads(json.dumps(to_json(found)))) == found


def test_a_run_without_tasks_has_an_empty_profile() -> None:
    found = profile(TasksSeen((), ()), wall_s=0.0, cpus=2)

    assert (found.tasks, found.groups, found.slots, found.possible) == (0, (), (), 0.0)


@given(
    st.lists(st.tuples(st.floats(0, 5), st.floats(0.01, 5), st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=20),
    st.integers(1, 8),
)
def test_time_over_the_slots_is_the_cpu_time_of_the_tasks(spans: list[tuple[float, ...]], cpus: int) -> None:
    tasks, turns = [], []
    for pid, (start_s, length_s, used, recorded) in enumerate(spans, start=1):
        cpu_s = length_s * used
        tasks.append(a_task(pid, start_s=start_s, end_s=start_s + length_s, cpu_s=cpu_s, sleep_s=length_s - cpu_s))
        turns.append(a_turn(pid, start_s, start_s + cpu_s * recorded))
    wall_s = max(task.end_s for task in tasks)

    found = profile(TasksSeen(tuple(tasks), tuple(turns)), wall_s=wall_s, cpus=cpus)

    assert sum(slot.busy for slot in found.slots) * wall_s / SLOTS == pytest.approx(found.work_s)
    assert sum(group.cpu_s for group in found.groups) == pytest.approx(found.work_s)


def test_a_brief_profile_loses_no_cpu_time_and_is_bounded() -> None:
    """Each task forks the next as it ends, so that they are one chain."""
    deep = [
        a_task(pid, pid - 1, start_s=pid * 0.05, end_s=(pid + 1) * 0.05, arguments=("sh", f"file{pid}"))
        for pid in range(1, 150)
    ]
    whole = profile(TasksSeen(tuple(deep), ()), wall_s=9.0, cpus=2)

    found = brief(whole)

    assert len(whole.chain) > BRIEF_LINKS == len(found.chain)
    assert len(found.groups) == BRIEF_GROUPS + 1
    assert sum(one.cpu_s for one in found.groups) == pytest.approx(found.work_s)
    assert sum(one.tasks for one in found.groups) == found.tasks == whole.tasks
    starts = [link.starts_s for link in found.chain]
    assert starts == sorted(starts)
    assert from_json(Profile, to_json(found)) == found


def test_a_small_profile_is_brief_already() -> None:
    whole = profile(BUILD, wall_s=6.0, cpus=2)

    assert brief(whole) == whole


def calls(of: Callable[[], object]) -> int:
    """Return how many functions are called."""
    counted = 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal counted
        counted += event == "call"

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        of()
    finally:
        sys.setprofile(before)
    return counted


def each_forks_the_next(count: int) -> TasksSeen:
    return TasksSeen(
        tuple(a_task(n + 1, n, start_s=n, end_s=count, cpu_s=0.1, arguments=("x", str(n))) for n in range(count)), ()
    )


def test_a_chain_of_forks_that_is_twice_as_long_is_twice_the_work() -> None:
    few, many = each_forks_the_next(150), each_forks_the_next(300)

    assert calls(lambda: profile(many, wall_s=1.0, cpus=2)) < 2.5 * calls(lambda: profile(few, wall_s=1.0, cpus=2))
