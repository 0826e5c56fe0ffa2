# SPDX-License-Identifier: MIT
"""What `autotune observe` prints: the bound, the CPUs over time, the tasks, and advice where there is some."""

from __future__ import annotations

from dataclasses import replace

import pytest

from autotune.observe.decode import TasksSeen
from autotune.observe.perf import NO_PMU, CpuCounters
from autotune.observe.profile import profile
from autotune.records import Profile
from autotune.report.bound import advice
from autotune.views.profile import lines
from tests.support.watched_tasks import a_task, a_turn


def batch(*, long_first: bool, shorts: int = 10) -> Profile:
    """Ten tasks of 1 s and one of 5 s on two CPUs, started in order by a script."""
    tasks, turns = [a_task(1, arguments=("sh", "run.sh"), end_s=99.0, cpu_s=0.0, sleep_s=99.0)], []
    free = [0.0, 0.0]
    lengths = [5.0] + [1.0] * shorts if long_first else [1.0] * shorts + [5.0]
    for number, length_s in enumerate(lengths):
        cpu = free.index(min(free))
        start_s, free[cpu] = free[cpu], free[cpu] + length_s
        name = "big" if length_s > 1.0 else f"small{number}"
        tasks.append(a_task(2 + number, 1, start_s=start_s, end_s=start_s + length_s, arguments=("xz", name)))
        turns.append(a_turn(2 + number, start_s, start_s + length_s))
    wall_s = max(free)
    tasks[0] = replace(tasks[0], end_s=wall_s, sleep_s=wall_s)
    return profile(TasksSeen(tuple(tasks), tuple(turns)), wall_s=wall_s, cpus=2)


def text(seen: Profile, width: int = 100) -> str:
    return "\n".join(lines(seen, seen.wall_s, NO_PMU, width=width))


def test_the_bound_is_said_with_what_sets_it() -> None:
    shown = text(batch(long_first=False))

    assert "No schedule ends it before 7.500 s (its work, shared evenly by 2 CPUs)" in shown
    assert "at most 25% less time is possible" in shown


def test_a_long_task_that_starts_late_is_to_be_started_first() -> None:
    (one,) = advice(batch(long_first=False))

    assert one == "The longest task, 'xz big' (5.000 s), starts only after 5.000 s: start it first."


def test_nothing_is_advised_where_nothing_can_be_won() -> None:
    assert list(advice(batch(long_first=True, shorts=5))) == []


def test_a_command_that_wants_one_cpu_of_two_may_run_more_at_a_time() -> None:
    tasks = (
        a_task(1, end_s=10.0, cpu_s=0.0, sleep_s=10.0),
        *(a_task(2 + n, 1, start_s=float(n), end_s=n + 1.0, arguments=("cc", f"{n}.c")) for n in range(10)),
    )
    turns = tuple(a_turn(2 + n, float(n), n + 1.0) for n in range(10))

    (one,) = advice(profile(TasksSeen(tasks, turns), wall_s=10.0, cpus=2))

    assert "a higher -j" in one


def test_what_the_cpus_counted_is_said_or_why_they_could_not() -> None:
    seen = batch(long_first=False)

    assert f"Cycles and cache misses were not counted: {NO_PMU}." in text(seen)
    counted = "\n".join(lines(seen, 10.0, CpuCounters(4e9, 6e9, 1e6, 0.25e6), width=100))
    assert (
        "Counted by perf in a run of its own: 4.00 billion cycles, 1.50 instructions a cycle, 25.0% of the accesses to "
        "the last-level cache missed." in counted
    )


def test_the_largest_tasks_come_first_and_the_rest_is_counted() -> None:
    rows = list(lines(batch(long_first=False), 10.0, NO_PMU, width=100, top=3))

    head = next(number for number, row in enumerate(rows) if row.endswith("  task"))
    assert "xz big" in rows[head + 1]
    assert rows[head + 4].startswith("9 more")


@pytest.mark.parametrize("width", [20, 60, 80, 200])
def test_names_with_control_characters_are_shown_as_escapes_and_cut_to_the_terminal(width: int) -> None:
    seen = profile(TasksSeen((a_task(1, arguments=("x\x1b[2J", "y" * 300)),), ()), wall_s=1.0, cpus=2)

    shown = text(seen, width)

    assert "\x1b" not in shown


def test_missing_tasks_are_named() -> None:
    assert "7 tasks are missing here" in text(replace(batch(long_first=True), unseen_tasks=7))


def test_a_run_without_tasks_is_shown_all_the_same() -> None:
    assert "0 tasks" in text(profile(TasksSeen((), ()), wall_s=0.0, cpus=2))
