# SPDX-License-Identifier: MIT
"""What no schedule can beat: a run on n CPUs never ends before its work is shared evenly, nor before its longest chain,
nor before the work that cannot begin until some moment is shared evenly from there on. Pure.

- *Work*: the CPU time of all tasks, over n. It is taken as the run had it; a scheduler that moves tasks less, or shares
  cores less, can need less of it, so the bound is that of a schedule, not of a machine.
- *Chain*: a task cannot start before its parent has forked it. So a chain is what an ancestor did until it forked, what
  the next did until then, and the whole of the last: its CPU time, and its sleeps that only a timer or a device ended.
  Graham, "Bounds on multiprocessing timing anomalies" (SIAM J. Appl. Math. 17, 1969), has both.
- *Begin*: each piece of work has its place in a chain, and cannot be done before it. For any moment r, what has its
  place after r takes an nth of itself from r on at least. A program that starts forty others one by one keeps CPUs idle
  until it has. This is the bound for jobs with release times (Carlier, "The one-machine sequencing problem", Eur. J.
  Oper. Res. 11, 1982), on n machines and with preemption. With r = 0 it is the first, at the end of a chain the second.

Who waits for whom by pipes and locks may change with the schedule, so it is left out: the bound may be lower than any
schedule can reach, never higher. A sleep that another process ended (a server's answer) may get shorter, so it does not
count.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Container, Iterator, Mapping, Sequence
from itertools import accumulate

from autotune.frozen import dataclass
from autotune.observe.decode import TasksSeen, Turn, WatchedTask

MOST_ANCESTORS = 1000
"""A chain of forks that is longer is cut: it is damaged, or of no use to a reader."""
MOST_REUSES = 8
"""Tasks with one pid that are looked at: the kernel hands out all other numbers before it uses one again."""


@dataclass(frozen=True)
class Bound:
    """The least time of any schedule, in s, and what sets it."""

    work_s: float
    """CPU time of all tasks."""
    cpus: int
    chain_s: float
    chain: tuple[WatchedTask, ...]
    """The longest chain, first ancestor first."""
    begin_s: float = 0.0
    """By what cannot begin sooner."""

    @property
    def share_s(self) -> float:
        """The work of each CPU, shared evenly."""
        return self.work_s / self.cpus

    @property
    def least_s(self) -> float:
        return max(self.share_s, self.chain_s, self.begin_s)

    def possible(self, wall_s: float) -> float:
        """Return by how much of `wall_s` any schedule could be faster at most: 0.2 for 20 %."""
        return max(0.0, 1.0 - self.least_s / wall_s) if wall_s > 0.0 else 0.0


def bound(seen: TasksSeen, cpus: int) -> Bound:
    """Return the bound of what was seen, on `cpus` CPUs (1 or more)."""
    work_s = sum(task.cpu_s for task in seen.tasks) + seen.lost_cpu_s
    ledger = Ledger(seen)
    best: tuple[float, WatchedTask | None] = (0.0, None)
    reached: dict[int, float] = {}  # a chain until the task starts
    for task in sorted(seen.tasks, key=lambda one: one.start_s):  # parents first: they start earlier
        parent = ledger.task_at(task.parent, task.start_s)
        before_s = 0.0 if parent is None else reached.get(id(parent), 0.0) + ledger.until(parent, task.start_s)
        reached[id(task)] = before_s
        whole_s = before_s + ledger.until(task, task.end_s)
        if whole_s > best[0]:
            best = whole_s, task
    chain = tuple(ledger.ancestry(best[1]) if best[1] else ())
    pieces = [piece for task in seen.tasks for piece in ledger.pieces(task, reached[id(task)])]
    return Bound(work_s, max(1, cpus), best[0], chain, _begin_s(pieces, max(1, cpus)))


def _begin_s(pieces: Sequence[tuple[float, float]], cpus: int) -> float:
    """Return the most, over all moments, of the moment and an even share of the work that has its place after it. The
    pieces of work have their places from and until when, in s."""
    changes = sorted([(from_s, 1) for from_s, _ in pieces] + [(until_s, -1) for _, until_s in pieces])
    left_s = sum(until_s - from_s for from_s, until_s in pieces)
    most_s, at_s, running = 0.0, 0.0, 0
    for next_s, change in changes:
        left_s -= running * (next_s - at_s)
        at_s, running = next_s, running + change
        most_s = max(most_s, at_s + max(0.0, left_s) / cpus)
    return most_s


class Ledger:
    """What each task did until when. Turns that were too short to be recorded are spread evenly over its life."""

    def __init__(self, seen: TasksSeen) -> None:
        self._by_pid: Mapping[int, list[WatchedTask]] = _grouped(seen.tasks)
        self._turns = _grouped_turns(seen)
        self._curves: dict[int, _Curve] = {}

    def task_at(self, pid: int, at_s: float) -> WatchedTask | None:
        """Return the task that had this pid then; numbers are used again. None for one that is not known."""
        return _at(self._by_pid, pid, at_s)

    def had(self, pid: int, before_s: float) -> Sequence[WatchedTask]:
        """Return the tasks that had this pid and began before that, the last few of them."""
        ones = self._by_pid.get(pid, ())
        began = bisect_right(ones, before_s, key=_start_s)
        return ones[max(0, began - MOST_REUSES) : began]

    def ancestry(self, task: WatchedTask) -> list[WatchedTask]:
        """Return the task and its ancestors, the first ancestor first."""
        found = [task]
        while len(found) < MOST_ANCESTORS and (parent := self.task_at(found[-1].parent, found[-1].start_s)) is not None:
            found.append(parent)
        return found[::-1]

    def turns_of(self, task: WatchedTask) -> Sequence[Turn]:
        return self._turns.get(id(task), ())

    def until(self, task: WatchedTask, at_s: float) -> float:
        """Return CPU time, and sleep that only the kernel ended, of a task from its start until then."""
        return min(self._curve(task).until(at_s) + self._curve(task).asleep_until(at_s), max(0.0, at_s - task.start_s))

    def cpu_until(self, task: WatchedTask, at_s: float) -> float:
        """Return CPU time of a task from its start until then."""
        return min(self._curve(task).until(at_s), max(0.0, at_s - task.start_s))

    def pieces(self, task: WatchedTask, begins_s: float) -> Iterator[tuple[float, float]]:
        """Yield from and until where in its chain a task works, between its sleeps that only the kernel ended. Its own
        begin has its place at `begins_s`."""
        from_s = begins_s
        for woken_s, slept_s in self._curve(task).sleeps:
            if not task.start_s <= woken_s <= task.end_s:
                continue
            wakes_s = begins_s + self.until(task, woken_s)
            if wakes_s - slept_s > from_s:
                yield from_s, wakes_s - slept_s
            from_s = max(from_s, wakes_s)
        until_s = begins_s + self.until(task, task.end_s)
        if until_s > from_s:
            yield from_s, until_s

    def _curve(self, task: WatchedTask) -> _Curve:
        found = self._curves.get(id(task))
        if found is None:
            found = self._curves[id(task)] = _Curve(task, self.turns_of(task))
        return found


class Lineage:
    """Who descends from whom. Each look-up takes constant time, however long the chains of forks are: a task has a
    number, and its descendants have those that follow it."""

    def __init__(self, seen: TasksSeen, ledger: Ledger) -> None:
        self._ledger = ledger
        tasks = sorted(seen.tasks, key=lambda one: (one.start_s, one.pid))  # parents first: they start earlier
        rank = {id(one): number for number, one in enumerate(tasks)}
        parents = [self._parent(one, rank) for one in tasks]
        sizes = [1] * len(tasks)
        for number in reversed(range(len(tasks))):
            if (parent := parents[number]) is not None:
                sizes[parent] += sizes[number]
        self._spans: dict[int, range] = {}
        free = [0] * len(tasks)
        first = 0
        for number, task in enumerate(tasks):
            parent = parents[number]
            place = first if parent is None else free[parent]
            if parent is None:
                first += sizes[number]
            else:
                free[parent] += sizes[number]
            free[number] = place + 1
            self._spans[id(task)] = range(place, place + sizes[number])

    def _parent(self, task: WatchedTask, rank: Mapping[int, int]) -> int | None:
        parent = self._ledger.task_at(task.parent, task.start_s)
        if parent is None or rank[id(parent)] >= rank[id(task)]:  # else it is damaged, and may be a circle
            return None
        return rank[id(parent)]

    def pids_of(self, task: WatchedTask) -> Container[int]:
        """Return the numbers of a task and its ancestors."""
        return _Pids(self, task)

    def has(self, task: WatchedTask, pid: int) -> bool:
        """Return whether this is the number of a task or of one of its ancestors."""
        mine = self._spans[id(task)].start
        return any(mine in self._spans[id(one)] for one in self._ledger.had(pid, task.start_s))


@dataclass(frozen=True)
class _Pids(Container[int]):
    """Numbers of a task and its ancestors, which are looked up, not listed: there may be thousands."""

    lineage: Lineage
    task: WatchedTask

    def __contains__(self, pid: object) -> bool:
        return isinstance(pid, int) and self.lineage.has(self.task, pid)


class _Curve:
    """CPU time of one task over its life. A look-up takes logarithmic time: a task may fork thousands of others."""

    def __init__(self, task: WatchedTask, turns: Sequence[Turn]) -> None:
        self._task = task
        turns = sorted(turns, key=lambda one: one.on_s)
        self._turns = turns
        self._on_s = [one.on_s for one in turns]
        self._before_s = [0.0, *accumulate(one.off_s - one.on_s for one in turns)]
        self._rest_s = max(0.0, task.cpu_s - self._before_s[-1])
        self.sleeps = sorted((one.runnable_s, one.slept_s) for one in turns if one.waker == 0 and one.slept_s > 0.0)
        """When a sleep ended that only the kernel ended, and how long it was."""
        self._woken_s = [woken_s for woken_s, _ in self.sleeps]
        self._asleep_s = [0.0, *accumulate(slept_s for _, slept_s in self.sleeps)]

    def until(self, at_s: float) -> float:
        begun = bisect_left(self._on_s, at_s)
        known_s = self._before_s[begun]
        if begun:
            known_s -= max(0.0, self._turns[begun - 1].off_s - at_s)
        life_s = self._task.end_s - self._task.start_s
        passed = 1.0 if life_s <= 0.0 else max(0.0, min(1.0, (at_s - self._task.start_s) / life_s))
        return known_s + self._rest_s * passed

    def asleep_until(self, at_s: float) -> float:
        return self._asleep_s[bisect_right(self._woken_s, at_s)]


def _grouped(tasks: Sequence[WatchedTask]) -> dict[int, list[WatchedTask]]:
    """Return the tasks by pid, in their order of start."""
    found: dict[int, list[WatchedTask]] = defaultdict(list)
    for task in sorted(tasks, key=_start_s):
        found[task.pid].append(task)
    return found


def _start_s(task: WatchedTask) -> float:
    return task.start_s


def _at(by_pid: Mapping[int, Sequence[WatchedTask]], pid: int, at_s: float) -> WatchedTask | None:
    """Return the task that had this pid then, the later one where one ends as the next begins."""
    ones = by_pid.get(pid, ())
    began = bisect_right(ones, at_s, key=_start_s)
    return ones[began - 1] if began and at_s <= ones[began - 1].end_s else None


def _grouped_turns(seen: TasksSeen) -> dict[int, list[Turn]]:
    """Return the turns of each task, by its `id`."""
    by_pid = _grouped(seen.tasks)
    found: dict[int, list[Turn]] = defaultdict(list)
    for turn in seen.turns:
        task = _at(by_pid, turn.pid, turn.on_s)
        if task is not None:
            found[id(task)].append(turn)
    return found
