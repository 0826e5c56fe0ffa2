# SPDX-License-Identifier: MIT
"""From the probe's bytes to tasks, turns and counts. Whatever is damaged raises ValueError; nothing in it is believed:
texts are cut, and times that cannot be are an error."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import NamedTuple

from autotune.frozen import dataclass
from autotune.observe import layout
from autotune.records import RawTasks

NS = 1e-9


class Identities(NamedTuple):
    """Numbers that a task has again when the workload runs again (`bpf_src/include/at_identity.h`); 0 where there is
    none: of its program's arguments, of its place among the forks of its parent, and of both."""

    program: int = 0
    place: int = 0
    both: int = 0


UNKNOWN = Identities()


@dataclass(frozen=True)
class WatchedTask:
    """One task (a thread) of the workload from its start to its end. Times are in s, from the start of the first task.

    `parent` is the task that forked it, 0 for the first. `wait_s` is the time runnable but waiting for a CPU,
    `deep_s` the part of `sleep_s` in which no signal would wake it: waiting for a disk or the like."""

    pid: int
    tgid: int
    parent: int
    start_s: float
    end_s: float
    cpu_s: float
    wait_s: float
    sleep_s: float
    deep_s: float
    turns: int
    preempted: int
    wakeups: int
    migrations: int
    comm: str
    arguments: tuple[str, ...] = ()
    """Of the program that it executed last, or inherited; empty where they are not known."""
    executed: bool = False
    """It executed that program itself."""
    identity: Identities = UNKNOWN

    @property
    def is_thread(self) -> bool:
        return self.pid != self.tgid


@dataclass(frozen=True)
class Turn:
    """One turn of a task on a CPU, with the wait and the sleep before it."""

    pid: int
    runnable_s: float
    on_s: float
    off_s: float
    slept_s: float
    waker: int | None
    """The task of the workload that woke it; 0 for the kernel (a timer, a device), and where it did not sleep; None for
    another process."""
    cpu: int
    preempted: bool


@dataclass(frozen=True)
class TasksSeen:
    """All that the probe saw of one run. `waits` are turns by the time that the task waited for its CPU: 2^n to
    2^(n+1) ns."""

    tasks: tuple[WatchedTask, ...]
    turns: tuple[Turn, ...]
    waits: Mapping[int, int] = field(default_factory=dict)
    lost_tasks: int = 0
    """Tasks that are not among `tasks`: there were too many at once, or altogether."""
    lost_cpu_s: float = 0.0
    lost_turns: int = 0
    """Long turns that are not among `turns`."""


def decode(raw: RawTasks) -> TasksSeen:
    """Return what was seen. Raises ValueError for anything that the probe cannot have written."""
    counts = layout.COUNTS.unpack(_bytes(raw.counts, layout.COUNTS.size))
    ends, _, turns, lost, lost_ns = counts[:5]
    programs = [_program(row) for row in layout.EXEC.iter_unpack(_bytes(raw.execs, None, layout.EXEC.size))]
    rows = list(layout.END.iter_unpack(_bytes(raw.ends, None, layout.END.size)))
    if not rows:
        return TasksSeen((), ())
    began = min(row[0] for row in rows)
    tasks = tuple(sorted((_task(row, programs, began) for row in rows), key=lambda one: (one.start_s, one.pid)))
    long_turns = [_turn(row, began) for row in layout.TURN.iter_unpack(_bytes(raw.turns, None, layout.TURN.size))]
    return TasksSeen(
        tasks=tasks,
        turns=tuple(sorted(long_turns, key=lambda one: one.on_s)),
        waits={bucket: count for bucket, count in enumerate(counts[7:]) if count},
        lost_tasks=lost + max(0, ends - len(rows)),
        lost_cpu_s=lost_ns * NS,
        lost_turns=max(0, turns - len(long_turns)),
    )


def _bytes(text: str, exactly: int | None, multiple: int = 1) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"the probe's records are damaged: {error}") from None
    if len(data) % multiple or (exactly is not None and len(data) != exactly):
        raise ValueError("the probe's records are cut short")
    return data


Program = tuple[int, tuple[str, ...]]
"""The task that executed it, and its arguments."""


def _program(row: Sequence[object]) -> Program:
    pid, amount, is_cut, data = row[1], row[2], row[3], row[5]
    assert isinstance(pid, int)
    assert isinstance(amount, int)
    assert isinstance(data, bytes)
    *words, last = data[: min(amount, len(data))].split(b"\0")
    if is_cut:
        # Half a secret has no known format: nothing is kept of a word that was cut, but whole words within it.
        words.append(last[: max(map(last.rfind, (b" ", b"\t", b"\n"))) + 1] + b"...")
    elif last:
        words.append(last)
    return pid, tuple(word.decode(errors="replace") for word in words)


def _task(row: tuple[int, ...], programs: Sequence[Program], began: int) -> WatchedTask:
    start, end, cpu, waited, slept, deep, pid, tgid, parent, program, *numbers = row[:-4]
    comm = row[-4]
    if not start <= end or max(cpu, waited, slept, deep) > (end - start) + 1_000_000_000:
        raise ValueError("the probe's records have impossible times")
    by, arguments = programs[program] if program < len(programs) else (0, ())
    assert isinstance(comm, bytes)
    turns, preempted, wakeups, migrations = numbers
    return WatchedTask(
        pid=pid,
        tgid=tgid,
        parent=parent,
        start_s=(start - began) * NS,
        end_s=(end - began) * NS,
        cpu_s=cpu * NS,
        wait_s=waited * NS,
        sleep_s=slept * NS,
        deep_s=deep * NS,
        turns=turns,
        preempted=preempted,
        wakeups=wakeups,
        migrations=migrations,
        comm=comm.split(b"\0")[0].decode(errors="replace"),
        arguments=arguments,
        executed=by == pid,
        identity=Identities(*row[-3:]),
    )


def _turn(row: tuple[int, ...], began: int) -> Turn:
    runnable, on, off, slept, pid, waker, cpu, preempted = row
    return Turn(
        pid=pid,
        runnable_s=(runnable - began) * NS,
        on_s=(on - began) * NS,
        off_s=(off - began) * NS,
        slept_s=slept * NS,
        waker=None if waker == layout.NOBODY else waker,
        cpu=cpu,
        preempted=bool(preempted),
    )
