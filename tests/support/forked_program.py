# SPDX-License-Identifier: MIT
"""`python -m autotune` without a start of Python: a fork of one that has imported it.

For what runs inside an emulated micro-VM, where that start takes ten to twenty seconds, nearly all of it for imports.
Arguments, directory, environment, standard streams, session and signals are the child's own, as they are of a program
that is started. Its command line is that of the script that forked it. What happens during the start itself is in
tests/faults/test_interrupted.py, and the true start inside a micro-VM in tests/vm/test_host_mode.py.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import importlib
import os
import runpy
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

LEAST_OTHER_FD = 3
IMPORTED = (
    "autotune.cli",
    "autotune.commands.apply",
    "autotune.commands.cc",
    "autotune.lease.handover",
    "autotune.planner.assembly",
    "autotune.session.keeping",
    "autotune.session.start",
)
"""What most commands import; they import the rest themselves."""
_PR_SET_DUMPABLE = 4
"""<linux/prctl.h>"""


def start(
    *arguments: str,
    env: Mapping[str, str] | None = None,
    first: Callable[[], None] = lambda: None,
    **how: Any,
) -> subprocess.Popen[Any]:
    """Start the program; `how` is passed to Popen, and `first` is called in the child."""
    prepare()
    environ = dict(os.environ if env is None else env)

    def begin() -> None:
        first()
        execute(arguments, environ)

    return subprocess.Popen([sys.executable, "-m", "autotune", *arguments], preexec_fn=begin, **how)


def run(*arguments: str, timeout_s: float | None = None, **how: Any) -> subprocess.CompletedProcess[Any]:
    """Run the program to its end with nothing to read, and bring back what it wrote."""
    child = start(*arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **how)
    try:
        out, err = child.communicate(timeout=timeout_s)
    except BaseException:
        child.kill()
        child.wait()
        raise
    return subprocess.CompletedProcess(child.args, child.returncode, out, err)


@functools.cache
def prepare() -> None:
    """Import what the program does, once."""
    for name in IMPORTED:
        importlib.import_module(name)


def become(uid: int, gid: int, groups: Sequence[int]) -> None:
    """Be somebody else, in a child that has just been forked. Its /proc entries are its own, as after an exec."""
    os.setgroups(groups)
    os.setgid(gid)
    os.setuid(uid)
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)


def execute(arguments: Sequence[str], env: Mapping[str, str]) -> None:
    """Become autotune with these arguments, in a child that has just been forked. Never returns."""
    os.closerange(LEAST_OTHER_FD, os.sysconf("SC_OPEN_MAX"))  # also what Popen waits for until a child's exec
    be(["autotune", *arguments], env, _main)


def _main() -> None:
    runpy.run_module("autotune", run_name="__main__", alter_sys=True)


def be(argv: Sequence[str], environ: Mapping[str, str], main: Callable[[], object]) -> None:
    """Become the program, in a child that has just been forked. Never returns."""
    code = 1
    try:
        os.environ.clear()
        os.environ.update(environ)
        sys.argv[:] = argv
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # as Python does when it starts
        _open_streams()
        code = _code_of(main)
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _open_streams() -> None:
    """Those of the parent remember what that file was: a terminal, a pipe."""
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout = os.fdopen(1, "w", buffering=1 if os.isatty(1) else -1, closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, errors="backslashreplace", closefd=False)


def _code_of(main: Callable[[], object]) -> int:
    """Call the program and return its exit code, as Python understands SystemExit."""
    try:
        main()
    except SystemExit as left:
        if left.code is None or isinstance(left.code, int):
            return left.code or 0
        print(left.code, file=sys.stderr)
        return 1
    return 0
