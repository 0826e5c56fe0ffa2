# SPDX-License-Identifier: MIT
"""Every command of the program, and a way to run them all in strange surroundings without starting Python each time.

A server imports the program once and forks for each run, so that a run costs what the command costs. The child gets
its directory, environment, limits and descriptors, and the streams that an interpreter would make of them at its start.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LONGEST_S = 120.0
"""So that a run that hangs fails on a busy machine too, and no earlier."""

COMMANDS: dict[str, tuple[str, ...]] = {
    "cc": ("cc", "--dry-run", "--machine", "vm", "--planner", "offline", "true"),
    "observe": ("observe", "--machine", "vm", "--", "no-such-program"),
    "prompt": ("prompt", "--metric", "x", "true"),
    "replay": ("replay", "no-such-file"),
    "doctor": ("doctor",),
    "schedulers": ("schedulers",),
    "schedulers list": ("schedulers", "list", "--json"),
    "schedulers show": ("schedulers", "show", "at_fifo"),
    "schedulers check": ("schedulers", "check", "at_fifo"),
    "schedulers install": ("schedulers", "install", "--list"),
    "schedulers verify": ("schedulers", "verify", "no-such.bpf.c"),
    "schedulers remove": ("schedulers", "remove", "no_such"),
    "schedulers search": ("schedulers", "search", "builds"),
    "schedulers diff": ("schedulers", "diff", "at_fifo", "at_vtime"),
    "schedulers export": ("schedulers", "export", "no_such"),
    "schedulers import": ("schedulers", "import", "no-such-file"),
    "vm": ("vm",),
    "vm setup": ("vm", "setup", "--help"),
    "vm status": ("vm", "status"),
    "export": ("export", "scx-loader"),
    "history": ("history",),
    "history list": ("history", "list", "--here"),
    "history show": ("history", "show", "--last"),
    "history compare": ("history", "compare", "0a1b2c3d", "0a1b2c3e"),
    "history search": ("history", "search", "make"),
    "history forget": ("history", "forget", "--here"),
    "history export": ("history", "export", "-"),
    "history import": ("history", "import", "no-such-file"),
    "best": ("best", "make -j8"),
    "recheck": ("recheck", "--dry-run"),
    "status": ("status",),
    "run": ("run", "--help"),
    "apply": ("apply", "at_fifo"),
    "stop": ("stop",),
    "submit": ("submit", "--apply", "true"),
    "cancel": ("cancel", "1"),
    "watch": ("watch", "1"),
    "daemon": ("daemon", "--help"),
    "mcp": ("mcp", "--print-config", "claude"),
    "mcp to its end": ("mcp",),
    "completion": ("completion", "bash"),
    "--help": ("--help",),
    "--version": ("--version",),
}
"""A harmless call of each."""


@dataclass(frozen=True)
class Ended:
    """How a run ended; `code` is negative for a signal."""

    code: int
    out: str
    err: str

    @property
    def fault(self) -> str:
        """What no user may see; empty when the run ended as it should."""
        if self.code < 0:
            return f"it hung, or died of signal {-self.code}: {self.err}"
        for words in ("Traceback", "bug in autotune", "autotune: internal"):
            if words in self.err or words in self.out:
                return self.err or self.out
        more = self.err.splitlines()[1:]  # a dry run names everything that is wrong, a line each
        if any(not line.startswith("autotune: ") for line in more) or self.code not in (0, 1, 2, 3, 4):
            return f"{self.code}: {self.err}"
        return ""


@dataclass(frozen=True)
class Surroundings:
    """Where a run happens. `env` adds to the server's; None unsets. `gone` removes the directory before the run."""

    cwd: str
    env: dict[str, str | None] = field(default_factory=dict)
    closed: tuple[int, ...] = ()
    limits: dict[int, int] = field(default_factory=dict)
    stdin: str = "/dev/null"
    stdout: str = ""
    """Where standard output goes; empty: what comes is returned."""
    gone: bool = False


def run(argv: Sequence[str], where: Surroundings) -> Ended:
    """Run the program in a child of the server. A test that ends all descendants of its own has ended that one too:
    another is started."""
    if _server().poll() is not None:
        _server.cache_clear()
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(json.dumps({"argv": list(argv), **vars(where)}) + "\n")
    server.stdin.flush()
    return Ended(**json.loads(server.stdout.readline()))


@functools.cache
def _server() -> subprocess.Popen[str]:
    environ = {name: text for name, text in os.environ.items() if not name.startswith(("AUTOTUNE_", "ANTHROPIC_"))}
    argv = [sys.executable, "-m", "tests.support.every_command"]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    return subprocess.Popen(argv, cwd=ROOT, env={**environ, "PYTHONPATH": str(ROOT)}, **pipes)


# --- the server ------------------------------------------------------------------------------------------


def serve() -> None:
    """Answer requests until standard input ends."""
    from autotune import __main__, cli  # noqa: F401 - before the forks
    from autotune.commands import requirements  # noqa: F401
    from autotune.mcp import serving, web  # noqa: F401
    from autotune.session import start  # noqa: F401

    for line in sys.stdin:
        print(json.dumps(_forked(json.loads(line))), flush=True)


def _forked(request: dict[str, Any]) -> dict[str, Any]:
    out, err = os.memfd_create("out"), os.memfd_create("err")
    child = os.fork()
    if child == 0:
        code = 125
        try:
            code = _program(request, out, err)
        finally:
            os._exit(code)
    status = _reaped(child)
    texts = {"out": _content(out), "err": _content(err)}
    return {"code": os.waitstatus_to_exitcode(status), **texts}


def _reaped(child: int) -> int:
    end = time.monotonic() + LONGEST_S
    while time.monotonic() < end:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return status
        time.sleep(0.01)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1]


def _content(fd: int) -> str:
    size = os.fstat(fd).st_size
    text = os.pread(fd, size, 0).decode("utf-8", "backslashreplace")
    os.close(fd)
    return text


def _program(request: dict[str, Any], out: int, err: int) -> int:
    """Make the surroundings and run the program in them. Returns its exit code."""
    from autotune import __main__

    os.setsid()
    for name, text in request["env"].items():
        os.environ.pop(name, None) if text is None else os.environ.__setitem__(name, text)
    os.chdir(request["cwd"])
    if request["gone"]:
        os.rmdir(request["cwd"])
    shown = os.open(request["stdout"], os.O_WRONLY) if request["stdout"] else out
    for fd, target in ((0, os.open(request["stdin"], os.O_RDONLY)), (1, shown), (2, err)):
        os.dup2(target, fd)
    os.closerange(3, 256)
    sys.stdin, sys.stdout, sys.stderr = io.TextIOWrapper(open(0, "rb")), *_writers()  # noqa: SIM115
    for fd in request["closed"]:
        os.close(fd)
        setattr(sys, ("stdin", "stdout", "stderr")[fd], None)
    for what, most in request["limits"].items():
        resource.setrlimit(int(what), (most, most))
    sys.argv = ["autotune", *request["argv"]]
    try:
        __main__.main()
    except SystemExit as ended:
        return _as_code(ended.code)
    finally:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    return 0


def _writers() -> Iterator[io.TextIOWrapper]:
    for fd in (1, 2):
        stream = open(fd, "wb", closefd=False)  # noqa: SIM115 - for as long as the process lives
        yield io.TextIOWrapper(stream, errors="backslashreplace", line_buffering=fd == 2)


def _as_code(code: object) -> int:
    return code if isinstance(code, int) else 0 if code is None else 1


if __name__ == "__main__":
    serve()
