# SPDX-License-Identifier: MIT
"""Long work ends when it is told to, one way or another, and stays within what it may take."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator

import pytest

from autotune.errors import AutotuneError, BusyError, UsageError
from autotune.mcp import jobs
from autotune.mcp.jobs import Allowance, Work, Works
from tests.support.waiting import wait_until

QUICK = 'import os; os.write(1, b\'{"done": {"passed": true}}\\n\')'
STUBBORN = """
import os, signal, time
for number in (2, 15):
    signal.signal(number, signal.SIG_IGN)
os.write(1, b'{"line": "ready"}\\n')
time.sleep(300)
"""
NOISY = 'import os; [os.write(1, b\'x\' * 9000 + b\'\\n[]\\n{"line": 3}\\n{"line": "ok"}\\n\') for _ in range(300)]'
KINDS = ("tune", "apply")


@pytest.fixture
def works() -> Iterator[list[Works]]:
    made: list[Works] = []
    yield made
    for one in made:
        one.close()


def start(works: list[Works], program: str, allowance: Allowance | None = None) -> tuple[Works, Work]:
    one = Works(allowance or Allowance(), [sys.executable, "-S", "-c", program])
    works.append(one)
    return one, one.start("tune", lambda left_s: {"limit_s": left_s})


def test_work_that_is_done_has_its_result_and_the_next_may_start(works: list[Works]) -> None:
    all_of_it, work = start(works, QUICK)
    assert work.wait(30)
    assert (work.status, work.result, work.error) == ("finished", {"passed": True}, None)
    assert all_of_it.start("tune", lambda _left_s: {}).name == "tune-2"
    assert all_of_it.get("tune-1", KINDS) is work
    assert all_of_it.get("tune-1", ("verify",)) is None


def test_what_forgotten_work_took_counts_once(works: list[Works], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "MOST_KEPT", 1)
    monkeypatch.setattr(Work, "took_s", lambda _self: 10.0)
    left: list[float] = []
    all_of_it, work = start(works, QUICK, Allowance(time_s=100.0))

    def job(left_s: float) -> dict[str, float]:
        left.append(left_s)
        return {"limit_s": left_s}

    for _ in range(4):
        assert work.wait(30)
        work = all_of_it.start("tune", job)
    assert left == [90.0, 80.0, 70.0, 60.0]


def test_work_that_hears_nothing_is_killed(works: list[Works], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "STEPS", ((None, 0.2), (signal.SIGTERM, 0.2), (signal.SIGKILL, 20.0)))
    all_of_it, work = start(works, STUBBORN)
    wait_until(lambda: list(work.lines) == ["ready"])
    with pytest.raises(BusyError, match="tune-1 is running"):
        all_of_it.start("apply", lambda _left_s: {})
    work.stop()
    assert work.wait(30)
    assert work.status == "stopped"
    assert "ended by SIGKILL" in (work.error or "")


def test_what_is_no_line_of_the_worker_is_passed_over(works: list[Works]) -> None:
    _, work = start(works, NOISY)
    assert work.wait(30)
    assert set(work.lines) == {"ok"}
    assert len(work.lines) == jobs.MOST_LINES
    assert work.status == "failed"


def test_time_ends_work_and_then_no_more_may_start(works: list[Works], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "STEPS", ((None, 0.1), (signal.SIGKILL, 20.0)))
    all_of_it, work = start(works, STUBBORN, Allowance(time_s=0.3))
    assert work.wait(30)
    with pytest.raises(UsageError, match="--max-time"):
        all_of_it.start("tune", lambda _left_s: {})


def test_what_nobody_asks_about_is_ended(works: list[Works], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "STEPS", ((None, 0.1), (signal.SIGKILL, 20.0)))
    all_of_it, work = start(works, STUBBORN)
    all_of_it.stop_forgotten(3600.0)
    assert work.status == "running"
    all_of_it.stop_forgotten(-1.0)
    assert work.wait(30)


def test_after_the_end_nothing_starts(works: list[Works]) -> None:
    all_of_it, work = start(works, QUICK)
    all_of_it.close()
    assert work.is_over
    with pytest.raises(AutotuneError, match="ending"):
        all_of_it.start("tune", lambda _left_s: {})
