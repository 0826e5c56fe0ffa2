# SPDX-License-Identifier: MIT
"""The laws of schedules, for all that scripts/simulation makes, and what it reads from a trace."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autotune.observe import chrome_trace
from autotune.observe.bound import bound
from autotune.observe.decode import TasksSeen
from scripts.simulation import __main__ as command
from scripts.simulation import trace
from scripts.simulation.engine import simulate
from scripts.simulation.policies import Fair, FirstCome, LongestFirst, Policy
from scripts.simulation.tasks import Point, SimTask, tasks_of
from tests.support.watched_tasks import a_task, a_turn

POLICIES: dict[str, Callable[[Sequence[SimTask]], Policy]] = {
    "fair": Fair,
    "first come": lambda _tasks: FirstCome(),
    "known": LongestFirst,
    "learned": lambda tasks: LongestFirst(tasks, 1.0, 3),
}
LONG_TAIL = [*(SimTask(f"short {number}", 1.0) for number in range(39)), SimTask("long", 10.0)]


def wall_s(tasks: Sequence[SimTask], cpus: int, policy: str) -> float:
    return simulate(tasks, cpus, POLICIES[policy](tasks)).wall_s


# --- what is known -----------------------------------------------------------------------------------------


def test_a_long_job_among_short_ones_costs_what_arithmetic_says() -> None:
    """On 8 CPUs: fair sharing is done with the short ones after 5 s, and 9 s of the long one are left; the first come
    run 39 short ones in 5 s but on one CPU, where the long one starts after 4 s; the best is the long one alone."""
    assert wall_s(LONG_TAIL, 8, "fair") == pytest.approx(14.0, abs=0.05)
    assert wall_s(LONG_TAIL, 8, "first come") == pytest.approx(14.0)
    assert wall_s(LONG_TAIL, 8, "known") == pytest.approx(10.0, abs=0.01)


def test_one_who_comes_first_keeps_its_cpu_while_it_forks() -> None:
    parent = SimTask("parent", 2.0, (Point(0.5, "fork", 1), Point(1.0, "fork", 2)))
    tasks = [parent, SimTask("child", 1.0, (), False), SimTask("child", 1.0, (), False)]

    assert wall_s(tasks, 1, "first come") == pytest.approx(4.0)
    assert wall_s(tasks, 2, "first come") == pytest.approx(2.5)


def test_a_chain_of_short_tasks_counts_as_a_long_one() -> None:
    """The parent of a long task runs before longer ones that nothing follows."""
    tasks = [
        SimTask("other", 2.0),
        SimTask("other", 2.0),
        SimTask("parent", 1.0, (Point(1.0, "fork", 3),)),
        SimTask("heir", 3.0, (), False),
    ]

    assert wall_s(tasks, 2, "known") == pytest.approx(4.0, abs=0.02)
    assert wall_s(tasks, 2, "first come") == pytest.approx(6.0)


def test_sleeps_take_no_cpu() -> None:
    sleeper = SimTask("sleeper", 1.0, (Point(0.5, "sleep", sleep_s=2.0),))

    assert wall_s([sleeper, SimTask("busy", 2.0)], 1, "first come") == pytest.approx(3.0)


def test_who_waits_goes_on_when_the_other_has_come_that_far() -> None:
    waits = SimTask("waits", 1.0, (Point(0.5, "wait", 7),))
    gives = SimTask("gives", 2.0, (Point(1.5, "signal", 7),))

    assert wall_s([waits, gives], 2, "fair") == pytest.approx(2.0)
    assert simulate([waits], 1, FirstCome()).released == 1  # nobody gives it


@pytest.mark.slow
def test_errors_that_do_not_change_the_order_cost_nothing() -> None:
    flipped = [
        simulate(LONG_TAIL, 8, LongestFirst(LONG_TAIL, error, seed)).wall_s for error in (0.1, 5.0) for seed in range(9)
    ]
    assert max(flipped[:9]) == pytest.approx(10.0, abs=0.05)
    assert max(flipped[9:]) > 11.0


# --- the laws ----------------------------------------------------------------------------------------------


def tasks_made(rng: random.Random, amount: int) -> list[SimTask]:
    """A tree of forks with lengths in ms."""
    lengths = [rng.randint(1, 400) / 1000 for _ in range(amount)]
    forks: dict[int, list[Point]] = {index: [] for index in range(amount)}
    first = {0} | {index for index in range(amount) if rng.random() < 0.2}
    for index in range(amount):
        if index not in first:
            parent = rng.randrange(index)
            forks[parent].append(Point(rng.random() * lengths[parent], "fork", index))
    return [
        SimTask(
            f"{index % 7}",
            lengths[index],
            tuple(sorted(forks[index], key=lambda one: one.after_s)),
            index in first,
        )
        for index in range(amount)
    ]


def chain_s(tasks: Sequence[SimTask]) -> float:
    """The longest chain of forks."""
    starts = [0.0] * len(tasks)
    for index, task in enumerate(tasks):
        for point in task.points:
            if point.kind == "fork":
                starts[point.other] = starts[index] + point.after_s
    return max(start + task.cpu_s for start, task in zip(starts, tasks, strict=True))


made_up = given(seed=st.integers(0, 1 << 30), amount=st.integers(1, 40), cpus=st.integers(1, 20))


@pytest.mark.first
@pytest.mark.parametrize("policy", POLICIES)
@settings(max_examples=60, deadline=None)
@made_up
def test_no_schedule_ends_before_the_bound_and_none_without_idle_cpus_takes_twice_as_long(
    policy: str, seed: int, amount: int, cpus: int
) -> None:
    tasks = tasks_made(random.Random(seed), amount)
    work_s, longest_s = sum(task.cpu_s for task in tasks), chain_s(tasks)

    done = simulate(tasks, cpus, POLICIES[policy](tasks))

    assert done.work_s == pytest.approx(work_s)
    assert done.wall_s >= max(work_s / cpus, longest_s) - 1e-6
    assert done.wall_s <= work_s / cpus + (1 - 1 / cpus) * longest_s + 1e-6  # Graham
    assert done.released == 0


@pytest.mark.parametrize("policy", POLICIES)
@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1 << 30), amount=st.integers(1, 40))
def test_one_cpu_takes_as_long_as_all_the_work(policy: str, seed: int, amount: int) -> None:
    tasks = tasks_made(random.Random(seed), amount)

    assert wall_s(tasks, 1, policy) == pytest.approx(sum(task.cpu_s for task in tasks))


@pytest.mark.parametrize("policy", POLICIES)
@settings(max_examples=30, deadline=None)
@made_up
def test_sleeps_and_waits_lose_no_work(policy: str, seed: int, amount: int, cpus: int) -> None:
    rng = random.Random(seed)
    tasks = [_with_waits(task, rng, index, amount) for index, task in enumerate(tasks_made(rng, amount))]

    done = simulate(tasks, cpus, POLICIES[policy](tasks))

    assert done.work_s == pytest.approx(sum(task.cpu_s for task in tasks))


def _with_waits(task: SimTask, rng: random.Random, index: int, amount: int) -> SimTask:
    """Let a task sleep, give signals, and wait for one that perhaps nobody gives, or only after this."""
    more = [Point(rng.random() * task.cpu_s, "signal", rng.randrange(amount)) for _ in range(rng.randrange(3))]
    if rng.random() < 0.5:
        more.append(Point(rng.random() * task.cpu_s, "wait", index))
    if rng.random() < 0.3:
        more.append(Point(rng.random() * task.cpu_s, "sleep", sleep_s=rng.random()))
    return replace(task, points=tuple(sorted([*task.points, *more], key=lambda one: one.after_s)))


# --- from a run --------------------------------------------------------------------------------------------

MAKE = TasksSeen(
    (
        a_task(10, arguments=("make",), end_s=3.0, cpu_s=0.2, sleep_s=2.8),
        a_task(11, 10, arguments=("cc", "a.c"), start_s=0.1, end_s=1.1),
        a_task(12, 10, arguments=("cc", "b.c"), start_s=1.15, end_s=2.95),
    ),
    (
        a_turn(10, 0.0, 0.1),
        a_turn(11, 0.1, 1.1),
        a_turn(10, 1.1, 1.15, slept_s=1.0, waker=11),
        a_turn(12, 1.15, 2.95),
        a_turn(10, 2.95, 3.0, slept_s=1.8, waker=12),
    ),
)
"""`make` without -j: the second compilation starts after the first."""


def test_a_trace_gives_back_the_run_that_was_seen(tmp_path: Path) -> None:
    path = tmp_path / "make.json"
    path.write_text(chrome_trace.text(MAKE))

    again = trace.read(path)

    assert [task.pid for task in again.tasks] == [10, 11, 12]
    assert [task.arguments for task in again.tasks] == [("make",), ("cc a.c",), ("cc b.c",)]
    assert [turn.waker for turn in again.turns] == [turn.waker for turn in MAKE.turns]
    assert bound(again, 4).least_s == pytest.approx(bound(MAKE, 4).least_s)


def test_who_waited_for_whom_holds_on_more_cpus_unless_only_forks_count() -> None:
    waits, forks = tasks_of(MAKE), tasks_of(MAKE, waits=False)

    assert wall_s(waits, 64, "fair") == pytest.approx(3.0, abs=0.01)
    assert wall_s(forks, 64, "fair") == pytest.approx(0.15 + 1.8, abs=0.01)
    assert wall_s(forks, 1, "fair") == pytest.approx(3.0, abs=0.01)


def test_a_sleep_that_an_interrupt_ended_in_anothers_name_is_no_wait_for_it() -> None:
    """The kernel names whoever was on the CPU: a sibling, or a child that runs on."""
    seen = TasksSeen(
        (
            a_task(10, end_s=3.0, cpu_s=1.0),
            a_task(11, 10, start_s=0.1, end_s=2.0),
            a_task(12, 10, start_s=0.1, end_s=3.0, cpu_s=0.5),
        ),
        (a_turn(10, 1.0, 1.5, slept_s=0.5, waker=11), a_turn(12, 2.0, 2.5, slept_s=1.0, waker=11)),
    )

    assert [point.kind for task in tasks_of(seen) for point in task.points] == ["fork", "fork"]


@pytest.mark.slow
def test_a_task_of_very_many_turns_is_read_in_a_moment() -> None:
    amount = 50_000
    turns = tuple(a_turn(2, 0.01 * at, 0.01 * at + 0.004, slept_s=0.006) for at in range(amount))
    end_s = 0.01 * amount
    seen = TasksSeen((a_task(1, end_s=end_s), a_task(2, 1, end_s=end_s, cpu_s=0.004 * amount)), turns)

    started_s = time.process_time()
    tasks = tasks_of(seen)

    assert time.process_time() - started_s < 10.0
    assert [point.kind for point in tasks[1].points] == ["sleep"] * amount
    assert tasks[1].points[-1].after_s == pytest.approx(0.004 * (amount - 1), abs=0.005)


def test_a_number_that_is_used_again_is_another_task() -> None:
    seen = TasksSeen(
        (
            a_task(5, end_s=1.0),
            a_task(5, start_s=2.0, end_s=2.5),
            a_task(6, 5, start_s=2.25, end_s=2.5),
            a_task(7, 7, start_s=2.3, end_s=2.5),
        ),
        (),
    )

    tasks = tasks_of(seen)

    assert [[point.other for point in task.points] for task in tasks] == [[], [2], [], []]
    assert [task.is_first for task in tasks] == [True, True, False, True]


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1 << 30), amount=st.integers(1, 20), cpus=st.integers(1, 30))
def test_no_simulated_run_ends_before_the_bound_of_the_product(seed: int, amount: int, cpus: int) -> None:
    rng = random.Random(seed)
    tasks = [a_task(1, end_s=rng.random() + 0.1)]
    for pid in range(2, amount + 1):
        parent = rng.choice(tasks)
        start_s = parent.start_s + rng.random() * (parent.end_s - parent.start_s)
        tasks.append(a_task(pid, parent.pid, start_s=start_s, end_s=start_s + rng.random() + 0.01))
    seen = TasksSeen(tuple(sorted(tasks, key=lambda one: (one.start_s, one.pid))), ())

    for policy in POLICIES:
        assert wall_s(tasks_of(seen), cpus, policy) >= bound(seen, cpus).least_s - 1e-6


BAD_TIME = '{"traceEvents": [{"ph": "X", "cat": "task", "name": "x", "pid": 1, "tid": 1, "ts": TIME, "args": {}}]}'


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"traceEvents": []}',
        '{"traceEvents": [{"ph": "X", "cat": "task"}]}',
        BAD_TIME.replace("TIME", "-1"),
        BAD_TIME.replace("TIME", "NaN"),
        "[" * 100_000,
    ],
)
def test_what_is_no_trace_is_said(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)

    assert command.main([str(path)]) == 1
    assert "is no trace of" in capsys.readouterr().err


# --- the command -------------------------------------------------------------------------------------------


def test_the_command_says_that_it_is_a_simulation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = tmp_path / "make.json", tmp_path / "rows.json"
    path.write_text(chrome_trace.text(MAKE))

    assert command.main([str(path), "--cpus", "2", "8", "--errors", "0.5", "--json", str(out)]) == 0

    shown = capsys.readouterr().out
    assert shown.startswith("SIMULATION, not a measurement")
    assert "policy (simulated)" in shown
    rows = json.loads(out.read_text())
    assert [(row["cpus"], row["simulated"]) for row in rows] == [(2, True)] * 4 + [(8, True)] * 4
    assert all(row["wall_s"] >= row["bound_s"] - 1e-6 for row in rows)


@pytest.mark.parametrize("wrong", [["--cpus", "0"], ["--errors", "-1"], ["--errors", "nan"]])
def test_wrong_numbers_are_refused(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["x.json", *wrong]) == 2
    assert "CPUs are 1 or more" in capsys.readouterr().err


def test_a_missing_trace_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([str(tmp_path / "missing.json")]) == 1
    assert "missing.json" in capsys.readouterr().err
