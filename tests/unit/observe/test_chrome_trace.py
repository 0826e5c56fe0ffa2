# SPDX-License-Identifier: MIT
"""The trace is what Perfetto and chrome://tracing read."""

from __future__ import annotations

import json

from autotune.observe.chrome_trace import text
from autotune.observe.decode import TasksSeen
from tests.support.watched_tasks import a_task, a_turn

SEEN = TasksSeen(
    (a_task(4, arguments=("make", "all"), comm="make"), a_task(5, 4, tgid=4, arguments=("make", "all"), start_s=0.5)),
    (a_turn(4, 0.25, 0.5, waited_s=0.25), a_turn(5, 0.5, 1.0)),
)


def test_each_task_each_turn_and_each_wait_is_a_complete_event_in_microseconds() -> None:
    events = json.loads(text(SEEN))["traceEvents"]

    complete = [(one["cat"], one["tid"], one["ts"], one["dur"]) for one in events if one["ph"] == "X"]
    assert complete == [
        ("task", 4, 0.0, 1e6),
        ("wait", 4, 0.0, 0.25e6),
        ("turn", 4, 0.25e6, 0.25e6),
        ("task", 5, 0.5e6, 0.5e6),
        ("turn", 5, 0.5e6, 0.5e6),
    ]


def test_processes_and_threads_are_named() -> None:
    named = {
        one["tid"]: (one["name"], one["args"]["name"])
        for one in json.loads(text(SEEN))["traceEvents"]
        if one["ph"] == "M"
    }

    assert named == {4: ("process_name", "make 4"), 5: ("thread_name", "cc 5")}


def test_every_event_has_what_the_format_demands() -> None:
    for event in json.loads(text(SEEN))["traceEvents"]:
        assert event["ph"] in ("X", "M")
        assert isinstance(event["pid"], int)
        assert event["ph"] == "M" or event["dur"] >= 0.0


def test_a_run_without_tasks_is_an_empty_trace() -> None:
    assert json.loads(text(TasksSeen((), ()))) == {"traceEvents": [], "displayTimeUnit": "ms"}
