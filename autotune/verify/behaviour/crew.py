# SPDX-License-Identifier: MIT
"""Tasks of a load: each counts its progress in shared memory, where the watcher reads it. Standard library only.

All of them always want to run, or sleep for a millisecond at most, so a counter that stands still is a task that waits.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

DIE_S = 2.0
"""How long a killed task may take to die."""
HOG_LOOPS = 100
"""Turns between two counts of a hog: about 0.1 ms under emulation."""
SCHED_EXT = 7
"""The policy of tasks for a scheduler in partial mode."""

WORK, WRONG = 0, 1
"""Cells of a task: its progress, and how often it found itself on a CPU that it may not run on."""
CELLS = 2
MOST_TASKS = 128
MOST_WAKES = 1 << 15
_MOST_FDS = 256

Body = Callable[["Tally"], None]


class Board:
    """Shared memory: the cells of all tasks, and late wake-ups in microseconds."""

    def __init__(self) -> None:
        size = MOST_TASKS * CELLS * 8
        self.cells = memoryview(mmap.mmap(-1, size)).cast("Q")
        self.wakes = memoryview(mmap.mmap(-1, MOST_WAKES * 4)).cast("I")

    def clear(self) -> None:
        self.cells[:] = memoryview(bytes(len(self.cells) * 8)).cast("Q")
        self.wakes[:] = memoryview(bytes(MOST_WAKES * 4)).cast("I")


@dataclass
class Tally:
    """A task's own part of the board. Wake-ups are kept in a range of its own; 0 means none."""

    board: Board
    at: int
    wakes: range = range(0)

    def count(self, cell: int = WORK) -> None:
        self.board.cells[self.at * CELLS + cell] += 1

    def read(self, cell: int) -> int:
        return self.board.cells[self.at * CELLS + cell]


@dataclass
class Task:
    """One task of a load, and the readings of it."""

    name: str
    pid: int
    tally: Tally
    cpu_ns: int = 0
    """CPU time at the first look; later the growth since."""
    work: int = 0
    waiting_s: float = 0.0
    longest_wait_s: float = 0.0
    counts: bool = True
    """False for a program that cannot count on the board: its progress is its CPU time."""

    def done(self) -> int:
        return self.tally.read(WORK) if self.counts else cpu_ns(self.pid)

    def look(self, passed_s: float) -> None:
        work = self.done()
        self.waiting_s = 0.0 if work != self.work else self.waiting_s + passed_s
        self.work = work
        self.longest_wait_s = max(self.longest_wait_s, self.waiting_s)

    def numbers(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "cpu_s": round(self.cpu_ns / 1e9, 4),
            "work": self.work,
            "longest_wait_s": round(self.longest_wait_s, 3),
            "ran_elsewhere": self.tally.read(WRONG),
        }


def cpu_ns(pid: int) -> int:
    """Return the CPU time of a task in nanoseconds, by the scheduler's own account."""
    try:
        with open(f"/proc/{pid}/schedstat") as file:
            return int(file.read().split()[0])
    except (OSError, ValueError, IndexError):
        return 0


class Crew:
    """The tasks of one load, killed at the end of the block. In partial mode they are the scheduler's own tasks. A task
    must run to die: `undead` are those that did not die within DIE_S; they do once the scheduler is gone."""

    def __init__(self, board: Board, *, partial: bool = False) -> None:
        board.clear()
        self._board = board
        self._partial = partial
        self.tasks: list[Task] = []
        self.undead: list[int] = []

    def start(
        self, name: str, body: Body, *, nice: int = 0, cpus: set[int] | None = None, fifo: int = 0, wakes: int = 0
    ) -> Task:
        """Start a task. `cpus` are those that it may run on, `fifo` makes it a real-time task of that priority, `wakes`
        is how many wake-ups it has room for."""
        at = len(self.tasks)
        first = sum(len(task.tally.wakes) for task in self.tasks)
        tally = Tally(self._board, at, range(first, first + wakes))
        pid = os.fork()
        if pid == 0:
            os.closerange(3, _MOST_FDS)  # above all the scheduler's link, which keeps it attached while it is open
            with contextlib.suppress(BaseException):
                _settle(nice, cpus, fifo, ext=self._partial and not fifo)
                body(tally)
            os._exit(0)
        self.tasks.append(Task(name, pid, tally))
        return self.tasks[-1]

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_error: object) -> None:
        for task in self.tasks:
            with contextlib.suppress(ProcessLookupError):
                os.kill(task.pid, signal.SIGKILL)
        self.undead += [task.pid for task in self.tasks]
        deadline = time.monotonic() + DIE_S
        while self.undead and time.monotonic() < deadline:
            self.undead[:] = [pid for pid in self.undead if not _has_ended(pid)]
            time.sleep(0.005)


def _has_ended(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True


def _settle(nice: int, cpus: set[int] | None, fifo: int, *, ext: bool) -> None:
    if ext:
        os.sched_setscheduler(0, SCHED_EXT, os.sched_param(0))
    if nice:
        os.setpriority(os.PRIO_PROCESS, 0, nice)
    if cpus is not None:
        os.sched_setaffinity(0, cpus)
    if fifo:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(fifo))


# --- bodies of tasks -------------------------------------------------------------------------------------


def hog(tally: Tally) -> None:
    """Use the CPU all the time."""
    cells, at = tally.board.cells, tally.at * CELLS
    done = 0
    while True:
        for _ in range(HOG_LOOPS):
            pass
        done += 1
        cells[at] = done


def bound_hog(tally: Tally) -> None:
    """Use the CPU all the time, and check which one it is."""
    getcpu = ctypes.CDLL(None).sched_getcpu
    allowed = os.sched_getaffinity(0)
    while True:
        for _ in range(HOG_LOOPS):
            pass
        tally.count()
        if getcpu() not in allowed:
            tally.count(WRONG)


def burn(cpu_s: float) -> None:
    end = time.thread_time() + cpu_s
    while time.thread_time() < end:
        pass


def forker(_tally: Tally) -> None:
    """Fork children that do nothing, one after another. A shell's are ten times as cheap as Python's."""
    os.execv("/bin/sh", ["sh", "-c", "while :; do (:); done"])


def waker(tally: Tally, sleep_s: float, burst_s: float) -> None:
    """Sleep and run for a moment, again and again, and note the wake-up latency."""
    wakes, room = tally.board.wakes, iter(tally.wakes)
    while True:
        due = time.monotonic() + sleep_s
        time.sleep(sleep_s)
        late_us = int((time.monotonic() - due) * 1e6)
        place = next(room, None)
        if place is not None:
            wakes[place] = max(1, late_us)
        tally.count()
        if burst_s:
            burn(burst_s)


def pingpong(tally: Tally) -> None:
    """Pass a byte to and fro between two tasks."""
    there, back = os.pipe(), os.pipe()
    if os.fork() == 0:
        os.close(there[1])
        os.close(back[0])
        while os.read(there[0], 1):
            os.write(back[1], b"x")
        os._exit(0)
    os.close(there[0])
    os.close(back[1])
    while True:
        os.write(there[1], b"x")
        os.read(back[0], 1)
        tally.count()
