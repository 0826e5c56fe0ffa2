# SPDX-License-Identifier: MIT
"""Tasks and turns as the probe would have seen them, and as the bytes that it would have written."""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Sequence

from autotune.observe import layout
from autotune.observe.decode import Turn, WatchedTask
from autotune.records import RawTasks

BEGAN_NS = 5_000_000_000


def a_task(
    pid: int,
    parent: int = 0,
    *,
    start_s: float = 0.0,
    end_s: float = 1.0,
    cpu_s: float | None = None,
    wait_s: float = 0.0,
    sleep_s: float = 0.0,
    arguments: Sequence[str] = ("cc", "-c"),
    comm: str = "cc",
    tgid: int | None = None,
) -> WatchedTask:
    return WatchedTask(
        pid=pid,
        tgid=pid if tgid is None else tgid,
        parent=parent,
        start_s=start_s,
        end_s=end_s,
        cpu_s=end_s - start_s - wait_s - sleep_s if cpu_s is None else cpu_s,
        wait_s=wait_s,
        sleep_s=sleep_s,
        deep_s=0.0,
        turns=1,
        preempted=0,
        wakeups=0,
        migrations=0,
        comm=comm,
        arguments=tuple(arguments),
        executed=bool(arguments),
    )


def a_turn(
    pid: int, on_s: float, off_s: float, *, waited_s: float = 0.0, slept_s: float = 0.0, waker: int | None = 0
) -> Turn:
    return Turn(pid, on_s - waited_s, on_s, off_s, slept_s, waker, 0, False)


def raw(
    tasks: Sequence[WatchedTask],
    turns: Sequence[Turn] = (),
    *,
    lost: int = 0,
    waits: Sequence[int] = (),
    more_ends: int = 0,
) -> RawTasks:
    """Return what the probe would have written: each task with arguments executed its program itself."""
    executed = [task for task in tasks if task.arguments]
    ends = b"".join(_end(task, executed) for task in tasks)
    counts = [len(tasks) + more_ends, len(executed), len(turns), lost, 0, 0, 0, *waits]
    return RawTasks(
        counts=_text(layout.COUNTS.pack(*counts, *[0] * (71 - len(counts)))),
        ends=_text(ends),
        execs=_text(b"".join(map(_exec, executed))),
        turns=_text(b"".join(map(_turn, turns))),
    )


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)


def _end(task: WatchedTask, executed: Sequence[WatchedTask]) -> bytes:
    program = executed.index(task) if task in executed else layout.NOBODY
    times = [BEGAN_NS + _ns(task.start_s), BEGAN_NS + _ns(task.end_s)]
    spent = map(_ns, (task.cpu_s, task.wait_s, task.sleep_s, task.deep_s))
    numbers = (task.pid, task.tgid, task.parent, program, task.turns, task.preempted, task.wakeups, task.migrations)
    return layout.END.pack(*times, *spent, *numbers, task.comm.encode(), *task.identity)


def _exec(task: WatchedTask) -> bytes:
    line = b"".join(word.encode() + b"\0" for word in task.arguments)
    return layout.EXEC.pack(BEGAN_NS, task.pid, min(len(line), 480), len(line) > 480, 0, line[:480])


def _turn(turn: Turn) -> bytes:
    times = (BEGAN_NS + _ns(turn.runnable_s), BEGAN_NS + _ns(turn.on_s), BEGAN_NS + _ns(turn.off_s))
    waker = layout.NOBODY if turn.waker is None else turn.waker
    return layout.TURN.pack(*times, _ns(turn.slept_s), turn.pid, waker, turn.cpu, turn.preempted)


def _text(data: bytes) -> str:
    return b2a_base64(data, newline=False).decode()
