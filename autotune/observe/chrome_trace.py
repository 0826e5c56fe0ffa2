# SPDX-License-Identifier: MIT
"""A watched run in the Trace Event Format, which chrome://tracing and Perfetto open. Pure.

The format: "Trace Event Format" by Google (complete events `X`, metadata `M`; times in us). A process is a row, its
tasks are lines in it; each turn on a CPU is a bar, with how long the task waited for it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from autotune.observe.bound import Ledger
from autotune.observe.decode import TasksSeen, WatchedTask
from autotune.observe.profile import keys_of


def text(seen: TasksSeen, *, cwd: str = "") -> str:
    """Return the file's text."""
    ledger, names = Ledger(seen), keys_of(seen, cwd)
    events = [event for task in seen.tasks for event in _events(task, names[id(task)], ledger)]
    return json.dumps({"traceEvents": events, "displayTimeUnit": "ms"}, separators=(",", ":"))


def _events(task: WatchedTask, name: str, ledger: Ledger) -> Iterator[dict[str, Any]]:
    place = {"pid": task.tgid, "tid": task.pid}
    kind = "thread_name" if task.is_thread else "process_name"
    yield {"ph": "M", "name": kind, **place, "args": {"name": f"{task.comm} {task.pid}"}}
    yield {
        "ph": "X", "cat": "task", "name": name, **place, **_span(task.start_s, task.end_s),
        "args": {"cpu_s": task.cpu_s, "wait_s": task.wait_s, "sleep_s": task.sleep_s, "parent": task.parent},
    }  # fmt: skip
    for turn in ledger.turns_of(task):
        if turn.on_s - turn.runnable_s > 0.0:
            yield {"ph": "X", "cat": "wait", "name": "waits for a CPU", **place, **_span(turn.runnable_s, turn.on_s)}
        yield {
            "ph": "X", "cat": "turn", "name": f"CPU {turn.cpu}", **place, **_span(turn.on_s, turn.off_s),
            "args": {"slept_s": turn.slept_s, "waker": turn.waker, "preempted": turn.preempted},
        }  # fmt: skip


def _span(start_s: float, end_s: float) -> dict[str, float]:
    return {"ts": round(start_s * 1e6, 3), "dur": round((end_s - start_s) * 1e6, 3)}
