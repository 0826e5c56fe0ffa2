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
import select
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
    started: int
    """Clock ticks after boot: tells a process from an earlier one with its number."""


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
    return Process(pid, fields[0].decode(), *(int(field) for field in (*fields[1:4], fields[19])))


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


def kill_group(group: int) -> None:
    """Send SIGKILL to a process group, if it still exists."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


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


class Kept:
    """Processes that setup or prepare left running, and what serves them. They are known by themselves, by their
    sessions and by their descent: a server starts others while a run is going."""

    def __init__(self) -> None:
        self._known: set[tuple[int, int]] = set()
        self._sessions: set[int] = set()
        self._drains: set[int] = set()

    def keep(self, streams: Iterable[int]) -> int:
        """Let all descendants run on, and drain what they write to the given pipes. Returns how many were not kept
        before. Costs one system call when there is nothing."""
        if no_children_left():
            return 0
        left = self.others()
        if left:
            self._known |= {(process.pid, process.started) for process in left}
            self._sessions |= {process.session for process in left}
            self._drains.add(drain(streams))
        return len(left)

    def others(self) -> list[Process]:
        """Return the descendants that are not kept."""
        found: list[Process] = []
        ours = {os.getsid(0)}  # our own session is nobody's mark
        kept = set(self._drains)
        for process in descendants():  # parents first
            known = (process.pid, process.started) in self._known
            if known or process.parent in kept or process.session in self._sessions - ours:
                kept.add(process.pid)
            elif process.pid not in kept:
                found.append(process)
        return found

    def forget(self) -> None:
        """Forget them: all have been ended."""
        self._known.clear()
        self._sessions.clear()
        self._drains.clear()


class Ended(NamedTuple):
    """What became of the processes that a finished command left: how many there were, kept ones not counted, and those
    that could not be ended."""

    left: int = 0
    still_running: tuple[int, ...] = ()


def end_leftovers(grace_s: float, kept: Kept | None = None) -> Ended:
    """End what a finished command left behind, with what was kept: SIGTERM, `grace_s` later SIGKILL. Costs one system
    call when there is nothing."""
    if no_children_left():
        return Ended()
    left = len((kept or Kept()).others())
    signals = [process.pid for process in descendants()]
    signal_each(signals, signal.SIGTERM)
    signal_each(signals, signal.SIGCONT)
    ended = _wait_for_none(grace_s, lambda: None) or _wait_for_none(KILL_LIMIT_S, kill_all)
    still = () if ended else tuple(process.pid for process in descendants())
    if kept is not None and ended:
        kept.forget()
    return Ended(left, still)


def end_others(grace_s: float, kept: Kept) -> Ended:
    """End what a finished command left behind, but nothing that is kept: SIGTERM, `grace_s` later SIGKILL."""

    def none_left() -> bool:
        return no_children_left() or not kept.others()

    def kill() -> None:
        signal_each((process.pid for process in kept.others()), signal.SIGKILL)

    if none_left():
        return Ended()
    signals = [process.pid for process in kept.others()]
    signal_each(signals, signal.SIGTERM)
    signal_each(signals, signal.SIGCONT)
    ended = _wait_for_none(grace_s, lambda: None, none_left) or _wait_for_none(KILL_LIMIT_S, kill, none_left)
    return Ended(len(signals), () if ended else tuple(process.pid for process in kept.others()))


def drain(streams: Iterable[int]) -> int:
    """Start a process that reads the pipes and drops what comes, until nobody can write to them any more: a server that
    prepare left must neither wait for a reader nor be ended by SIGPIPE. Returns its number. It ignores SIGTERM like its
    parent, and so reads until the last writer has ended."""
    pid = os.fork()
    if pid:
        return pid
    try:
        die_with_parent(signal.SIGKILL)
        _drop_all(set(streams))
    finally:
        os._exit(0)


def _drop_all(streams: set[int]) -> None:
    poller = select.poll()
    for fd in map(int, os.listdir("/proc/self/fd")):
        if fd not in streams:
            with contextlib.suppress(OSError):
                os.close(fd)
    for fd in streams:
        poller.register(fd, select.POLLIN)
    while streams:
        for fd, _ in poller.poll():
            if not os.read(fd, 1 << 16):
                poller.unregister(fd)
                streams.remove(fd)


def _wait_for_none(limit_s: float, again: Callable[[], None], none_left: Callable[[], bool] = no_children_left) -> bool:
    deadline = time.monotonic() + limit_s
    pause_s = 0.0005
    while time.monotonic() < deadline:
        again()
        time.sleep(pause_s)
        if none_left():
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
