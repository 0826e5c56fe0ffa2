# SPDX-License-Identifier: MIT
"""A session ends early only where no scheduler has anything to decide."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotune.observe.decode import TasksSeen, WatchedTask
from autotune.observe.profile import profile
from autotune.records import Baseline, MachineInfo, Profile
from autotune.session import early
from tests.support import sessions
from tests.support.watched_tasks import a_task, a_turn

QUIET = Baseline(10.0, 3, 0.005, 0.02)


def seen(*tasks: WatchedTask, wall_s: float = 10.0, cpus: int = 2) -> Profile:
    turns = tuple(a_turn(one.pid, one.end_s - one.cpu_s, one.end_s, waited_s=one.wait_s) for one in tasks)
    return profile(TasksSeen(tasks, turns), wall_s=wall_s, cpus=cpus)


ALONE = seen(a_task(1, end_s=9.95))
"""One task that computes all the time."""


def ends(
    found: Profile, baseline: Baseline = QUIET, min_effect: float = 0.0, machine: MachineInfo | None = None
) -> bool:
    return early.nothing_to_win(found, baseline, machine or sessions.machine(), min_effect) is not None


def test_one_task_that_computes_alone_cannot_be_made_faster() -> None:
    said = early.nothing_to_win(ALONE, QUIET, sessions.machine(), 0.0)

    assert said == (
        "Keep EEVDF: no scheduler can make this command faster here. It runs one task at a time, which hardly waits "
        "for a CPU, and at most 0.5 % less time is possible (the watched run took 10.00 s: work 9.950 s, longest chain "
        "9.950 s)."
    )


def test_neither_can_one_that_sleeps_for_a_timer() -> None:
    task = a_task(1, end_s=9.95, cpu_s=0.01, sleep_s=9.94)
    turns = (a_turn(1, 9.94, 9.95, slept_s=9.94),)

    assert ends(profile(TasksSeen((task,), turns), wall_s=10.0, cpus=2))


def test_two_tasks_that_fill_two_cpus_may_be_since_the_work_may_become_less() -> None:
    both = seen(a_task(1, end_s=9.95), a_task(2, end_s=9.95))

    assert both.possible < 0.01
    assert not ends(both)


def test_one_task_that_waits_for_its_cpu_may_be() -> None:
    assert not ends(seen(a_task(1, end_s=9.95, wait_s=0.5)), replace(QUIET, noise=0.05), 0.2)


def test_one_task_at_a_time_may_be_where_cpus_differ() -> None:
    assert not ends(ALONE, machine=sessions.machine(traits=("smt", "core_types")))
    assert ends(ALONE, machine=sessions.machine(traits=("smt",)))


def test_nothing_is_concluded_from_a_profile_that_lacks_tasks() -> None:
    assert not ends(replace(ALONE, unseen_tasks=1))
    assert not ends(replace(ALONE, tasks=0))


@pytest.mark.parametrize(("noise", "min_effect", "does"), [(0.005, 0.0, False), (0.04, 0.0, True), (0.0, 0.05, True)])
def test_a_gain_within_the_noise_or_below_what_the_user_wants_is_none(
    noise: float, min_effect: float, does: bool
) -> None:
    late = seen(a_task(1, start_s=0.1, end_s=9.75))  # 3.5 % below the watched run

    assert ends(late, replace(QUIET, noise=noise), min_effect) == does


@given(st.floats(0.0, 5.0))
def test_a_baseline_that_is_too_noisy_never_ends_a_session_in_which_6_percent_are_possible(noise: float) -> None:
    assert not ends(seen(a_task(1, end_s=9.4)), replace(QUIET, noise=noise))
