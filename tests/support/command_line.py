# SPDX-License-Identifier: MIT
"""Runs the command line: in this process on a scripted machine and tuner, or at a real terminal."""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from typer.testing import CliRunner

from autotune import cli
from autotune.records import Session
from tests.support import sessions

ROOT = Path(__file__).parents[2]


def run(*arguments: str, stdin: str | None = None) -> Any:
    return CliRunner().invoke(cli.begun(arguments), list(arguments), input=stdin)


def error_of(result: Any) -> str:
    """The one line on standard error."""
    assert result.stderr.count("\n") == 1, result.stderr
    assert result.stderr.startswith("autotune: ")
    assert "Traceback" not in result.stderr
    return str(result.stderr.strip())


class Story:
    """Stands for machine and tuner: keeps what it was given, and ends as scripted."""

    def __init__(self) -> None:
        self.session: Session = sessions.session()
        self.choice: dict[str, Any] = {}
        self.workload: Any = None
        self.options: Any = None
        self.raises: BaseException | None = None
        self.machine_raises: BaseException | None = None
        self.given_back = False

    @contextlib.contextmanager
    def choose(self, kind: str, **choice: Any) -> Iterator[Any]:
        self.choice = {"kind": kind, **choice}
        if self.machine_raises is not None:
            raise self.machine_raises
        try:
            yield SimpleNamespace(info=sessions.machine(), headers=None)
        finally:
            self.given_back = True

    def tune(self, workload: Any, parts: Any, options: Any) -> Session:
        self.workload, self.options = workload, options
        if self.raises is not None:
            raise self.raises
        for event in sessions.session_events(self.session):
            parts.listener(event)
        return self.session


SESSION = """
import contextlib, sys, time
from types import SimpleNamespace
sys.path.insert(0, {root!r})
from autotune import cli, events; from autotune.session import tuner
from autotune.errors import Interrupted
from autotune.machine import select
from tests.support import sessions as builders

@contextlib.contextmanager
def choose(kind, **choice):
    try:
        yield SimpleNamespace(info=builders.machine(), headers=None)
    finally:
        open("given-back", "w").close()

def tune(workload, parts, options):
    machine, listener = parts.machine, parts.listener
    interrupted = False
    try:
        listener(events.MachineReady(machine.info, workload))
        if options.approve is not None:
            chosen = options.approve(builders.FIFO, builders.Proposal(builders.FIFO, "a test"), editable=True)
            listener(events.Warned("chosen: " + (chosen.key if chosen else "none")))
            options.approve(builders.VTIME, builders.Proposal(builders.VTIME, "a test"), editable=True)
        listener(events.RunStarted("baseline", 1, "eevdf"))
        while True:
            time.sleep(0.05)  # a signal that comes just before a sleep is heeded only after it
    except (KeyboardInterrupt, Interrupted):
        interrupted = True
    done = builders.session(interrupted=interrupted, workload=workload)
    listener(events.Finished(done))
    return done

select.choose, tuner.tune = choose, tune
cli.main()
"""


def at_terminal(*arguments: str, answers: bytes = b"", until: bytes) -> tuple[int, bytes]:
    """Run a session at a terminal of its own; type the answers once something is asked."""
    master, slave = pty.openpty()
    environ = {**os.environ, "TERM": "xterm-256color"}
    argv = [sys.executable, "-c", SESSION.format(root=str(ROOT)), *arguments]
    child = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave, env=environ, start_new_session=True)
    os.close(slave)
    seen, end = b"", time.monotonic() + 120
    with contextlib.suppress(OSError):  # the other side of the terminal is gone
        while time.monotonic() < end:
            seen += os.read(master, 4096)
            if answers and until in seen:
                os.write(master, answers)
                answers = b""
    code = child.wait(60)
    os.close(master)
    return code, seen
