# SPDX-License-Identifier: MIT
"""What a run that was watched lets a scheduler expect of the next: how long the chain is that each task begins. Pure.

A chain goes from a task to what it forks, and from one that ends to its parent where that waited for it alone: a
compiler's driver goes on when the compiler has ended. A parent that has other children at that time (`make -j`, a pool)
goes on whichever of them ends, so nothing that it does later hangs on this one.

Most tasks are known by the arguments of their program. Where those are the same but the chains are not (workers that
were forked, jobs that read what to do from a pipe), they are known by their order of start.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from autotune.observe.bound import Ledger
from autotune.observe.decode import TasksSeen, WatchedTask
from autotune.records import Expectations

MOST_CHAINS = 4096
"""Chains that are kept, the longest first: they are written into the kernel one by one, for each run."""
ALIKE = 1.5
"""Tasks of one program are kept apart by their order when the longest chain is longer than the shortest by this
factor."""
LEAST_S = 0.002
"""Shorter chains are none that an order could matter for; tasks of which nothing is known go first for longer."""
WOKEN_WITHIN_S = 0.02
"""A parent that becomes runnable so close to its child's end was waiting for it."""


def expect(seen: TasksSeen) -> Expectations:
    """Return what to expect of the tasks of the next run."""
    chains_s = chains(seen)
    by_program: dict[int, list[tuple[WatchedTask, float]]] = defaultdict(list)
    found: dict[int, float] = {}
    by_order: dict[int, float] = {}
    for task in seen.tasks:
        if task.executed and task.identity.program:
            by_program[task.identity.program].append((task, chains_s[id(task)]))
        elif not task.executed and task.identity.place:
            by_order[task.identity.place] = chains_s[id(task)]
    for program, ones in by_program.items():
        lengths_s = [length_s for _, length_s in ones]
        found[program] = sum(lengths_s) / len(lengths_s)
        if max(lengths_s) > ALIKE * max(min(lengths_s), LEAST_S):
            by_order.update((task.identity.both, length_s) for task, length_s in ones)
    kept = _longest(found, by_order)
    return Expectations(
        chains_ns={str(number): int(length_s * 1e9) for number, length_s in kept.items()},
        longest_ns=int(max(kept.values(), default=0.0) * 1e9),
        by_order=tuple(sorted(str(number) for number in kept if number in by_order)),
    )


def _longest(*parts: Mapping[int, float]) -> dict[int, float]:
    rows = [(length_s, number) for part in parts for number, length_s in part.items() if length_s >= LEAST_S]
    return {number: length_s for length_s, number in sorted(rows, reverse=True)[:MOST_CHAINS]}


# --- chains ----------------------------------------------------------------------------------------------

_JOIN, _END, _START, _FORK = range(4)
"""Kinds of events, in the order in which they are taken when they are at the same time: what follows comes first."""


class _Event(NamedTuple):
    """Something at which a task's chain may branch. `other` is the child that is forked, or the parent that goes on."""

    at_s: float
    kind: int
    task: WatchedTask
    other: WatchedTask | None = None


@dataclass
class _Branch:
    """The longest chain from a task's event that was taken last: events are taken from the end of the run to its
    start."""

    at_s: float
    length_s: float
    joined_s: float = 0.0
    """Of the parent's chain, from the end of this task on."""


def chains(seen: TasksSeen) -> dict[int, float]:
    """Return, by the `id` of each task, the CPU time in s from its start to the end of the longest chain it begins."""
    ledger = Ledger(seen)
    found = {id(one): _Branch(one.end_s, 0.0) for one in seen.tasks}
    order = {id(one): number for number, one in enumerate(seen.tasks)}  # who was forked comes after who forked it
    for event in sorted(_events(seen, ledger), key=lambda one: (-one.at_s, one.kind, -order[id(one.task)])):
        mine = found[id(event.task)]
        passed_s = ledger.cpu_until(event.task, mine.at_s) - ledger.cpu_until(event.task, event.at_s)
        mine.at_s, mine.length_s = event.at_s, mine.length_s + max(0.0, passed_s)
        if event.kind == _END:
            mine.length_s = mine.joined_s
        elif event.kind == _FORK and event.other is not None:
            mine.length_s = max(mine.length_s, found[id(event.other)].length_s)
        elif event.kind == _JOIN and event.other is not None:
            found[id(event.other)].joined_s = mine.length_s
    return {key: one.length_s for key, one in found.items()}


def _events(seen: TasksSeen, ledger: Ledger) -> Iterable[_Event]:
    """Yield all events. A join is an event of the parent; its `other` is the child that ended."""
    children: dict[int, list[WatchedTask]] = defaultdict(list)
    parents: dict[int, WatchedTask] = {}
    for task in seen.tasks:
        yield _Event(task.start_s, _START, task)
        yield _Event(task.end_s, _END, task)
        parent = ledger.task_at(task.parent, task.start_s)
        if parent is not None and parent is not task:
            children[id(parent)].append(task)
            parents[id(task)] = parent
            yield _Event(task.start_s, _FORK, parent, task)
    for parent_id, ones in children.items():
        parent = parents[id(ones[0])]
        assert id(parent) == parent_id
        woken = sorted((turn.waker, turn.runnable_s) for turn in ledger.turns_of(parent) if turn.waker and turn.slept_s)
        for task in _alone_at_their_end(ones):
            at = bisect_left(woken, (task.pid, task.end_s - WOKEN_WITHIN_S))
            if at < len(woken) and woken[at] <= (task.pid, task.end_s + WOKEN_WITHIN_S):
                yield _Event(min(task.end_s, parent.end_s), _JOIN, parent, task)


def _alone_at_their_end(children: Sequence[WatchedTask]) -> Iterable[WatchedTask]:
    """Yield those of a parent's children that were its only ones when they ended."""
    starts = sorted(one.start_s for one in children)
    ends = sorted(one.end_s for one in children)
    for task in children:
        if bisect_right(starts, task.end_s) == bisect_right(ends, task.end_s):  # all that had begun had ended
            yield task
