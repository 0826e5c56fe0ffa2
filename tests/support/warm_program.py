# SPDX-License-Identifier: MIT
"""A program's text run to its end without a start of Python: in a fork of a process that has imported autotune and the
client of the service, whose import alone takes seconds of CPU time.

That process is started once, with nothing of the test in it, and what a program changes is gone with its fork.
Arguments, directory, environment and standard streams are the program's own. True starts of the same text are in
tests/contract/test_light_start.py, tests/cli/test_kept_session.py and tests/vm/test_claude_session.py.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support import forked_program

ROOT = Path(__file__).parents[2]
IMPORTED = (
    *forked_program.IMPORTED,
    "autotune.planner.claude.conversation",
    "autotune.planner.claude.service",
    "tests.support.planning_room",
    "tests.support.scripted_machine",
)
MOST_BYTES = 1 << 17
"""Of a request: text, arguments and environment."""


def run(
    text: str, *arguments: str, env: Mapping[str, str], cwd: str | Path = ".", timeout_s: float = 900.0
) -> subprocess.CompletedProcess[bytes]:
    """Run the text as `python -c` does, with nothing to read, and bring back what it wrote. Raises TimeoutExpired."""
    pipes = [os.pipe() for _ in range(3)]
    readers = [_Reader(reading) for reading, _ in pipes[:2]]
    asked = {"text": text, "arguments": arguments, "env": dict(env), "cwd": os.path.abspath(cwd)}
    try:
        _send(json.dumps(asked).encode(), [writing for _, writing in pipes])
    finally:
        for _, writing in pipes:
            os.close(writing)
    with os.fdopen(pipes[2][0]) as heard:
        pid = int(heard.readline())
        if not select.select([heard], [], [], timeout_s)[0]:
            os.kill(pid, signal.SIGKILL)
            raise subprocess.TimeoutExpired(["autotune", *arguments], timeout_s)
        code = os.waitstatus_to_exitcode(int(heard.readline()))
    return subprocess.CompletedProcess(["autotune", *arguments], code, *(reader.read() for reader in readers))


def _send(request: bytes, fds: list[int]) -> None:
    """Send a request to the process that forks. A test that ends all descendants of its own has ended that one too:
    another is started."""
    try:
        socket.send_fds(_helper(), [request], fds)
    except (BrokenPipeError, ConnectionResetError):
        _helper.cache_clear()
        socket.send_fds(_helper(), [request], fds)


class _Reader(threading.Thread):
    """Reads a pipe to its end, beside whatever else is waited for."""

    def __init__(self, reading: int) -> None:
        super().__init__(daemon=True)
        self._reading = reading
        self._read = b""
        self.start()

    def run(self) -> None:
        with os.fdopen(self._reading, "rb") as file:
            self._read = file.read()

    def read(self) -> bytes:
        self.join()
        return self._read


@functools.cache
def _helper() -> socket.socket:
    """Start the process that forks, which ends when this one does."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * MOST_BYTES)
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    argv = [sys.executable, "-m", __name__, str(theirs.fileno())]
    subprocess.Popen(
        argv, cwd=ROOT, env={**kept, "PYTHONPATH": str(ROOT)}, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()]
    )
    theirs.close()
    return ours


# --- the process that forks ---


def main() -> None:
    for name in IMPORTED:
        importlib.import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who wait
    asking = socket.socket(fileno=int(sys.argv[1]))
    while True:
        asked, fds, _, _ = socket.recv_fds(asking, MOST_BYTES, 3)
        if not asked:
            return
        if os.fork() == 0:
            asking.close()  # or nobody would notice that the process that forks is gone, as long as this one lives
            _wait_for_one(json.loads(asked), fds)
        for fd in fds:
            os.close(fd)


def _wait_for_one(asked: dict[str, Any], fds: list[int]) -> None:
    """Fork the program, and tell its number and how it ended. Never returns."""
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        pid = os.fork()
        if pid == 0:
            _be(asked, fds)
        for fd in fds[:2]:
            os.close(fd)
        os.write(fds[2], b"%d\n" % pid)
        os.write(fds[2], b"%d\n" % os.waitpid(pid, 0)[1])
    finally:
        os._exit(0)


def _be(asked: dict[str, Any], fds: list[int]) -> None:
    os.dup2(fds[0], 1)
    os.dup2(fds[1], 2)
    os.closerange(forked_program.LEAST_OTHER_FD, os.sysconf("SC_OPEN_MAX"))
    os.chdir(asked["cwd"])
    forked_program.be(["-c", *asked["arguments"]], asked["env"], lambda: _execute(asked["text"]))


def _execute(text: str) -> None:
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    exec(compile(text, "<string>", "exec"), module.__dict__)


if __name__ == "__main__":
    main()
