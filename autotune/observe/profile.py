# SPDX-License-Identifier: MIT
"""The profile of a run: its tasks by key, how many CPUs they kept busy when, and the bound that follows. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from autotune.observe import keys
from autotune.observe.bound import Ledger, Lineage, bound
from autotune.observe.decode import TasksSeen, WatchedTask
from autotune.records import ChainLink, Profile, ProfileSlot, TaskGroup

SLOTS = 60
"""Parts of the run for which the profile says how many CPUs were busy."""
MOST_GROUPS = 500
"""Keys that are kept, by CPU time; the others are one group."""
BRIEF_GROUPS, BRIEF_LINKS = 40, 12
"""The same for what goes into a session's record, and links of the chain."""
OTHERS = "[others]"
SERIAL_CPUS = 1.05
"""A part of the run in which the tasks want no more CPUs than this is serial."""


def profile(seen: TasksSeen, *, wall_s: float, cpus: int, cwd: str = "") -> Profile:
    """Return the profile of a run of `wall_s` on `cpus` CPUs in the directory `cwd`."""
    seen = _without_helpers(seen)
    found = bound(seen, cpus)
    by_task = keys_of(seen, cwd)
    slots = tuple(_slots(seen, wall_s))
    serial = sum(1 for slot in slots if slot.busy + slot.waiting <= SERIAL_CPUS)
    return Profile(
        wall_s=wall_s,
        cpus=found.cpus,
        tasks=len(seen.tasks) + seen.lost_tasks,
        work_s=found.work_s,
        chain_s=found.chain_s,
        chain=tuple(ChainLink(by_task[id(one)], one.cpu_s, one.start_s, one.end_s) for one in found.chain),
        least_s=found.least_s,
        possible=found.possible(wall_s),
        serial_s=wall_s * serial / len(slots) if slots else 0.0,
        wait_s=sum(task.wait_s for task in seen.tasks),
        migrations=sum(task.migrations for task in seen.tasks),
        groups=_grouped(seen.tasks, by_task),
        slots=slots,
        waits={str(bucket): count for bucket, count in seen.waits.items()},
        unseen_tasks=seen.lost_tasks,
    )


def brief(whole: Profile, *, groups: int = BRIEF_GROUPS, links: int = BRIEF_LINKS) -> Profile:
    """Return the profile with so many groups and links of its chain at most, those of the most CPU time; the other
    groups are one."""
    kept, rest = whole.groups[:groups], whole.groups[groups:]
    chain = sorted(range(len(whole.chain)), key=lambda number: -whole.chain[number].cpu_s)[:links]
    others = (_merged(rest),) if rest else ()
    return replace(whole, groups=(*kept, *others), chain=tuple(whole.chain[number] for number in sorted(chain)))


def _merged(groups: Sequence[TaskGroup]) -> TaskGroup:
    """Return several groups as one."""
    return TaskGroup(
        key=OTHERS,
        tasks=sum(one.tasks for one in groups),
        cpu_s=sum(one.cpu_s for one in groups),
        longest_s=max(one.longest_s for one in groups),
        wait_s=sum(one.wait_s for one in groups),
        sleep_s=sum(one.sleep_s for one in groups),
        starts_s=min(one.starts_s for one in groups),
        ends_s=max(one.ends_s for one in groups),
        migrations=sum(one.migrations for one in groups),
        wakeups=sum(one.wakeups for one in groups),
    )


def _without_helpers(seen: TasksSeen) -> TasksSeen:
    """Leave out what the measuring helper forked for itself: its children that neither executed nor forked anything."""
    parents = {task.parent for task in seen.tasks}
    kept = tuple(one for one in seen.tasks if one.parent or one.arguments or one.pid in parents)
    return TasksSeen(kept, seen.turns, seen.waits, seen.lost_tasks, seen.lost_cpu_s, seen.lost_turns)


def keys_of(seen: TasksSeen, cwd: str) -> dict[int, str]:
    """Return the key of each task, by its `id`. Only the numbers of a task and its ancestors are taken for those of
    processes (`$$`): others are numbers of the command's own by chance."""
    lineage = Lineage(seen, Ledger(seen))
    return {id(one): keys.key(one.arguments, one.comm, cwd=cwd, pids=lineage.pids_of(one)) for one in seen.tasks}


def _grouped(tasks: Sequence[WatchedTask], by_task: Mapping[int, str]) -> tuple[TaskGroup, ...]:
    members: dict[str, list[WatchedTask]] = defaultdict(list)
    for task in tasks:
        members[by_task[id(task)]].append(task)
    groups = sorted((_group(name, ones) for name, ones in members.items()), key=lambda one: (-one.cpu_s, one.key))
    rest = [task for group in groups[MOST_GROUPS:] for task in members[group.key]]
    return (*groups[:MOST_GROUPS], *([_group(OTHERS, rest)] if rest else []))


def _group(name: str, tasks: Sequence[WatchedTask]) -> TaskGroup:
    return TaskGroup(
        key=name,
        tasks=len(tasks),
        cpu_s=sum(one.cpu_s for one in tasks),
        longest_s=max(one.cpu_s for one in tasks),
        wait_s=sum(one.wait_s for one in tasks),
        sleep_s=sum(one.sleep_s for one in tasks),
        starts_s=min(one.start_s for one in tasks),
        ends_s=max(one.end_s for one in tasks),
        migrations=sum(one.migrations for one in tasks),
        wakeups=sum(one.wakeups for one in tasks),
    )


# --- over time -------------------------------------------------------------------------------------------


def _slots(seen: TasksSeen, wall_s: float) -> Iterable[ProfileSlot]:
    """Yield the parts of the run. Turns and waits that were too short to be recorded are spread over their task's
    life."""
    width_s = wall_s / SLOTS
    if width_s <= 0.0:
        return
    busy, waiting = [0.0] * SLOTS, [0.0] * SLOTS
    ledger = Ledger(seen)
    for task in seen.tasks:
        turns = ledger.turns_of(task)
        for turn in turns:
            _spread(busy, turn.on_s, turn.off_s, turn.off_s - turn.on_s, width_s)
            _spread(waiting, turn.runnable_s, turn.on_s, turn.on_s - turn.runnable_s, width_s)
        rest_s = task.cpu_s - sum(one.off_s - one.on_s for one in turns)
        rest_wait_s = task.wait_s - sum(one.on_s - one.runnable_s for one in turns)
        _spread(busy, task.start_s, task.end_s, max(0.0, rest_s), width_s)
        _spread(waiting, task.start_s, task.end_s, max(0.0, rest_wait_s), width_s)
    for one, other in zip(busy, waiting, strict=True):
        yield ProfileSlot(one / width_s, other / width_s)


def _spread(slots: list[float], start_s: float, end_s: float, amount_s: float, width_s: float) -> None:
    """Add an amount to the slots that an interval covers, evenly."""
    length_s = end_s - start_s
    first, last = int(start_s / width_s), int(end_s / width_s)
    if length_s <= 0.0 or first == last or first >= len(slots):
        slots[min(len(slots) - 1, max(0, first))] += amount_s
        return
    for number in range(max(0, first), min(len(slots) - 1, last) + 1):
        covered_s = min(end_s, (number + 1) * width_s) - max(start_s, number * width_s)
        slots[number] += amount_s * max(0.0, covered_s) / length_s
