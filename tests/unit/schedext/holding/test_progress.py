# SPDX-License-Identifier: MIT
"""Whether a program still gets on with attaching its scheduler: by what its processes do, on a scripted clock."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from autotune.schedext.holding.progress import IDLE_S, LOOK_S, USER_S, Progress, Used, used_by

LONGEST_S = 150.0


def given_up_s(use: Callable[[float], Used]) -> tuple[float, str | None]:
    """When, and with which words, a program that uses the CPU like this is given up; 150 s is the most."""
    now_s = 0.0
    progress = Progress(lambda: [1], clock=lambda: now_s, used=lambda _pids: use(now_s))
    while now_s < LONGEST_S and progress.problem() is None:
        now_s += 0.05
    return now_s, progress.problem()


def test_a_program_that_sleeps_is_given_up_after_ten_seconds() -> None:
    ended_s, why = given_up_s(lambda _now_s: Used(5, 5, False))
    assert IDLE_S <= ended_s < IDLE_S + 2 * LOOK_S
    assert why == "was not attached, and did nothing for 10 s"


def test_one_that_only_wakes_up_to_wait_is_given_up_as_well() -> None:
    ended_s, _ = given_up_s(lambda now_s: Used(int(now_s * 3), int(now_s), int(now_s / LOOK_S) % 4 == 0))
    assert ended_s < 2 * IDLE_S


def test_one_that_computes_and_loads_nothing_gets_longer() -> None:
    ended_s, why = given_up_s(lambda now_s: Used(int(now_s * 100), 0, True))
    assert USER_S <= ended_s < USER_S + 2 * LOOK_S
    assert "without loading anything" in (why or "")


@pytest.mark.parametrize("share", [1.0, 0.1])
def test_one_that_the_kernel_verifies_is_waited_for_whatever_it_takes(share: float) -> None:
    """Also on a machine that is so busy that it gets a tenth of a CPU."""
    assert given_up_s(lambda now_s: Used(7, int(now_s * 100 * share), True))[1] is None


def test_one_that_waits_for_a_cpu_is_not_idle() -> None:
    assert given_up_s(lambda _now_s: Used(3, 3, True))[1] is None


def test_one_that_reads_itself_first_and_then_is_verified_is_waited_for() -> None:
    assert (
        given_up_s(lambda now_s: Used(int(min(now_s, 25.0) * 100), int(max(0.0, now_s - 25.0) * 100), True))[1] is None
    )


def test_one_that_goes_to_sleep_after_its_work_is_given_up_then() -> None:
    ended_s, _ = given_up_s(lambda now_s: Used(0, int(min(now_s, 40.0) * 100), now_s < 40.0))
    assert 40.0 + IDLE_S - LOOK_S <= ended_s < 40.0 + IDLE_S + 2 * LOOK_S


def test_what_real_processes_used_is_read_and_those_that_ended_are_left_out() -> None:
    busy = "import time\nend = time.process_time() + 0.2\nwhile time.process_time() < end: pass\n"
    code = f"{busy}print(1, flush=True)\ninput()"
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "1\n"
        used = used_by([child.pid, 2**22 + 1])
        child.communicate("\n")
    assert used.user + used.system >= 19
    assert used_by([os.getpid()]).running
