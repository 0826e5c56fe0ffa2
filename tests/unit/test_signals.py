# SPDX-License-Identifier: MIT
"""What one Ctrl-C does, and the next: in programs of their own, since the handler is a whole program's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import os, signal, sys, time
from autotune import signals

def ctrl_c(times=1):
    for _ in range(times):
        os.kill(os.getpid(), signal.SIGINT)

def outside(*_):
    print("outside", flush=True)
    os._exit(130)

signal.signal(signal.SIGINT, outside)
with signals.program():
    print("begun")
{body}
print("after")
"""


def run(body: str) -> tuple[int, list[str], str]:
    indented = "\n".join(f"    {line}" for line in body.strip().splitlines())
    argv = [sys.executable, "-c", PROGRAM.replace("{body}", indented)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=ROOT, timeout=120)
    return done.returncode, done.stdout.split(), done.stderr


def test_before_a_command_it_does_what_it_did() -> None:
    assert run("sys.stdout.flush(); ctrl_c(3)") == (130, ["begun", "outside"], "")


COMMAND = """
try:
    with signals.interruptible():
        try:
            ctrl_c()
        finally:
            for _ in range(20):
                ctrl_c()
                time.sleep(0.01)
            print("cleaned")
except KeyboardInterrupt:
    ctrl_c(5)
    print("caught")
"""


def test_inside_a_command_it_raises_once_however_often_the_key_repeats() -> None:
    assert run(COMMAND) == (0, ["begun", "cleaned", "caught", "after"], "")


def test_after_a_while_it_raises_again() -> None:
    again = COMMAND.replace("for _ in range(20):", "while True:").replace("ctrl_c()\n                time", "time")
    again = again.replace(
        "            while", "            signals.AGAIN_S = 0.05; time.sleep(0.1); ctrl_c()\n            while"
    )
    assert run(again) == (0, ["begun", "caught", "after"], "")


def test_once_all_is_done_it_changes_nothing() -> None:
    late = (
        "class Late:\n    def __del__(self):\n        ctrl_c(3)\nimport atexit\natexit.register(ctrl_c)\nlate = Late()"
    )
    assert run(late) == (0, ["begun", "after"], "")


def test_one_that_python_could_only_print_is_raised_again() -> None:
    """In a finalizer nobody can catch it."""
    body = """
class Last:
    def __del__(self):
        ctrl_c()
try:
    with signals.interruptible():
        Last()
        while True:
            time.sleep(0.01)
except KeyboardInterrupt:
    print("caught")
"""
    assert run(body) == (0, ["begun", "caught", "after"], "")


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_the_end_of_a_terminal_or_a_service_counts_as_one(name: str) -> None:
    body = f"""
try:
    with signals.interruptible(), signals.as_interrupts():
        try:
            os.kill(os.getpid(), signal.{name})
        finally:
            ctrl_c(3)
            os.kill(os.getpid(), signal.{name})
            print("cleaned")
except KeyboardInterrupt:
    print("caught")
"""
    before = f"signal.signal(signal.{name}, signal.SIG_DFL)\n"
    assert run(before + body) == (0, ["begun", "cleaned", "caught", "after"], "")


def test_other_faults_of_finalizers_are_shown_as_ever() -> None:
    code, out, err = run("class Last:\n    def __del__(self):\n        raise ValueError('x')\nLast()")
    assert (code, out, "ValueError: x" in err) == (0, ["begun", "after"], True)


WRAPPED = """
import os, signal, time
from autotune import errors, signals
with signals.program(), signals.interruptible():
    bug, ours = ValueError("built badly: KeyboardInterrupt"), errors.UsageError("a mistake")
    print(signals.is_interruption(bug), signals.is_interruption(ours), signals.is_interruption(KeyboardInterrupt()))
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(10)
    except KeyboardInterrupt: pass
    print(signals.is_interruption(bug), signals.is_interruption(ours), signals.is_interruption(KeyboardInterrupt()))
"""


def test_what_would_be_a_bug_is_an_interruption_after_ctrl_c_and_a_mistake_of_the_user_is_not() -> None:
    done = subprocess.run([sys.executable, "-c", WRAPPED], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["False False True", "True False True"]
