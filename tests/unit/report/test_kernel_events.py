# SPDX-License-Identifier: MIT
"""The kernel's counters are told where they say why a candidate lost, and nowhere else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from autotune.records import BASELINE, Session
from autotune.report import kernel_events, plain_text
from tests.support import sessions
from tests.support.sessions import FIFO


def done(events: dict[str, int], verdict: Any = "slower", runs: int = 2) -> Session:
    trials = tuple(sessions.trial(FIFO.key, "race", number, events=events) for number in range(1, runs + 1))
    others = (sessions.trial(BASELINE), sessions.trial(FIFO.key, "race", 9))
    return sessions.session(results=(sessions.result(FIFO, verdict),), trials=(*others, *trials), winner=None)


def test_a_scheduler_that_lost_by_cpus_that_it_could_not_use_is_told_so() -> None:
    session = done({"select_cpu_fallback": 1200, "dispatch_keep_last": 99999})

    (said,) = kernel_events.sentences(session)

    assert said == (
        f"{FIFO.short}, as the kernel counted: 1200 times in a run it chose a CPU that could not be used "
        "(select_cpu_fallback)."
    )
    assert said in plain_text.plain_text(session)


@pytest.mark.parametrize(
    ("events", "verdict"),
    [
        ({}, "slower"),
        ({"dispatch_keep_last": 10**9, "refill_slice_dfl": 10**9, "bypass_duration": 10**9}, "slower"),
        ({"select_cpu_fallback": 99}, "slower"),
        ({"select_cpu_fallback": 10**6}, "faster"),
        ({"of a kernel to come": 10**6}, "slower"),
    ],
)
def test_what_is_no_fault_or_did_no_harm_is_not_told(events: dict[str, int], verdict: Any) -> None:
    assert kernel_events.sentences(done(events, verdict)) == []


def test_a_single_task_for_a_cpu_that_was_offline_is_told() -> None:
    (said,) = kernel_events.sentences(done({"dispatch_local_dsq_offline": 1, "bypass_dispatch": 40}))

    assert "1 time in a run it sent a task to a CPU that was offline" in said
    assert "(bypass) (bypass_dispatch)" in said


def test_however_many_candidates_a_few_lines_say_it() -> None:
    one = done({"select_cpu_fallback": 10**4})
    results = tuple(replace(one.results[0], note=str(number)) for number in range(20))

    assert len(kernel_events.sentences(replace(one, results=results))) == kernel_events.MOST_LINES
