# SPDX-License-Identifier: MIT
"""What a run's tasks need, whatever schedules them: CPU time, and points on the way at which they fork, sleep, or wait
for another. Pure.

A task starts when its parent has come as far as it had when it forked. A sleep that the kernel ended (a timer, a
device) takes as long again. A parent that slept until a child ended sleeps until that ends; the wait of a `make` for
any of its jobs so becomes a wait for the one that was first. Other sleeps are left out: a device's interrupt wakes in
the name of whatever task is on that CPU, which tells nothing of who waits for whom.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Literal

from autotune.observe.bound import Ledger
from autotune.observe.decode import TasksSeen, Turn, WatchedTask

ENDING_S = 0.001
"""A task that wakes its parent so soon before its end, or after it, wakes it by ending."""


@dataclass(frozen=True)
class Point:
    """Something that a task does once it has used `after_s` of its CPU time. `other` is the index of the task that is
    forked, or the number of the signal that is waited for or given; `sleep_s` is the length of a sleep."""

    after_s: float
    kind: Literal["fork", "sleep", "wait", "signal"]
    other: int = -1
    sleep_s: float = 0.0


@dataclass(frozen=True)
class SimTask:
    """A task to schedule."""

    name: str
    cpu_s: float
    points: tuple[Point, ...] = ()
    """In the order in which it comes to them."""
    is_first: bool = True
    """It is there from the start; nobody forks it."""


@dataclass
class _Draft:
    """The points of a task, each with when it was seen: points after the same CPU time keep that order."""

    points: list[tuple[float, Point]] = field(default_factory=list)

    def add(self, at_s: float, point: Point) -> None:
        self.points.append((at_s, point))

    def ordered(self) -> tuple[Point, ...]:
        return tuple(point for _, point in sorted(self.points, key=lambda one: (one[1].after_s, one[0])))


def tasks_of(seen: TasksSeen, *, waits: bool = True) -> list[SimTask]:
    """Return the tasks, in the order of their starts. Without `waits` only forks and the kernel's sleeps are kept."""
    book = _Book(seen)
    drafts = [_Draft() for _ in seen.tasks]
    forked = set()
    for index, task in enumerate(seen.tasks):
        parent = book.at(task.parent, task.start_s)
        if parent is not None and parent < index:
            drafts[parent].add(task.start_s, Point(book.used_s(parent, task.start_s), "fork", index))
            forked.add(index)
    signals = 0
    for index in range(len(seen.tasks)):
        for turn in book.turns_of(index):
            signals += _note_sleep(book, drafts, index, turn, signals, waits)
    return [
        SimTask(" ".join(task.arguments) or task.comm, task.cpu_s, draft.ordered(), index not in forked)
        for index, (task, draft) in enumerate(zip(seen.tasks, drafts, strict=True))
    ]


def _note_sleep(book: _Book, drafts: list[_Draft], index: int, turn: Turn, signal: int, waits: bool) -> int:
    """Note the sleep before a turn. Return how many signals that takes, 0 or 1."""
    if turn.slept_s <= 0.0:
        return 0
    since_s = turn.runnable_s - turn.slept_s
    after_s = book.used_s(index, since_s)
    if turn.waker == 0:
        drafts[index].add(since_s, Point(after_s, "sleep", sleep_s=turn.slept_s))
        return 0
    child = book.at(turn.waker, turn.runnable_s) if waits and turn.waker is not None else None
    if child is None or not book.ended_for(child, index, turn.runnable_s):
        return 0
    drafts[index].add(since_s, Point(after_s, "wait", signal))
    drafts[child].add(turn.runnable_s, Point(book.cpu_s(child), "signal", signal))
    return 1


class _Book:
    """Tasks by number, and how much CPU time each had used when."""

    def __init__(self, seen: TasksSeen) -> None:
        self._tasks = seen.tasks
        self._ledger = Ledger(seen)
        self._before_s: dict[int, list[float]] = {}
        self._by_pid: dict[int, list[int]] = defaultdict(list)
        for index in sorted(range(len(seen.tasks)), key=lambda one: seen.tasks[one].start_s):
            self._by_pid[seen.tasks[index].pid].append(index)

    def turns_of(self, index: int) -> Sequence[Turn]:
        return self._ledger.turns_of(self._tasks[index])

    def at(self, pid: int, at_s: float) -> int | None:
        """Return the task that had this number last, then: one that has just ended still wakes who waits for it."""
        ones = self._by_pid.get(pid, [])
        place = bisect_right(ones, at_s, key=lambda one: self._tasks[one].start_s)
        return ones[place - 1] if place else None

    def cpu_s(self, index: int) -> float:
        return self._tasks[index].cpu_s

    def ended_for(self, index: int, parent: int, at_s: float) -> bool:
        """Return whether a task is a child of another, and had ended then."""
        task = self._tasks[index]
        return task.parent == self._tasks[parent].pid and at_s >= task.end_s - ENDING_S

    def used_s(self, index: int, at_s: float) -> float:
        """Return the CPU time of a task until then. Turns that are not known are spread evenly over its life."""
        task, turns = self._tasks[index], self.turns_of(index)
        done_s = self._done_s(index)
        begun = bisect_left(turns, at_s, key=lambda one: one.on_s)
        known_s = done_s[begun - 1] + min(at_s, turns[begun - 1].off_s) - turns[begun - 1].on_s if begun else 0.0
        rest_s = max(0.0, task.cpu_s - done_s[-1])
        return min(task.cpu_s, max(0.0, known_s + rest_s * _passed(task, at_s)))

    def _done_s(self, index: int) -> list[float]:
        """Return the CPU time of the task's known turns before each of them, and of all."""
        if index not in self._before_s:
            lengths = (one.off_s - one.on_s for one in self.turns_of(index))
            self._before_s[index] = [0.0, *accumulate(lengths)]
        return self._before_s[index]


def _passed(task: WatchedTask, at_s: float) -> float:
    life_s = task.end_s - task.start_s
    return 1.0 if life_s <= 0.0 else min(1.0, max(0.0, (at_s - task.start_s) / life_s))
