# SPDX-License-Identifier: MIT
"""The simulation: tasks, CPUs and a policy in, a schedule out. Pure.

No CPU is idle while a task could run. Whoever runs is not interrupted before its slice is over.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from .policies import Policy
from .tasks import Point, SimTask

EPSILON_S = 1e-12


@dataclass(frozen=True)
class Schedule:
    """What came of it. `wall_s` is when the last task ended, `work_s` the time that CPUs were busy."""

    wall_s: float
    work_s: float
    released: int
    """Waits that were given up, since all tasks would have waited for each other: the trace's turns are not exact."""


def simulate(tasks: Sequence[SimTask], cpus: int, policy: Policy) -> Schedule:
    """Run the tasks on `cpus` CPUs (1 or more)."""
    return _Run(tasks, cpus, policy).to_the_end()


@dataclass
class _Work:
    """A task on its way. `left_s` is what is left of its slice while it has a CPU; None while it has none."""

    index: int
    left_s: float | None = None


class _Run:
    def __init__(self, tasks: Sequence[SimTask], cpus: int, policy: Policy) -> None:
        self._tasks, self._policy = tasks, policy
        self._free = cpus
        self._now_s = self._work_s = 0.0
        self._used_s = [0.0] * len(tasks)
        self._next = [0] * len(tasks)
        self._queue: list[tuple[float, int, int]] = []
        """Runnable tasks: place, arrival, index."""
        self._events: list[tuple[float, int, int, float, float | None]] = []
        """What ends when: time, arrival, task, how long it has run then, what is left of its slice."""
        self._moving = deque(_Work(index) for index, task in enumerate(tasks) if task.is_first)
        """Tasks that have come to a point, or were started or woken."""
        self._arrivals = 0
        self._given: set[int] = set()
        self._waiting: dict[int, int] = {}
        """By signal, who waits for it."""
        self._released = 0

    def to_the_end(self) -> Schedule:
        while True:
            self._move()
            self._fill()
            if self._events:
                self._step()
            elif self._waiting:
                self._release()
            else:
                return Schedule(self._now_s, self._work_s, self._released)

    # --- CPUs ---

    def _fill(self) -> None:
        """Give each free CPU a task."""
        while self._free and self._queue:
            key, _, index = heapq.heappop(self._queue)
            self._policy.runs(key)
            self._free -= 1
            self._run(index, self._policy.slice_s)

    def _run(self, index: int, left_s: float) -> None:
        """Let a task that has a CPU run until its slice is over or it comes to its next point."""
        runs_s = min(left_s, max(0.0, self._until_s(index) - self._used_s[index]))
        self._later(self._now_s + runs_s, index, runs_s, left_s - runs_s)

    def _step(self) -> None:
        """Go on to the next event, and to all that happen at the same time."""
        self._now_s = self._events[0][0]
        while self._events and self._events[0][0] <= self._now_s + EPSILON_S:
            _, _, index, ran_s, left_s = heapq.heappop(self._events)
            self._work_s += ran_s
            self._used_s[index] += ran_s
            self._moving.append(_Work(index, left_s))

    def _until_s(self, index: int) -> float:
        """Return the CPU time at which the task comes to its next point, or ends."""
        points = self._tasks[index].points
        place = self._next[index]
        return points[place].after_s if place < len(points) else self._tasks[index].cpu_s

    # --- tasks ---

    def _move(self) -> None:
        """Take tasks past the points that they have reached; then they run on, stand in the queue, or are over."""
        while self._moving:
            work = self._moving.popleft()
            goes_on = (
                self._passes_all(work.index) and self._used_s[work.index] < self._tasks[work.index].cpu_s - EPSILON_S
            )
            if goes_on and work.left_s is not None and work.left_s > EPSILON_S:
                self._run(work.index, work.left_s)
                continue
            if work.left_s is not None:
                self._free += 1
            if goes_on:
                self._arrivals += 1
                key = self._policy.key(
                    work.index, self._used_s[work.index], self._next[work.index], comes=work.left_s is None
                )
                heapq.heappush(self._queue, (key, self._arrivals, work.index))

    def _passes_all(self, index: int) -> bool:
        """Take a task past the points that it has reached. Return whether none of them stops it."""
        points = self._tasks[index].points
        while self._next[index] < len(points) and self._used_s[index] >= self._until_s(index) - EPSILON_S:
            point = points[self._next[index]]
            self._next[index] += 1
            if not self._passes(index, point):
                return False
        return True

    def _passes(self, index: int, point: Point) -> bool:
        """Do what a point says. Return whether the task can go on."""
        if point.kind == "fork":
            self._moving.append(_Work(point.other))
        elif point.kind == "signal":
            self._give(point.other)
        elif point.kind == "sleep":
            self._later(self._now_s + point.sleep_s, index, 0.0, None)
            return False
        elif point.other not in self._given:
            self._waiting[point.other] = index
            return False
        return True

    def _give(self, signal: int) -> None:
        self._given.add(signal)
        waits = self._waiting.pop(signal, None)
        if waits is not None:
            self._moving.append(_Work(waits))

    def _release(self) -> None:
        """Let the task that has waited longest go on."""
        self._released += 1
        self._give(next(iter(self._waiting)))

    def _later(self, at_s: float, index: int, ran_s: float, left_s: float | None) -> None:
        self._arrivals += 1
        heapq.heappush(self._events, (at_s, self._arrivals, index, ran_s, left_s))
