# SPDX-License-Identifier: MIT
"""The real program and the real tuner as a process of their own, on a machine whose times are given."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.support import warm_program
from tests.support.command_line import ROOT

PROGRAM = """
import contextlib, json, os, sys, time
sys.path[:0] = [{root!r}]
from autotune import cli; from autotune.session.start import Engine
from autotune.machine import select
from autotune.session import preflight
from autotune.records import AttachSpec, GuideSpec, ProbeSpec
from autotune.errors import PrivilegeError
from tests.support.scripted_machine import ScriptedMachine, a_run

PAUSE_S = float(os.environ.get("PAUSE_S", "0"))

class Machine(ScriptedMachine):
    def run(self, spec, on_output=None):
        command = spec.argv[-1]
        if command.startswith("late") and self.log.count(command) == 8:
            command = "fail " + command
        if command.startswith("slow"):
            open("cleaning", "w").close()
            while True:
                time.sleep(0.05)  # a signal that comes just before a sleep is heeded only after it
        super().run(spec)
        self.log[-1] = spec.argv[-1]
        return a_run(0.0, 1 if "fail" in command else 0)

    def measure(self, spec, ops, on_output=None):
        if len(self.log) >= 12:
            open("racing", "w").close()
        time.sleep(PAUSE_S)
        return super().measure(spec, ops, on_output)

    def attach(self, spec):
        if os.environ.get("REFUSED"):
            raise PrivilegeError("switching schedulers needs root, and sudo asks for a password", hint="use sudo")
        return super().attach(spec)

    def close(self):
        super().close()
        open("given-back", "w").close()

@contextlib.contextmanager
def choose(kind, **choice):
    machine = Machine(json.loads(os.environ.get("TIMES", '{{"eevdf": 1.0, "at_fifo": 0.8}}')))
    try:
        yield machine
    finally:
        machine.close()

select.choose = choose
if os.environ.get("MARK"):
    from autotune.session.recorder import Recorder
    hear = Recorder.__call__
    def marking(self, event):
        hear(self, event)
        if type(event).__name__ == "RunFinished" and event.trial.round == 3 and event.trial.phase == os.environ["MARK"]:
            open("in-" + event.trial.phase, "w").close()
    Recorder.__call__ = marking
Engine.require = lambda *_: None
Engine.probe = lambda *_: ProbeSpec("tasks.o", "0" * 64)
Engine.guide = lambda *given: GuideSpec("guide.o", "0" * 64, given[-1])
Engine.busy = lambda *_: None
preflight.CHECKS = ()  # its commands are names for what the scripted machine does
Engine.resolver = lambda *_: lambda candidate: AttachSpec(candidate.scheduler, "x.o")
if os.environ.get("BROKEN_VIEW"):
    from autotune.views.plain import PlainView
    real = PlainView.__call__
    def broken(self, event):
        if type(event).__name__ == os.environ["BROKEN_VIEW"]:
            raise KeyError("a bug of the view")
        real(self, event)
    PlainView.__call__ = broken
cli.main()
"""


def argv(*arguments: str) -> list[str]:
    written = ("--json", "r.json", "--export-markdown", "r.md", "--export-csv", "r.csv")
    program = PROGRAM.format(root=str(ROOT))
    return [sys.executable, "-c", program, "cc", "--scheduler", "at_fifo", *written, *arguments, "make"]


def environ(**more: str) -> dict[str, str]:
    return {**os.environ, "TERM": "xterm-256color", **more}


def ended(*arguments: str, env: dict[str, str] | None = None, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run it to its end; it is a process of a start of its own where its streams are special ones."""
    if not options:
        done = warm_program.run(*argv(*arguments)[2:], env=environ(**(env or {})), timeout_s=120)
        return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.run(
        argv(*arguments), stdin=subprocess.DEVNULL, text=True, timeout=120, env=environ(**(env or {})), check=False,
        **options,
    )  # fmt: skip


def wait_for(*names: str) -> None:
    deadline = time.monotonic() + 60
    while not all(Path(name).exists() for name in names):
        assert time.monotonic() < deadline
        time.sleep(0.01)


CONTROLLING = """
import fcntl, os, signal, sys, termios
signal.signal(signal.SIGHUP, signal.SIG_DFL)
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
DEAF = """
import os, signal, sys
signal.signal(signal.SIGHUP, signal.SIG_IGN)
os.execv(sys.argv[1], sys.argv[1:])
"""


def at_terminal_until_it_goes(starter: str, *arguments: str) -> int:
    """A session at a terminal that is read until the race is on, and closed then; the exit code."""
    master, slave = pty.openpty()
    whole = [sys.executable, "-c", starter, *argv(*arguments)]
    child = subprocess.Popen(whole, stdin=slave, stdout=slave, stderr=slave, env=environ(PAUSE_S="0.1"))
    os.close(slave)
    try:
        while not Path("racing").exists():  # the view draws twice a second, so that this does not hang
            assert os.read(master, 4096)
        child.send_signal(0 if starter is CONTROLLING else signal.SIGHUP)
        os.close(master)
        return child.wait(60)
    finally:
        child.kill()
        child.wait()
