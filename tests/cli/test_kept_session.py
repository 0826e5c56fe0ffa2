# SPDX-License-Identifier: MIT
"""What a session found is written whatever happens to its commands, its terminal or its output: the real program and
the real tuner as a process of their own, on a machine whose times are given."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from autotune import signals
from tests.support.command_line import ROOT

pytestmark = pytest.mark.slow

PROGRAM = """
import contextlib, os, sys, time
sys.path[:0] = [{root!r}]
from autotune import cli; from autotune.session.start import Engine
from autotune.machine import select
from autotune.records import AttachSpec
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
    machine = Machine({{"eevdf": 1.0, "at_fifo": 0.8}})
    try:
        yield machine
    finally:
        machine.close()

select.choose = choose
Engine.require = lambda *_: None
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
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.run(
        argv(*arguments), stdin=subprocess.DEVNULL, text=True, timeout=120, env=environ(**(env or {})), check=False,
        **options,
    )  # fmt: skip


def kept(*, whole: bool = True) -> dict[str, Any]:
    """The session as every file and the memory have it."""
    report: dict[str, Any] = json.loads(Path("r.json").read_text())
    assert (report["winner"] == "at_fifo") is whole
    assert len(report["trials"]) >= 4
    assert Path("r.md").read_text().count("|") > 10
    assert len(Path("r.csv").read_text().splitlines()) >= 2
    memory = sqlite3.connect(Path(os.environ["XDG_STATE_HOME"]) / "autotune" / "history.sqlite3")
    with contextlib.closing(memory):
        rows = memory.execute("SELECT winner, interrupted, failure FROM sessions").fetchall()
    assert rows == [(report["winner"], int(report["interrupted"]), report["failure"])]
    assert Path("given-back").exists()
    assert not [path for path in Path().iterdir() if path.name.endswith(".tmp") or path.name.startswith(".draft-")]
    return report


def wait_for(*names: str) -> None:
    deadline = time.monotonic() + 60
    while not all(Path(name).exists() for name in names):
        assert time.monotonic() < deadline
        time.sleep(0.01)


# --- commands that fail ---


def test_a_cleanup_that_fails_is_an_error_beside_a_whole_report() -> None:
    done = ended("--cleanup", "fail to clean")
    assert done.returncode == 1
    assert done.stderr == (
        "autotune: cleanup: the cleanup command failed: exit code 1. Try it by hand: fail to clean.\n"
    )
    assert "Use at_fifo" in done.stdout
    assert any("cleanup command failed" in warning for warning in kept()["warnings"])


def test_a_prepare_that_fails_late_is_told_and_all_runs_are_kept() -> None:
    done = ended("--prepare", "late", "--cleanup", "fail too")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("autotune: prepare: the prepare command failed: exit code 1")
    assert "cleanup" not in done.stderr
    assert "prepare command failed" in kept(whole=False)["failure"]


def test_a_workload_that_fails_at_once_still_ends_with_its_own_code() -> None:
    done = ended("--prepare", "fail", "--cleanup", "fail too")
    assert done.returncode == 3
    assert done.stderr.startswith("autotune: prepare: the prepare command failed")
    assert not Path("r.json").exists()


# --- output that nobody reads ---


@pytest.mark.parametrize("lines", [0, 1, 4])
def test_a_reader_that_leaves_costs_no_report(lines: int) -> None:
    shell = f'"$@" | head -n {lines}; exit "${{PIPESTATUS[0]}}"'
    whole = ["bash", "-c", shell, "sh", *argv()]
    done = subprocess.run(whole, capture_output=True, text=True, timeout=120, env=environ(PAUSE_S="0.02"), check=False)
    assert (done.returncode, done.stderr) == (1, "")
    assert len(done.stdout.splitlines()) == lines
    assert kept()["failure"] is None


def test_a_full_disk_below_standard_output_is_told_once() -> None:
    with open("/dev/full", "w") as full:
        done = ended(stdout=full)
    assert done.returncode == 1
    assert done.stderr == (
        "autotune: report: some of the output could not be printed: No space left on device. "
        "Write the report to a file with --json FILE.\n"
    )
    kept()


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed_from_the_start(closed: str) -> None:
    whole = ["bash", "-c", f'"$@" {closed}', "sh", *argv("--cleanup", "fine")]
    done = subprocess.run(whole, capture_output=True, text=True, timeout=120, env=environ(), check=False)
    assert (done.returncode, done.stderr) == (0, "")
    kept()


def test_errors_that_cannot_be_told_change_no_exit_code() -> None:
    with open("/dev/full", "w") as full:
        assert ended("--cleanup", "fail", stdout=full, stderr=full).returncode == 1
    kept()


def test_the_document_on_standard_output_is_what_counts_there() -> None:
    where = ["--json", "-"]
    with open("/dev/full", "w") as full:
        unwritten = ended(*where, stdout=full)
        unseen = ended(*where, stderr=full)
    assert unwritten.returncode == 1
    assert "autotune: report: --json - could not be written: No space left on device" in unwritten.stderr
    assert (unseen.returncode, json.loads(unseen.stdout)["winner"]) == (0, "at_fifo")


@pytest.mark.parametrize("event", ["RunFinished", "Finished"])
def test_a_view_with_a_bug_is_switched_off_and_said(event: str) -> None:
    done = ended(env={"BROKEN_VIEW": event})
    assert done.returncode == 1
    assert done.stderr.startswith("autotune: internal: some events could not be shown: KeyError")
    assert done.stderr.count("\n") == 1
    kept()


def test_a_report_that_cannot_be_written_keeps_nothing_else_from_being_written() -> None:
    done = ended("--export-csv", "/dev/full")
    assert done.returncode == 1
    assert "--export-csv /dev/full could not be written: No space left on device" in done.stderr
    Path("r.csv").write_text("1\n2\n")
    kept()


# --- terminals that go away, and signals ---


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


def test_a_terminal_that_is_closed_ends_the_session_with_what_is_known() -> None:
    assert at_terminal_until_it_goes(CONTROLLING, "--cleanup", "clean") == 130
    assert kept(whole=False)["interrupted"] is True


def test_a_terminal_that_goes_without_a_word_costs_nothing() -> None:
    """As for a session that nohup started: writing fails, and the signal is ignored."""
    assert at_terminal_until_it_goes(DEAF) == 1
    kept()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_during_cleanup_leaves_the_report_whole(number: signal.Signals) -> None:
    child = subprocess.Popen(
        argv("--cleanup", "slow"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environ(),
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # these tests may run under nohup
    )
    wait_for("cleaning")
    child.send_signal(number)
    _, said = child.communicate(timeout=60)
    assert child.returncode == 130
    assert said == "autotune: session: interrupted during cleanup. The report is complete.\n"
    assert kept()["interrupted"] is False


def test_ctrl_c_in_the_race_and_again_in_cleanup() -> None:
    child = subprocess.Popen(
        argv("--cleanup", "slow"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environ(PAUSE_S="0.05"),
        text=True,
    )
    wait_for("racing")
    child.send_signal(signal.SIGINT)
    wait_for("cleaning")
    time.sleep(signals.AGAIN_S)  # one that follows at once would be the same wish
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=60)
    assert child.returncode == 130
    assert said == "autotune: session: interrupted. The report holds what is known so far.\n"
    assert kept(whole=False)["interrupted"] is True


def test_root_that_is_refused_after_the_baseline_is_a_failure_and_all_runs_are_kept() -> None:
    done = ended(env={"REFUSED": "1"})
    assert done.returncode == 1
    assert "needs root, and sudo asks for a password" in done.stderr
    assert "Traceback" not in done.stderr
    report = kept(whole=False)
    assert "needs root, and sudo asks for a password" in report["failure"]
    assert report["baseline"] is not None
    assert not report["interrupted"]
