# SPDX-License-Identifier: MIT
"""The tasks of a run, from the trace that `autotune observe --trace FILE` writes. Whatever is damaged raises
ValueError: nothing in it is believed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autotune.observe.decode import TasksSeen, Turn, WatchedTask

US = 1e-6
MOST_BYTES = 512 << 20


def read(path: Path) -> TasksSeen:
    """Return the tasks of a trace. A task's name is its only argument: the key that it has in the profile. Raises
    ValueError, OSError."""
    if path.stat().st_size > MOST_BYTES:
        raise ValueError(f"{path} is larger than {MOST_BYTES >> 20} MiB")
    try:
        return _seen(json.loads(path.read_text(encoding="utf-8")))
    except (KeyError, TypeError, AttributeError, RecursionError, ValueError) as error:
        raise ValueError(f"{path} is no trace of `autotune observe --trace`: {error!r}") from None


def _seen(document: Any) -> TasksSeen:
    events = [event for event in document["traceEvents"] if event["ph"] == "X"]
    tasks = [_task(event) for event in events if event["cat"] == "task"]
    waits = {(event["tid"], _end_s(event)): _s(event["dur"]) for event in events if event["cat"] == "wait"}
    turns = [_turn(event, waits) for event in events if event["cat"] == "turn"]
    if not tasks:
        raise ValueError("it has no tasks")
    return TasksSeen(
        tuple(sorted(tasks, key=lambda one: (one.start_s, one.pid))), tuple(sorted(turns, key=lambda one: one.on_s))
    )


def _task(event: Mapping[str, Any]) -> WatchedTask:
    spent, start_s = event["args"], _s(event["ts"])
    return WatchedTask(
        pid=int(event["tid"]),
        tgid=int(event["pid"]),
        parent=int(spent["parent"]),
        start_s=start_s,
        end_s=start_s + _s(event["dur"]),
        cpu_s=_amount(spent["cpu_s"]),
        wait_s=_amount(spent["wait_s"]),
        sleep_s=_amount(spent["sleep_s"]),
        deep_s=0.0,
        turns=0,
        preempted=0,
        wakeups=0,
        migrations=0,
        comm="",
        arguments=(str(event["name"]),),
        executed=True,
    )


def _turn(event: Mapping[str, Any], waits: Mapping[tuple[int, float], float]) -> Turn:
    told, pid, on_s = event["args"], int(event["tid"]), _s(event["ts"])
    waker = told["waker"]
    return Turn(
        pid=pid,
        runnable_s=on_s - waits.get((pid, round(on_s, 9)), 0.0),
        on_s=on_s,
        off_s=_end_s(event),
        slept_s=_amount(told["slept_s"]),
        waker=None if waker is None else int(waker),
        cpu=0,
        preempted=bool(told["preempted"]),
    )


def _end_s(event: Mapping[str, Any]) -> float:
    return round(_s(event["ts"]) + _s(event["dur"]), 9)


def _s(us: Any) -> float:
    return _amount(us) * US


def _amount(number: Any) -> float:
    value = float(number)
    if not 0.0 <= value < math.inf:
        raise ValueError(f"{number!r} is no time")
    return value
