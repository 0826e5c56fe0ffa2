# SPDX-License-Identifier: MIT
"""Starting and ending a program as the holder does: real processes; no scheduler is needed for it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from autotune.errors import AttachError
from autotune.measure.capture import KeptOutput
from autotune.records import ProgramSpec
from autotune.schedext.holding import program as program_module
from tests.support.run_specs import wait_until
from tests.support.waiting import is_gone

ROOT = Path(__file__).resolve().parents[4]
HOLD = """
import os, sys, time
sys.path.insert(0, {root!r})
from autotune.records import ProgramSpec
from autotune.schedext.holding.program import RunningProgram
found = os.stat(sys.argv[1])
program = RunningProgram(ProgramSpec(tuple(sys.argv[1:]), found.st_size, found.st_mtime_ns))
time.sleep({pause})
print(repr(program.stop()), program.ended(), repr(program.text()), repr(program.ending()), flush=True)
{after}
"""


def hold(*argv: str, pause: float = 0.5, after: str = "") -> subprocess.Popen[str]:
    """A process that holds a program for a moment, as the holder would; a process of its own, since what a program
    leaves behind becomes its child."""
    code = HOLD.format(root=str(ROOT), pause=pause, after=after)
    return subprocess.Popen([sys.executable, "-c", code, *argv], stdout=subprocess.PIPE, text=True)


def stopped(*argv: str, pause: float = 0.5) -> str:
    return hold(*argv, pause=pause).communicate(timeout=120)[0]


def test_it_is_asked_by_sigint_first() -> None:
    said = stopped("/bin/sh", "-c", 'trap "echo asked; exit 0" INT; while :; do sleep 0.05; done')
    assert said == "'' True 'asked\\n' 'it ended with exit code 0'\n"


@pytest.mark.slow
def test_its_group_alone_hears_of_it_and_nothing_of_it_is_left() -> None:
    said = stopped("/bin/sh", "-c", "setsid sleep 987654 & sleep 987654 & wait")
    assert "it was ended by SIGINT" in said
    assert subprocess.run(["pgrep", "-f", "sleep 98765[4]"], capture_output=True, check=False).returncode == 1


@pytest.mark.slow
def test_both_streams_are_kept_as_they_came() -> None:
    assert "'one\\ntwo\\nthree\\n'" in stopped("/bin/sh", "-c", "echo one; echo two >&2; echo three")


def test_what_it_said_last_is_known_once_it_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when the thread that reads it comes late: why it was not attached is told from it."""

    class Late(KeptOutput):
        def add(self, data: bytes) -> None:
            time.sleep(0.3)
            super().add(data)

    monkeypatch.setattr(program_module, "KeptOutput", Late)
    found = os.stat("/bin/sh")
    argv = ("/bin/sh", "-c", "echo no luck; exit 1")
    program = program_module.RunningProgram(ProgramSpec(argv, found.st_size, found.st_mtime_ns))
    try:
        while not program.ended():
            time.sleep(0.005)
        assert program.text() == "no luck\n"
    finally:
        program.stop()


@pytest.mark.slow
def test_it_dies_with_whoever_holds_it() -> None:
    process = hold("/bin/sh", "-c", "echo $$; trap '' INT TERM; while :; do sleep 0.05; done", pause=60)
    child = child_of(process.pid)
    process.kill()
    process.communicate(timeout=60)
    assert wait_until(lambda: is_gone(child), 5.0)


@pytest.mark.parametrize("path", ["/nonexistent/scx_x", "/etc/hostname"])
def test_what_cannot_be_started_is_said(path: str) -> None:
    from autotune.schedext.holding.program import RunningProgram

    found = os.stat(path) if os.path.exists(path) else os.stat("/")
    with pytest.raises(AttachError, match=r"No such file|cannot be started: (Permission denied|Exec format error)"):
        RunningProgram(ProgramSpec((path,), found.st_size, found.st_mtime_ns))


def child_of(parent: int) -> int:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        asked = ["pgrep", "-x", "sh", "-P", str(parent)]  # its guard is a child too
        found = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.split()
        if found:
            return int(found[0])
        time.sleep(0.02)
    raise AssertionError("it was not started")
