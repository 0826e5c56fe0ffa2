# SPDX-License-Identifier: MIT
"""The real program against a local service: its planner, client, socket and session are real; only the machine's times
are given."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from tests.support import warm_program
from tests.support.command_line import ROOT
from tests.support.messages_server import Script, Step

KEY = "sk-live-" + "a1B2c3D4e5F6g7H8" * 3
"""Of no form that the redaction knows."""
BOOTED = "booted"
"""A file in the directory, once a machine was started."""
PROGRAM = f"""
import contextlib, sys
sys.path.insert(0, {str(ROOT)!r})
from tests.support.planning_room import TIMES, attach_spec
from tests.support.scripted_machine import ScriptedMachine
from autotune import cli; from autotune.session.start import Engine
from autotune.machine import select
from autotune.planner import remote
from autotune.records import GuideSpec, ProbeSpec
from autotune.session import preflight
from autotune.tools import reasons
from autotune.schedext.programs.binaries import Places

@contextlib.contextmanager
def choose(kind, **choice):
    open({BOOTED!r}, "w").close()
    yield ScriptedMachine(dict(TIMES))

select.choose, reasons.here = choose, Places
select.describe = lambda *_args, **_choice: "a test"
Engine.resolver = lambda *_given: attach_spec
Engine.probe = lambda *_given: ProbeSpec("tasks.o", "0" * 64)
Engine.guide = lambda *given: GuideSpec("guide.o", "0" * 64, given[-1])
Engine.busy = lambda *_given: None
remote.PAUSE_S = 0.05  # between tries: tests/unit/planner/claude/test_service.py
preflight.CHECKS = ()  # the home directory is an empty one, without a kernel
cli.main()
"""


@dataclass
class Ended:
    code: int
    out: str
    err: str
    kept: str
    """All that the program wrote into files."""

    @property
    def all(self) -> str:
        return self.out + self.err + self.kept


class Program:
    """Starts the program, with a key and the address of the service in its environment."""

    def __init__(self, script: Script, place: Path) -> None:
        self.script, self.place = script, place
        self.cwd = place / "work"
        self.cwd.mkdir(exist_ok=True)
        self.environ = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
        self.environ |= {"HOME": str(place), "ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": script.url}
        script.key = KEY

    @property
    def booted(self) -> bool:
        """Whether the last run started a machine."""
        return (self.cwd / BOOTED).exists()

    def run(self, *steps: Step, arguments: tuple[str, ...] = (), budget: str = "10m", **environ: str) -> Ended:
        self.script.steps[:] = steps
        (self.cwd / BOOTED).unlink(missing_ok=True)
        argv = ("cc", "make", "--budget", budget, *arguments, "--json", str(self.place / "report.json"))
        done = warm_program.run(PROGRAM, *argv, cwd=self.cwd, env={**self.environ, **environ})
        files = [path for path in self.place.rglob("*") if path.is_file() and path.name != ".env"]
        kept = "".join(path.read_bytes().decode(errors="replace") for path in files)
        return Ended(done.returncode, done.stdout.decode(), done.stderr.decode(), kept)
