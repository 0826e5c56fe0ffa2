# SPDX-License-Identifier: MIT
"""A scheduler that is a program of its own: started, its output drained and bounded, stopped without leftovers.

What always holds here:
- the program and all that it forked die with the holder, however that dies, and the scheduler goes with them: the
  kernel ends the program itself, the guard ends what is behind the fence;
- it has a session and a process group of its own; signals go only to that group and to what it left behind;
- its output is read the whole time and kept as head and tail within a bound: a full pipe stops no scheduler.
Part of the holder: runs as root, standard library only.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable

from autotune.errors import AttachError
from autotune.measure import descendants
from autotune.measure.capture import KeptOutput
from autotune.records import Output, ProgramSpec
from autotune.schedext.holding.fence import Fence, new_token
from autotune.schedext.holding.guard import FenceGuard

KEEP_BYTES = 65536
"""Bytes kept of both streams together; the dump of an ejected scheduler has 32 KiB by default."""
INTERRUPT_S = 6.0
"""How long SIGINT may take: the main loops of scx schedulers look for it once a second, and emulation is slow."""
TERMINATE_S = 2.0
KILL_S = 5.0
DRAIN_S = 1.0
_PR_SET_CHILD_SUBREAPER = 36
"""<linux/prctl.h>"""
_libc = ctypes.CDLL(None, use_errno=True)


class RunningProgram:
    """A program, started by construction. Raises AttachError when it cannot be started, or is not the checked file.
    `token` names its fence; whoever knows it can end all that the program forked."""

    def __init__(self, spec: ProgramSpec, token: str | None = None) -> None:
        self.name = os.path.basename(spec.argv[0])
        self._kept = KeptOutput(KEEP_BYTES)
        self._keeping = threading.Lock()
        self._over = False
        """Whether nothing of it is left."""
        _check_identity(spec)
        _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # orphaned descendants become our children and are found
        self._fence = Fence(token or new_token())
        self._fence.make()
        self.guard = _guarded(self._fence, self.name)
        try:
            self._process = _start(spec, self._fence)
        except BaseException:
            self._fence.end()
            self.guard.dismiss()
            raise
        self._drain = threading.Thread(target=self._read, daemon=True)
        self._drain.start()

    # --- output ---

    def _read(self) -> None:
        assert self._process.stdout is not None
        fd = self._process.stdout.fileno()
        with contextlib.suppress(OSError, ValueError):
            while chunk := os.read(fd, 1 << 16):
                with self._keeping:
                    self._kept.add(chunk)

    def output(self) -> Output:
        """Return head and tail of both streams, interleaved as they came; of a program that ended, up to its last
        words."""
        if self.ended():
            self._drain.join(DRAIN_S)  # the reader may be late, and a child left behind keeps them open
        with self._keeping:
            return Output(**self._kept.output())

    def text(self) -> str:
        """Return the output as one text."""
        output = self.output()
        between = f"\n[{output.omitted_bytes} bytes left out]\n" if output.omitted_bytes else ""
        return f"{output.head}{between}{output.tail}"

    # --- state ---

    def ended(self) -> bool:
        return self._process.poll() is not None

    def ending(self) -> str:
        """Describe how its process ended, as a sentence; empty while it runs."""
        code = self._process.poll()
        if code is None:
            return ""
        return f"it was ended by {signal.Signals(-code).name}" if code < 0 else f"it ended with exit code {code}"

    def strays(self) -> int:
        """Count its processes that still run although it ended: it forked away."""
        return len(self.pids()) if self.ended() else 0

    def pids(self) -> list[int]:
        """Return its process and all that it forked."""
        return [process.pid for process in descendants.descendants() if process.pid != self.guard.pid]

    # --- the end ---

    def stop(self) -> str:
        """End it with all that it forked: SIGINT, then SIGTERM, then SIGKILL. Returns a note when SIGINT was not
        enough, else an empty text. Never raises."""
        note = ""
        for number, limit_s in ((signal.SIGINT, INTERRUPT_S), (signal.SIGTERM, TERMINATE_S), (signal.SIGKILL, KILL_S)):
            if self.ended():
                break
            if number != signal.SIGINT:
                note = f"it did not stop on SIGINT, and was sent {signal.Signals(number).name}"
            self._signal(number)
            self._wait(limit_s)
        self._end_strays()
        self._drain.join(DRAIN_S)
        if self._process.stdout is not None and not self._drain.is_alive():
            self._process.stdout.close()
        return note

    def abandon(self) -> None:
        """End it with all that it forked at once; no client is left. The guard ends what survives that."""
        self._fence.end()

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def _wait(self, limit_s: float) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(limit_s)

    def _end_strays(self) -> None:
        """End what it forked: SIGTERM first, then SIGKILL."""
        if self._over:
            return
        if self.ended() and (left := self.pids()):
            descendants.signal_each(left, signal.SIGTERM)
            self._reap_until(time.monotonic() + TERMINATE_S, lambda: None)
        self._reap_until(time.monotonic() + KILL_S, lambda: descendants.signal_each(self.pids(), signal.SIGKILL))
        if self.ended() and self._fence.end():
            self._over = True
            self.guard.dismiss()  # it stays while there is something left to end
        descendants.reap_orphans(self._process.pid)

    def _reap_until(self, deadline: float, again: Callable[[], None]) -> None:
        """Reap until nothing is left below us, or the deadline passes."""
        while self.ended() and self.pids() and time.monotonic() < deadline:
            again()
            descendants.reap_orphans(self._process.pid)
            time.sleep(0.005)


def _guarded(fence: Fence, name: str) -> FenceGuard:
    try:
        return FenceGuard(fence)
    except OSError as error:
        raise AttachError(f"{name} is not started, since nobody could guard it: {error.strerror}") from error


def _check_identity(spec: ProgramSpec) -> None:
    path = spec.argv[0]
    try:
        found = os.stat(path)
    except OSError as error:
        raise AttachError(f"{path}: {error.strerror}", hint="install it again") from error
    if (found.st_size, found.st_mtime_ns) != (spec.size_bytes, spec.mtime_ns):
        raise AttachError(f"{path} is another file than when its options were read", hint="run again")


def _start(spec: ProgramSpec, fence: Fence) -> subprocess.Popen[bytes]:
    parent = os.getpid()
    try:
        with fence.door() as enter:

            def prepare() -> None:
                enter()
                _die_with(parent)

            return _popen(spec, fence, prepare)
    except (OSError, subprocess.SubprocessError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise AttachError(f"{spec.argv[0]} cannot be started: {why}", hint="install it again") from error


def _popen(spec: ProgramSpec, fence: Fence, prepare: Callable[[], None]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        list(spec.argv),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd="/",
        env={**_ENVIRONMENT, **fence.environment()},
        start_new_session=True,
        preexec_fn=prepare,
        bufsize=0,
    )


_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "NO_COLOR": "1", "RUST_BACKTRACE": "0"}
"""Nothing of the user's, since a scheduler runs as root: no colours, no backtraces."""


def _die_with(parent: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # the holder ignores it, and that would be inherited
    descendants.die_with_parent(signal.SIGKILL)
    if os.getppid() != parent:  # it died before that request took effect
        os._exit(1)
