# SPDX-License-Identifier: MIT
"""Starts a command as a shell would: finds its program, gives it the signals that it would have by hand, and a session
of its own. Standard library only; part of the measuring helper.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
from typing import Any, NamedTuple

from autotune.errors import AutotuneError

_SCHED_EXT = 7
_PYTHON_IGNORES = (signal.SIGPIPE, signal.SIGXFSZ)
IGNORED_HERE = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP)
"""Signals that the helper ignores: the end of its pipe ends it."""


class Signals(NamedTuple):
    """What a command inherits: the signals to reset, because the helper ignores them, and those that are blocked.
    What autotune was started with ignored (nohup, a background job of a script) stays so, as by hand."""

    to_default: frozenset[int] = frozenset()
    blocked: frozenset[int] = frozenset()

    @classmethod
    def inherited(cls) -> Signals:
        """Read those of this process, before it ignores any itself."""
        own = (one for one in IGNORED_HERE if signal.getsignal(one) != signal.SIG_IGN)
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        return cls(frozenset({*_PYTHON_IGNORES, *own}), frozenset(blocked))


def start_error(argv: list[str], error: OSError | ValueError) -> str:
    """Describe in one line why a command could not be started."""
    if not argv or not argv[0]:
        return "the command is empty"
    if isinstance(error, FileNotFoundError) and "/" not in argv[0]:
        return f"{argv[0]}: command not found"
    return f"{argv[0]}: {error.strerror if isinstance(error, OSError) else error}"


def find_program(argv: list[bytes], env: dict[bytes, bytes]) -> bytes:
    """Return the file to execute, searched in the command's own PATH, before the clock starts. Raises FileNotFoundError
    or PermissionError."""
    name = argv[0] if argv else b""
    if b"/" in name:
        return name
    failure = errno.ENOENT
    for directory in env.get(b"PATH", os.defpath.encode()).split(b":") if name else ():
        path = (directory or b".") + b"/" + name
        with contextlib.suppress(OSError):
            if os.stat(path).st_mode & 0o170000 == 0o100000:
                if os.access(path, os.X_OK):
                    return path
                failure = errno.EACCES
    raise OSError(failure, os.strerror(failure))


def wake_up(env: dict[bytes, bytes], actions: list[tuple[int, int, int]], signals: Signals) -> None:
    """Spawn a process that fails at its exec, 0.1 ms, just before the real one. Between two runs the CPUs fall idle,
    and the first process then reads some 30 us longer than one that follows another; so every run follows one."""
    with contextlib.suppress(OSError):
        os.posix_spawn(
            b"/dev/null/nothing", [b"nothing"], env, file_actions=actions, setsid=True, setsigdef=signals.to_default
        )


def spawn(
    path: bytes, argv: list[bytes], env: dict[bytes, bytes], actions: list[tuple[int, int, int]], signals: Signals
) -> int:
    """Start the program in a session of its own; a script without an interpreter line goes to the shell, as
    execvp(3) does it."""
    try:
        return os.posix_spawn(
            path,
            argv,
            env,
            file_actions=actions,
            setsid=True,
            setsigmask=signals.blocked,
            setsigdef=signals.to_default,
        )
    except OSError as error:
        if error.errno != errno.ENOEXEC or path == b"/bin/sh":
            raise
    return spawn(b"/bin/sh", [b"sh", path, *argv[1:]], env, actions, signals)


@contextlib.contextmanager
def scheduled_ext(wanted: bool) -> Any:
    """Run the block under SCHED_EXT, when wanted: a spawned process inherits the policy, and needs no privilege for it.
    Raises AutotuneError where the kernel has no such policy."""
    if not wanted:
        yield
        return
    before = os.sched_getscheduler(0)
    try:
        os.sched_setscheduler(0, _SCHED_EXT, os.sched_param(0))
    except OSError as error:
        raise AutotuneError(
            f"the command cannot be started under SCHED_EXT: {error.strerror}",
            hint="partial mode needs a kernel with sched_ext (Linux 6.14 or later)",
            stage="run",
        ) from error
    try:
        yield
    finally:
        os.sched_setscheduler(0, before, os.sched_param(0))
