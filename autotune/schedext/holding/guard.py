# SPDX-License-Identifier: MIT
"""The guard: a small process beside the holder that ends a program with all that it forked once the holder dies.

It lives on a pipe from the holder: end of file without a message before means that the holder is dead. Then it ends
everything behind the fence and checks that the kernel detached the scheduler; if not, it has the kernel eject it.

It is forked, not started, so it is ready at once. It has a name of its own, so that killing the holder by name spares
it. Runs as root, standard library only.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import signal
from typing import NoReturn

from autotune.schedext.holding.fence import Fence
from autotune.schedext.kernel import eject, wait_for

GONE_S = 2.0
"""How long a scheduler may stay attached after its processes ended before the guard has the kernel eject it."""
_DISMISSED = b"."
_READY = b"!"
_PR_SET_NAME = 15
"""<linux/prctl.h>"""
_libc = ctypes.CDLL(None, use_errno=True)


class FenceGuard:
    """The guard of one fence. Construction starts it and waits until it guards. Raises OSError when it cannot be
    started."""

    def __init__(self, fence: Fence) -> None:
        reading, self._pipe = os.pipe2(os.O_CLOEXEC)
        ready, report = os.pipe2(os.O_CLOEXEC)
        holder, self.pid = os.getpid(), -1
        try:
            self.pid = os.fork()
            if self.pid == 0:
                _be_guard(fence, reading, report, holder)
            os.close(report)
            report = -1
            if os.read(ready, 1) != _READY:  # until then a signal ends it, and it has the holder's name
                raise OSError(errno.ECHILD, "it ended at once")
        except OSError:
            self._give_up()
            raise
        finally:
            for fd in (reading, ready, report):
                if fd >= 0:
                    os.close(fd)

    def _give_up(self) -> None:
        pipe, self._pipe = self._pipe, -1
        os.close(pipe)
        if self.pid > 0:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self.pid, 0)

    def watch(self, ops: str, enable_seq: int) -> None:
        """Name the scheduler that the program attached, so that it is not confused with another one."""
        with contextlib.suppress(OSError):
            os.write(self._pipe, f"{enable_seq} {ops}\n".encode())

    def dismiss(self) -> None:
        """End the guard: nothing is left to guard. May be called again."""
        pipe, self._pipe = self._pipe, -1
        if pipe < 0:
            return
        with contextlib.suppress(OSError):
            os.write(pipe, _DISMISSED)
        os.close(pipe)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)


def _be_guard(fence: Fence, pipe: int, report: int, holder: int) -> NoReturn:
    try:
        _prepare((pipe, report), f"autotune-guard {holder}")
        os.write(report, _READY)
        os.close(report)
        received = b""
        while chunk := _read(pipe):
            received += chunk
        if not received.endswith(_DISMISSED):
            fence.end()
            _insist(received)
    finally:
        os._exit(0)


def _prepare(kept: tuple[int, int], name: str) -> None:
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)  # only the end of the holder ends it
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    low, high = sorted(kept)
    for start, end in ((3, low), (low + 1, high), (high + 1, 1 << 16)):
        os.closerange(start, end)  # above all the holder's answers: its client must see their end
    with contextlib.suppress(OSError):  # so that the scheduler it is to end cannot starve it
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("-1000")
    with contextlib.suppress(OSError, ValueError, IndexError):
        _rename(name.encode())


def _read(pipe: int) -> bytes:
    try:
        return os.read(pipe, 4096)
    except OSError:
        return b""


def _insist(received: bytes) -> None:
    """Make the kernel eject the scheduler that the program attached, if it is still attached."""
    last = received.decode(errors="replace").splitlines()[-1:]
    seq, _, ops = (last or ["0 "])[0].partition(" ")
    if not ops:
        return
    gone, state = wait_for(lambda seen: seen.ops != ops or seen.enable_seq != int(seq), GONE_S)
    if not gone and state.state == "enabled":
        eject(ops)


def _rename(name: bytes) -> None:
    """Overwrite the holder's command line, which this process inherited."""
    _libc.prctl(_PR_SET_NAME, name[:15], 0, 0, 0)
    with open("/proc/self/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    start, end = int(fields[45]), int(fields[46])  # arg_start and arg_end, see proc(5)
    if 0 < start < end:
        ctypes.memset(start, 0, end - start)
        ctypes.memmove(start, name, min(len(name), end - start - 1))
