# SPDX-License-Identifier: MIT
"""Runs loads inside the micro-VM as root, one after another, under a scheduler or EEVDF, and reports their numbers.

How it measures:
- this process watches under SCHED_FIFO, so that no sched_ext scheduler can starve it; the tasks of loads are ordinary;
- every task counts its progress (`crew`), which is read every 20 ms: a counter that stands still is a task that waits;
- time in which this process itself could not look (the host had other work) counts for no task;
- at every look it times a little work of its own: how fast the machine is just then;
- the scheduler is attached by this process: if it dies, the kernel is back on its own.

Prints JSON lines: `begin`, `load` and `end` with their numbers. Standard library only.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from autotune.errors import AutotuneError
from autotune.records import AttachSpec, SchedulerExit
from autotune.schedext.holding.holder import Holder, Lock
from autotune.schedext.kernel import KernelLog, exit_in_log, in_kernel_words, read_state, wait_for, without_own_words
from autotune.verify.behaviour.crew import (
    WORK,
    WRONG,
    Board,
    Crew,
    Task,
    bound_hog,
    cpu_ns,
    forker,
    hog,
    pingpong,
    waker,
)
from autotune.wire import from_json, to_json

LOOK_S = 0.02
"""Pause between two looks at the tasks."""
MOST_LOOK_S = 3 * LOOK_S
"""Most waiting that one look may add to a task: more means that the watcher itself waited."""
LOCK_PATH = "/run/autotune-verify.lock"
"""A lock of our own: another holder in this VM, with nothing attached, may have the usual one."""
GONE_S = 3.0
"""How long a scheduler may take to leave after CPUs were plugged."""
NOTICE_S = 0.3
"""How long after plugging the kernel may take to begin an ejection."""
CLOCK_S = 10.0
"""How long the host may take to set the clock ahead."""
CLOCK_OFFSET = b" __sched_clock_offset\n"
"""The kernel's offset of the clock that schedulers see (kernel/sched/clock.c)."""
RESTART = 1 << 48
"""SCX_ECODE_ACT_RESTART: the scheduler requests a restart, as it may when CPUs come and go."""
SPEED_LOOPS = 4000
"""Turns of this process's own work at every look: about 0.5 ms under emulation."""

MCL_CURRENT, MCL_FUTURE = 1, 2


# --- the scheduler ---------------------------------------------------------------------------------------


class Gone(Exception):
    """The scheduler left, or was ejected."""

    def __init__(self, record: SchedulerExit | None) -> None:
        super().__init__("the scheduler is gone")
        self.record = record


class Charge:
    """The scheduler in charge: one that is attached, or (spec None) the kernel's own."""

    def __init__(self, spec: AttachSpec | None, libbpf: str | None) -> None:
        self._spec = spec
        self._holder = Holder(libbpf, Lock(LOCK_PATH))
        self._is_attached = False
        self.attach_s: list[float] = []

    def attach(self) -> None:
        if self._spec is not None:
            self.attach_s.append(round(self._holder.attach(self._spec).attach_s, 3))
            self._is_attached = True

    def check(self) -> None:
        """Raise Gone when the scheduler is no longer in charge."""
        if self._is_attached and read_state().state != "enabled":
            raise Gone(self._holder.exit_record())

    def mend(self) -> int:
        """Attach again after plugging if the scheduler left with the code that requests it. Returns how often (0 or 1).
        Raises Gone when it left for another reason."""
        if not self._is_attached:
            return 0
        leaving, _ = wait_for(lambda seen: seen.state != "enabled", NOTICE_S)
        if not leaving:
            return 0
        wait_for(lambda seen: seen.state == "disabled", GONE_S)
        record = self._holder.exit_record()
        if record is None or record.is_error or not record.code & RESTART:
            raise Gone(record)
        self.detach()
        self.attach()
        return 1

    def detach(self) -> dict[str, Any] | None:
        """Detach; None when nothing was attached. Raises AutotuneError when the kernel is not back on its own
        scheduler."""
        if not self._is_attached:
            return None
        self._is_attached = False
        ended = self._holder.detach()
        return to_json(replace(ended, exit=in_kernel_words(ended.exit, None)))  # type: ignore[no-any-return]


class Bench:
    """The environment of loads: shared memory, the scheduler, the CPUs."""

    def __init__(self, charge: Charge, seconds: float, *, partial: bool = False) -> None:
        self.board = Board()
        self.charge = charge
        self.seconds = seconds
        self.partial = partial
        self.cpus = sorted(os.sched_getaffinity(0))
        self.watched_s = 0.0
        """Seconds since `crew` was called, without those that the watcher missed."""
        self.spent_s = 0.0
        """Time spent on measuring the machine's speed since `crew` was called, and the number of looks:"""
        self.looks = 0
        self.undead: list[int] = []
        """Tasks of the last load that were killed and do not die."""
        self.gone: Gone | None = None
        """The exit seen while watching; the numbers until then are still reported."""

    def crew(self) -> Crew:
        """Make the crew of a new load."""
        self.watched_s, self.spent_s, self.looks = 0.0, 0.0, 0
        made = Crew(self.board, partial=self.partial)
        self.undead = made.undead
        return made

    def speed(self) -> float:
        """Return the turns of a loop a second of this process, which nothing inside the VM delays."""
        return round(self.looks * SPEED_LOOPS / self.spent_s) if self.spent_s else 0.0

    def _try_speed(self) -> None:
        began = time.monotonic()
        for _ in range(SPEED_LOOPS):
            pass
        self.spent_s += time.monotonic() - began
        self.looks += 1

    def watch(self, crew: Crew, seconds: float, turn: Callable[[int], None] | None = None) -> float:
        """Look at the tasks for so long; `turn` is called at each look with its number. Returns the seconds that
        passed. Ends early when the scheduler is gone, with its exit in `gone`."""
        for task in crew.tasks:
            task.cpu_ns, task.work, task.waiting_s = cpu_ns(task.pid), task.done(), 0.0
        before = [task.work for task in crew.tasks]
        began = last = time.monotonic()
        looks = 0
        try:
            while last - began < seconds:
                time.sleep(LOOK_S)
                now = time.monotonic()
                passed_s, last = min(now - last, MOST_LOOK_S), now
                self.watched_s += passed_s
                looks += 1
                for task in crew.tasks:
                    task.look(passed_s)
                self._try_speed()
                if turn is not None:
                    turn(looks)
                if looks % 5 == 0:
                    self.charge.check()
        except Gone as gone:
            self.gone = gone
        finally:
            for task, work in zip(crew.tasks, before, strict=True):
                task.cpu_ns = cpu_ns(task.pid) - task.cpu_ns
                task.work -= work
        return last - began


Numbers = dict[str, Any]


def _summed(crew: Crew, passed_s: float, **rates: list[Task]) -> Numbers:
    """Return the numbers of all tasks, and the work a second of groups of them."""
    summed = {name: round(sum(task.work for task in tasks) / passed_s, 1) for name, tasks in rates.items()}
    return {"passed_s": round(passed_s, 2), "tasks": [task.numbers() for task in crew.tasks], **summed}


def late(board: Board, tasks: list[Task]) -> Numbers:
    """Return percentiles of wake-up latency, in microseconds."""
    seen = sorted(board.wakes[place] for task in tasks for place in task.tally.wakes if board.wakes[place])
    if not seen:
        return {"count": 0}
    return {"count": len(seen), "p50": seen[len(seen) // 2], "p99": seen[len(seen) * 99 // 100], "max": seen[-1]}


# --- loads -----------------------------------------------------------------------------------------------


def nice_hogs(bench: Bench) -> Numbers:
    """Run more hogs than CPUs, from nice 0 to nice 19."""
    levels = [0] * len(bench.cpus) + [5, 10, 19]
    with bench.crew() as crew:
        hogs = [crew.start(f"nice{level}", hog, nice=level) for level in levels]
        return _summed(crew, bench.watch(crew, bench.seconds * 1.8), work_per_s=hogs)


def equal_hogs(bench: Bench) -> Numbers:
    """Run hogs that differ in nothing: how the CPU is shared depends on the scheduler alone."""
    with bench.crew() as crew:
        hogs = [crew.start("hog", hog) for _ in range(2 * len(bench.cpus) + 1)]
        return _summed(crew, bench.watch(crew, bench.seconds), work_per_s=hogs)


def forks(bench: Bench) -> Numbers:
    """Run many tasks that fork children of no duration, beside a hog for each two CPUs: with more hogs, their slices
    would decide instead of the cost of forking."""
    with bench.crew() as crew:
        for _ in range(max(1, len(bench.cpus) // 2)):
            crew.start("hog", hog)
        for _ in range(8 * len(bench.cpus)):
            crew.start("forker", forker).counts = False
        before = forks_so_far()
        passed_s = bench.watch(crew, bench.seconds)
        return {**_summed(crew, passed_s), "forks_per_s": round((forks_so_far() - before) / passed_s, 1)}


def forks_so_far() -> int:
    with open("/proc/stat") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("processes "))


def sleepers(bench: Bench) -> Numbers:
    """Run tasks that wake every millisecond beside two hogs for each CPU."""
    with bench.crew() as crew:
        for _ in range(2 * len(bench.cpus)):
            crew.start("hog", hog)
        wakers = [crew.start("sleeper", lambda tally: waker(tally, 0.001, 0.0), wakes=6000) for _ in range(4)]
        numbers = _summed(crew, bench.watch(crew, bench.seconds))
        return {**numbers, "wake_us": late(bench.board, wakers)}


def pinned(bench: Bench) -> Numbers:
    """Run a hog bound to each CPU, one that is bound to another at every look for 0.2 s and then left alone for 0.3 s,
    and free ones beside them. The pause is its chance: moving a task puts it at the end of the queue in many a correct
    scheduler."""
    with bench.crew() as crew:
        for cpu in bench.cpus:
            crew.start(f"cpu{cpu}", bound_hog, cpus={cpu})
        moved = crew.start("moved", hog, cpus={bench.cpus[0]})
        for _ in bench.cpus:
            crew.start("free", hog)

        def move(turn: int) -> None:
            if turn % 25 >= 10 or not moved.tally.read(WORK):  # until it begins it still binds itself to its first CPU
                return
            cpu = bench.cpus[turn % len(bench.cpus)]
            os.sched_setaffinity(moved.pid, {cpu})
            state, at = _state_and_cpu(moved.pid)
            if state == "R" and at != cpu:
                moved.tally.count(WRONG)

        return _summed(crew, bench.watch(crew, bench.seconds * 1.2, move))


def _state_and_cpu(pid: int) -> tuple[str, int]:
    """Return a task's state, and the CPU it runs on or ran on last. The kernel moves a task that sleeps (a page fault
    that waits for the disk does) only when it wakes: until then its CPU is the earlier one, and nobody is to blame."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return fields[0], int(fields[36])


def realtime(bench: Bench) -> Numbers:
    """Run a real-time task for 3 ms in 10 ms, beside a hog and a half for each CPU."""
    with bench.crew() as crew:
        for _ in range(len(bench.cpus) + 1):
            crew.start("hog", hog)
        urgent = crew.start("fifo", lambda tally: waker(tally, 0.007, 0.003), fifo=20, wakes=2000)
        numbers = _summed(crew, bench.watch(crew, bench.seconds))
        return {**numbers, "fifo_wake_us": late(bench.board, [urgent])}


def hand_over(bench: Bench) -> Numbers:
    """Run pairs that pass a byte to and fro, and on each CPU a task bound to it that sleeps most of the time. One CPU
    has no pair: as long as one is idle, the kernel would start the tasks of a pair at once, ahead of all that wait."""
    with bench.crew() as crew:
        pairs = [crew.start("pair", pingpong) for _ in bench.cpus[1:] or bench.cpus]
        for cpu in bench.cpus:
            crew.start(f"cpu{cpu}", lambda tally: waker(tally, 0.01, 0.0), cpus={cpu})
        return _summed(crew, bench.watch(crew, bench.seconds), round_trips_per_s=pairs)


def churn(bench: Bench) -> Numbers:
    """Run hogs whose nice level and CPUs change meanwhile."""
    chance = random.Random(4)
    choices = [{cpu} for cpu in bench.cpus] + [set(bench.cpus)] * 2
    with bench.crew() as crew:
        hogs = [crew.start("changed", hog) for _ in range(2 * len(bench.cpus))]

        def change(_turn: int) -> None:
            os.setpriority(os.PRIO_PROCESS, chance.choice(hogs).pid, chance.randrange(0, 11))
            os.sched_setaffinity(chance.choice(hogs).pid, chance.choice(choices))

        return _summed(crew, bench.watch(crew, bench.seconds, change))


def hotplug(bench: Bench) -> Numbers:
    """Unplug and plug the last CPU under load. A scheduler may leave and request a restart."""
    switch = f"/sys/devices/system/cpu/cpu{bench.cpus[-1]}/online"
    if len(bench.cpus) < 2 or not os.access(switch, os.W_OK):
        return {"skipped": "this VM has no CPU that can be unplugged"}
    restarts = 0
    with bench.crew() as crew, _online_after(switch):
        for _ in bench.cpus:
            crew.start("hog", hog)
        crew.start("sleeper", lambda tally: waker(tally, 0.005, 0.001))
        passed_s = bench.watch(crew, bench.seconds / 6)
        for value in ("0", "1"):
            _write(switch, value)
            restarts += bench.charge.mend()
            passed_s += bench.watch(crew, bench.seconds / 3)
            if bench.gone is not None:  # it left later than usual
                bench.gone = None
                restarts += bench.charge.mend()
        return {**_summed(crew, passed_s), "restarts": restarts}


@contextlib.contextmanager
def _online_after(switch: str) -> Iterator[None]:
    try:
        yield
    finally:
        _write(switch, "1")


def _write(path: str, value: str) -> None:
    with open(path, "w") as file:
        file.write(value)


def mixed(bench: Bench) -> Numbers:
    """Run a little of everything: more hogs than CPUs, one bound to the last CPU, sleepers, forks, and a pair that
    passes a byte to and fro."""
    with bench.crew() as crew:
        for _ in range(len(bench.cpus) + 1):
            crew.start("hog", hog)
        crew.start(f"cpu{bench.cpus[-1]}", bound_hog, cpus={bench.cpus[-1]})
        for _ in range(2):
            crew.start("sleeper", lambda tally: waker(tally, 0.005, 0.001))
        crew.start("forker", forker).counts = False
        crew.start("pair", pingpong)
        return _summed(crew, bench.watch(crew, bench.seconds))


def later(bench: Bench) -> Numbers:
    """Run a little of everything once the host has set the clock ahead."""
    ahead_s = set_ahead()
    if not ahead_s:
        return {"skipped": "the clock of this VM cannot be set ahead"}
    return {**mixed(bench), "clock_ahead_s": ahead_s}


def set_ahead() -> float:
    """Request a later clock, and return by how much it moved; 0 when it did not. Nothing of a load may run meanwhile:
    it would be charged for that time."""
    with open("/proc/kallsyms", "rb") as file:
        symbols = file.read()
    line = symbols[: symbols.find(CLOCK_OFFSET) + 1].rpartition(b"\n")[2].split()
    if len(line) != 2:
        return 0.0
    with contextlib.suppress(OSError):  # it would take the time for that of a task that never yields
        _write("/proc/sys/kernel/soft_watchdog", "0")
    before, deadline = scheduler_clock_s(), time.monotonic() + CLOCK_S
    say(clock=int(line[0], 16))
    while time.monotonic() < deadline:
        time.sleep(0.6)  # the kernel drops all but ten lines in five seconds
        with contextlib.suppress(BlockingIOError):
            moved_s = scheduler_clock_s() - before
            if moved_s > 2 * CLOCK_S:
                return round(moved_s)
    return 0.0


def scheduler_clock_s() -> float:
    """Return the clock that schedulers see, by the time of a line in the kernel's log."""
    fd = os.open("/dev/kmsg", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        os.lseek(fd, 0, os.SEEK_END)
        os.write(fd, b"autotune: clock\n")  # without its end it would wait for more
        return int(os.read(fd, 8192).split(b",")[2]) / 1e6
    finally:
        os.close(fd)


LOADS: dict[str, Callable[[Bench], Numbers]] = {
    "nice_hogs": nice_hogs,
    "equal_hogs": equal_hogs,
    "forks": forks,
    "sleepers": sleepers,
    "pinned": pinned,
    "realtime": realtime,
    "pingpong": hand_over,
    "churn": churn,
    "hotplug": hotplug,
}
"""Loads in the order in which they run: plugging comes last, since most schedulers are attached again for it."""

SHORT: dict[str, Callable[[Bench], Numbers]] = {"mixed": mixed, "later": later}
"""Loads of the shapes (`shapes`)."""


# --- the program -----------------------------------------------------------------------------------------


def say(**message: Any) -> None:
    data = memoryview(json.dumps(message).encode() + b"\n")
    while data:
        data = data[os.write(1, data) :]


def main(text: str) -> None:
    """Run the loads. `text` is JSON: `loads` (names), `seconds` (of most), `libbpf`, `spec` (AttachSpec or null),
    `partial` (whether the tasks ask for SCHED_EXT)."""
    request = json.loads(text)
    spec = None if request["spec"] is None else from_json(AttachSpec, request["spec"])
    os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(10))
    _stay_in_memory()
    charge = Charge(spec, request["libbpf"])
    log = KernelLog()
    messages: list[str] = []
    try:
        charge.attach()
        run_loads(Bench(charge, request["seconds"], partial=request["partial"]), request["loads"])
    except Gone as gone:
        messages += log.read()
        logged = exit_in_log(messages, spec.ops) if spec is not None else None
        say(gone=True, exit=to_json(in_kernel_words(gone.record, logged)))
    except AutotuneError as error:
        say(error=error.to_wire())
    ended: dict[str, Any] = {"detachment": None, "detach_error": ""}
    try:
        ended["detachment"] = charge.detach()
    except AutotuneError as error:
        ended["detach_error"] = error.message
    messages += log.read()
    kernel_said = [line for line in without_own_words(messages, spec.ops if spec is not None else "") if line.strip()]
    say(end=True, **ended, state=read_state().state, attach_s=charge.attach_s, kernel_log=kernel_said[-200:])


def _stay_in_memory() -> None:
    """Read all of this program and its libraries now. A page that is read later waits for a thread of the kernel's file
    system, which a scheduler that dispatches nothing keeps waiting, and the watcher with it."""
    ctypes.CDLL(None).mlockall(MCL_CURRENT | MCL_FUTURE)


def run_loads(bench: Bench, names: list[str]) -> None:
    for name in names:
        say(begin=name)
        numbers = (LOADS | SHORT)[name](bench)
        say(load=name, numbers={**numbers, "watched_s": round(bench.watched_s, 2), "speed": bench.speed()})
        if bench.gone is not None:
            raise bench.gone
        bench.charge.check()
        if bench.undead:  # nothing gets on: the next load would show no more
            say(undead=len(bench.undead))
            return
