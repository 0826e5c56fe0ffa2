# SPDX-License-Identifier: MIT
"""Finds and ends the processes that descend from this one, also those that left its session.

The measuring helper is a child subreaper: a process that loses its parent becomes its child, so no descendant can
escape by forking twice or by a session of its own. Read from `/proc/PID/stat`, because `/proc/PID/task/*/children` is
absent from some kernels. Standard library only; part of the measuring helper.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

KILL_LIMIT_S = 3.0
"""How long SIGKILL is repeated before a process counts as impossible to end."""


_PR_SET_PDEATHSIG = 1
"""<linux/prctl.h>"""
_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(number: int) -> None:
    """Make the kernel send this signal when the parent dies, however it dies. Call it in a child between fork and
    exec."""
    _libc.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)


class Process(NamedTuple):
    pid: int
    state: str
    parent: int
    group: int
    session: int


def processes() -> list[Process]:
    """Return every visible process; those that end meanwhile are left out."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError, ValueError):
                found.append(_read(int(name)))
    return found


def _read(pid: int) -> Process:
    with open(f"/proc/{pid}/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    return Process(pid, fields[0].decode(), *(int(field) for field in fields[1:4]))


def descendants() -> list[Process]:
    """Return all living processes below this one."""
    by_parent: dict[int, list[Process]] = {}
    for process in processes():
        by_parent.setdefault(process.parent, []).append(process)
    found: list[Process] = []
    waiting = [os.getpid()]
    while waiting:
        children = by_parent.get(waiting.pop(), [])
        found += children
        waiting += [child.pid for child in children]
    return [process for process in found if process.state not in "ZX"]


def signal_each(pids: Iterable[int], number: int) -> None:
    """Send a signal to those that exist and may be signalled."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def ask_to_end(group: int) -> None:
    """Send SIGTERM, once each, to a process group and to the descendants outside of it; stopped ones are continued
    first."""
    for number in (signal.SIGTERM, signal.SIGCONT):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, number)
    others = [process.pid for process in descendants() if process.group != group]
    signal_each(others, signal.SIGTERM)
    signal_each(others, signal.SIGCONT)


def kill_all() -> None:
    """Send SIGKILL to every descendant seen now; repeat it until none is left, since some may be forking."""
    signal_each((process.pid for process in descendants()), signal.SIGKILL)


def reap_orphans(but: int) -> None:
    """Reap ended children, but leave the child `but` to its own wait."""
    with contextlib.suppress(ChildProcessError):
        while True:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is None or ended.si_pid == but:
                return
            os.waitpid(ended.si_pid, 0)


def no_children_left() -> bool:
    """Reap what has ended. Returns whether no child remains."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return True
    return False


def end_leftovers(grace_s: float) -> int:
    """End what a finished command left behind: SIGTERM, `grace_s` later SIGKILL. Returns how many there were. Costs one
    system call when there is nothing."""
    if no_children_left():
        return 0
    left = [process.pid for process in descendants()]
    signal_each(left, signal.SIGTERM)
    signal_each(left, signal.SIGCONT)
    if not _wait_for_none(grace_s, lambda: None):
        _wait_for_none(KILL_LIMIT_S, kill_all)
    return len(left)


def _wait_for_none(limit_s: float, again: Callable[[], None]) -> bool:
    deadline = time.monotonic() + limit_s
    pause_s = 0.0005
    while time.monotonic() < deadline:
        again()
        time.sleep(pause_s)
        if no_children_left():
            return True
        pause_s = min(0.02, 2 * pause_s)
    return False


def kill_session(session: int) -> None:
    """Send SIGKILL to every process of a session until none is left; for a workload whose helper died."""
    deadline = time.monotonic() + KILL_LIMIT_S
    while time.monotonic() < deadline:
        pids = [p.pid for p in processes() if p.session == session and p.state not in "ZX"]
        if not pids:
            return
        signal_each(pids, signal.SIGKILL)
        time.sleep(0.005)
