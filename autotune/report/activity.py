# SPDX-License-Identifier: MIT
"""A profile for a model: what it gets unasked, in few words, and views of the rest that it may ask for, each bounded.
Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

from autotune.records import Profile, TaskGroup
from autotune.report.bound import advice, bound_sentence
from autotune.report.text import duration_text, printable

MOST_CHARACTERS = 1750
"""Of what a model gets unasked: under 600 tokens, at three characters each, which is what names and numbers take."""
PARTS = 10
"""Parts of the run for which it says how many CPUs were busy."""
FEW_GROUPS, FEW_LINKS = 6, 4
KEY_CHARACTERS = 60
LINE_CHARACTERS = 240

ROWS = 25
"""Rows of a view that is asked for."""
VIEW_KEY_CHARACTERS = 160

View = Literal["tasks", "timeline", "waits"]


def _plain(text: str) -> str:
    return text


def lines(seen: Profile, *, is_time: bool, redact: Callable[[str], str] = _plain) -> Iterator[str]:
    """Yield the profile in lines of text, of MOST_CHARACTERS together at most. Keys are redacted before they are
    cut."""
    room = MOST_CHARACTERS
    for line in _all_lines(seen, is_time, redact):
        cut = line if len(line) <= LINE_CHARACTERS else f"{line[: LINE_CHARACTERS - 3]}..."
        if len(cut) + 1 > room:
            return
        room -= len(cut) + 1
        yield cut


def _all_lines(seen: Profile, is_time: bool, redact: Callable[[str], str]) -> Iterator[str]:
    yield bound_sentence(seen, is_time=is_time)
    yield (
        f"{seen.tasks} tasks; they waited {duration_text(seen.wait_s)} for a CPU in all, migrated {seen.migrations} "
        f"times; one CPU would have done for {duration_text(seen.serial_s)} of {duration_text(seen.wall_s)}"
    )
    yield f"CPUs busy, in {PARTS} parts of the run: {_parts([slot.busy for slot in seen.slots])}"
    yield f"tasks waiting for one: {_parts([slot.waiting for slot in seen.slots])}"
    yield "by CPU time (task: CPU time, tasks, longest, waited, from - to):"
    for group in seen.groups[:FEW_GROUPS]:
        yield f"  {_cut(redact(group.key), KEY_CHARACTERS)}: {_numbers(group)}"
    if len(seen.groups) > FEW_GROUPS:
        yield f"  {len(seen.groups) - FEW_GROUPS} more kinds of tasks"
    links = [f"{_cut(redact(one.key), KEY_CHARACTERS)} ({duration_text(one.cpu_s)})" for one in seen.chain[-FEW_LINKS:]]
    if links:
        yield f"the end of the longest chain: {' > '.join(links)}"
    yield from map(redact, advice(seen))


def _numbers(group: TaskGroup) -> str:
    times = (group.longest_s, group.wait_s)
    longest, waited = map(duration_text, times)
    span = f"{duration_text(group.starts_s)} - {duration_text(group.ends_s)}"
    return f"{duration_text(group.cpu_s)}, {group.tasks}, {longest}, {waited}, {span}"


def _parts(values: Sequence[float]) -> str:
    size = max(1, len(values) // PARTS)
    means = [sum(values[at : at + size]) / len(values[at : at + size]) for at in range(0, len(values), size)]
    return " ".join(f"{mean:.1f}" for mean in means[:PARTS])


def _cut(key: str, most: int) -> str:
    text = printable(key)
    return text if len(text) <= most else f"{text[: most - 3]}..."


# --- what is asked for -----------------------------------------------------------------------------------


def view(seen: Profile, what: View, offset: int) -> dict[str, Any]:
    """Return a view as values for JSON, from its row `offset` on, of ROWS at most."""
    return _VIEWS[what](seen, max(0, offset))


def _tasks(seen: Profile, offset: int) -> dict[str, Any]:
    rows = [
        {
            **_named(group),
            "cpu_s": _s(group.cpu_s),
            "longest_s": _s(group.longest_s),
            "starts_s": _s(group.starts_s),
            "ends_s": _s(group.ends_s),
        }
        for group in seen.groups[offset : offset + ROWS]
    ]
    return {"by_cpu_time": rows, **_more(len(seen.groups), offset)}


def _timeline(seen: Profile, offset: int) -> dict[str, Any]:
    chain = [
        {
            "key": _cut(one.key, VIEW_KEY_CHARACTERS),
            "cpu_s": _s(one.cpu_s),
            "starts_s": _s(one.starts_s),
            "ends_s": _s(one.ends_s),
        }
        for one in seen.chain[offset : offset + ROWS]
    ]
    return {
        "wall_s": _s(seen.wall_s),
        "cpus": seen.cpus,
        "equal_parts": len(seen.slots),
        "cpus_busy": [round(slot.busy, 2) for slot in seen.slots],
        "tasks_waiting": [round(slot.waiting, 2) for slot in seen.slots],
        "longest_chain": chain,
        **_more(len(seen.chain), offset),
    }


def _waits(seen: Profile, offset: int) -> dict[str, Any]:
    groups = sorted(seen.groups, key=lambda one: -one.wait_s)
    rows = [
        {
            **_named(group),
            "waited_s": _s(group.wait_s),
            "slept_s": _s(group.sleep_s),
            "wakeups": group.wakeups,
            "migrations": group.migrations,
        }
        for group in groups[offset : offset + ROWS]
    ]
    found = sorted((int(bucket), count) for bucket, count in seen.waits.items())
    times = {f"from {duration_text(2**bucket * 1e-9)}": count for bucket, count in found}
    return {"turns_by_wait_for_a_cpu": times, "by_time_waited": rows, **_more(len(groups), offset)}


_VIEWS: dict[View, Callable[[Profile, int], dict[str, Any]]] = {
    "tasks": _tasks,
    "timeline": _timeline,
    "waits": _waits,
}


def _named(group: TaskGroup) -> dict[str, Any]:
    return {"key": _cut(group.key, VIEW_KEY_CHARACTERS), "tasks": group.tasks}


def _more(count: int, offset: int) -> dict[str, int]:
    """Return where to go on; nothing at the end."""
    return {"next_offset": offset + ROWS} if offset + ROWS < count else {}


def _s(seconds: float) -> float:
    return round(seconds, 3)
