# SPDX-License-Identifier: MIT
"""A profile as text: what bounds the run, how many CPUs it kept busy when, which tasks took the time, what to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from autotune.observe.perf import CpuCounters
from autotune.records import Profile, TaskGroup
from autotune.report.bound import advice
from autotune.report.text import printable

BARS = " ▁▂▃▄▅▆▇█"


def lines(seen: Profile, plain_s: float, counted: CpuCounters | str, *, width: int, top: int = 10) -> Iterator[str]:
    """Yield the lines for a terminal of `width` columns. `counted` is what the CPUs counted, or why they could not."""
    yield _took(seen, plain_s)
    yield limit(seen)
    yield ""
    yield f"CPUs busy, of {seen.cpus}   {_bar([slot.busy for slot in seen.slots], seen.cpus)}"
    yield f"waiting for one   {_bar([slot.waiting for slot in seen.slots], seen.cpus)}"
    yield f"                  0 s{_seconds(seen.wall_s):>{max(1, len(seen.slots) - 3)}}"
    yield ""
    yield from _table(seen.groups[:top], width)
    if len(seen.groups) > top:
        yield f"{len(seen.groups) - top} more; --top {len(seen.groups)} or --json shows them"
    yield ""
    yield from _lost(seen)
    yield _counted(counted)
    yield from advice(seen)


def _took(seen: Profile, plain_s: float) -> str:
    tasks = f"{seen.tasks} task{'s' if seen.tasks != 1 else ''}"
    return (
        f"It took {_seconds(seen.wall_s)} while it was watched ({_seconds(plain_s)} in the run before), with "
        f"{_seconds(seen.work_s)} of CPU time in {tasks}."
    )


def limit(seen: Profile) -> str:
    """Say what no schedule can beat, and by how much EEVDF's result can be improved at most."""
    shared = f"its work, shared evenly by {seen.cpus} CPUs"
    what = {"chain": "its longest chain of tasks", "begin": f"{shared} as soon as it can begin"}.get(seen.limit, shared)
    least = _seconds(seen.least_s)
    return f"No schedule ends it before {least} ({what}): at most {seen.possible:.0%} less time is possible."


def _bar(values: Sequence[float], full: float) -> str:
    steps = len(BARS) - 1
    return "".join(BARS[min(steps, max(0, round(value / full * steps)))] for value in values)


def _table(groups: Sequence[TaskGroup], width: int) -> Iterator[str]:
    yield f"{'CPU time':>9}  {'tasks':>6}  {'longest':>9}  {'waited':>9}  {'from - to':>17}  task"
    room = max(20, width - 62)
    for group in groups:
        span = f"{_seconds(group.starts_s)} - {_seconds(group.ends_s)}"
        key = printable(group.key)
        name = key if len(key) <= room else f"{key[: room - 3]}..."
        numbers = f"{_seconds(group.cpu_s):>9}  {group.tasks:>6}  {_seconds(group.longest_s):>9}"
        yield f"{numbers}  {_seconds(group.wait_s):>9}  {span:>17}  {name}"


def _lost(seen: Profile) -> Iterator[str]:
    idle = sum(max(0.0, seen.cpus - slot.busy) for slot in seen.slots) / max(1, len(seen.slots)) / seen.cpus
    yield (
        f"CPUs were idle for {idle:.0%} of the run; tasks waited {_seconds(seen.wait_s)} for a CPU, all together; "
        f"{_seconds(seen.serial_s)} of the run wanted one CPU at most."
    )
    if seen.unseen_tasks:
        yield f"{seen.unseen_tasks} tasks are missing here: there were too many to record."


def _counted(found: CpuCounters | str) -> str:
    if isinstance(found, str):
        return f"Cycles and cache misses were not counted: {printable(found)}."
    facts = [
        ("{:.2f} instructions a cycle", found.instructions_a_cycle),
        ("{:.1%} of the accesses to the last-level cache missed", found.cache_miss_share),
        ("{:.1%} of the branches were mispredicted", found.branch_miss_share),
    ]
    known = [f"{found.cycles / 1e9:.2f} billion cycles", *(text.format(one) for text, one in facts if one is not None)]
    return f"Counted by perf in a run of its own: {', '.join(known)}."


def _seconds(value: float) -> str:
    return f"{value:.3f} s" if value < 10 else f"{value:.1f} s"
