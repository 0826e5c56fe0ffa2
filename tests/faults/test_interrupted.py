# SPDX-License-Identifier: MIT
"""Ctrl-C at any moment of a start, once or often: one line, exit code 130, nothing left.

A session that is interrupted later keeps what it measured: tests/cli/test_kept_session.py. The rules by which one
Ctrl-C is told from the next are in tests/unit/test_signals.py, and a first start that is interrupted while it sets up
is in test_first_start.py.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from tests.support.run_specs import wait_until
from tests.support.waiting import group_is_gone

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
LINE = "autotune: session: interrupted.\n"


# --- while modules are loaded ----------------------------------------------------------------------------


INTERRUPTED = """
import os, signal, sys

class Interrupt:
    def find_spec(self, name, *_rest):
        if name == {module!r}:
            for _ in range({times}):
                os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupt())
sys.argv = ["autotune", "schedulers"]
from autotune.__main__ import main
main()
"""


def start(module: str, times: int, **more: object) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-c", INTERRUPTED.format(module=module, times=times)]
    return subprocess.run(argv, capture_output=True, text=True, check=False, **more)  # type: ignore[call-overload, no-any-return]


@pytest.mark.parametrize("module", ["autotune.cli", "typer", "autotune.commands.arguments", "autotune.commands.cc"])
@pytest.mark.parametrize("times", [1, 5])
def test_it_ends_with_one_line_and_130(module: str, times: int) -> None:
    done = start(module, times)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", LINE)


def test_a_start_with_interrupts_ignored_goes_on_ignoring_them() -> None:
    """A shell starts what it puts into the background so."""
    done = start("typer", 1, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
    assert (done.returncode, done.stderr) == (0, "")


# --- the installed command, at any moment ----------------------------------------------------------------


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The command as pip installs it, beside a Python that waits while there is a file `wait`."""
    command = tmp_path / "bin/autotune"
    command.parent.mkdir()
    shutil.copy(ROOT / "scripts/launcher", command)
    python = command.with_name("python")
    python.write_text(f"""#!/bin/bash
        # not sh, which may unblock signals
        if [ -e {tmp_path}/wait ]; then
            : > {tmp_path}/python-starts
            while [ -e {tmp_path}/wait ]; do sleep 0.05; done
        fi
        exec {sys.executable} "$@"
        """)
    python.chmod(0o755)
    return command


def begin(command: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [str(command), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "TMPDIR": str(command.parent),
            "XDG_CACHE_HOME": str(command.parent),
        },
    )


def press(child: subprocess.Popen[str], times: int, apart_s: float = 0.01) -> None:
    """Press Ctrl-C at the terminal of a process: all of its group get it."""
    for _ in range(times):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGINT)
        time.sleep(apart_s)


@pytest.mark.parametrize("times", [1, 2, 20])
@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["cc", "--dry-run", "true"], ["schedulers", "list"]])
def test_while_python_itself_starts(installed: Path, arguments: list[str], times: int) -> None:
    """No code of ours runs yet, and Python would print a traceback."""
    wait, starts = installed.parents[1] / "wait", installed.parents[1] / "python-starts"
    wait.touch()
    child = begin(installed, *arguments)
    while not starts.exists():
        time.sleep(0.01)
    press(child, times)
    wait.unlink()
    out, err = child.communicate(timeout=120)
    assert (child.returncode, out, err) == (130, "", LINE)


MOMENTS = 10
COMMANDS = {
    "cc": ["cc", "--dry-run", "true"],
    "doctor": ["doctor"],
    "help": ["--help"],
    "list": ["schedulers", "list"],
    "mcp": ["mcp"],
}


@pytest.mark.parametrize("arguments", COMMANDS.values(), ids=list(COMMANDS))
def test_at_many_moments_of_a_start(installed: Path, arguments: list[str]) -> None:
    """The moments cover a whole start, however busy the machine. Only before the first line of ours runs may the signal
    itself end the process, silently; and one that comes after the end changes nothing."""
    for _ in range(2):  # the first one also fills caches
        began = time.monotonic()
        untouched = begin(installed, *arguments)
        untouched.communicate(timeout=120)
        whole_s = time.monotonic() - began
    codes = []
    for moment in range(MOMENTS):
        child = begin(installed, *arguments)
        time.sleep(whole_s * moment / MOMENTS)
        press(child, (1, 2, 20)[moment % 3])
        _out, err = child.communicate(timeout=120)
        codes.append(child.returncode)
        assert "Traceback" not in err, err
        assert "KeyboardInterrupt" not in err, err
        assert (child.returncode, err.endswith(LINE)) == (130, True) or (
            child.returncode in (untouched.returncode, -signal.SIGINT) and LINE not in err
        ), (moment, child.returncode, err)
        # A program that was just killed may take a moment to end; one that was left lives for longer.
        assert wait_until(partial(group_is_gone, child.pid), 5.0)
    assert codes.count(130) > MOMENTS / 4, codes
    left = {path.name for path in installed.parent.iterdir()} - {"autotune", "python"}
    assert not {name for name in left if name.startswith(("autotune-", "tmp"))}
    assert not list(installed.parent.glob("**/.draft-*"))


WRAPPED = """
import os, signal, time, typer
from autotune import cli
@cli.app.command("wrapping")
def _wrapping():
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(10)
    except KeyboardInterrupt as error:
        raise {kind}(f"building a model failed: {{error!r}}") from None
cli.main()
"""


@pytest.mark.parametrize("kind", ["ValueError", "ImportError", "RuntimeError"])
def test_a_ctrl_c_that_a_library_made_an_error_of_its_own_of_is_an_interruption(kind: str) -> None:
    """As pydantic's core does while it builds a model."""
    argv = [sys.executable, "-c", WRAPPED.format(kind=kind), "wrapping"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60, cwd=ROOT)
    assert (done.returncode, done.stderr) == (130, LINE)


def test_a_bug_is_a_bug_where_nobody_pressed_ctrl_c() -> None:
    code = WRAPPED.format(kind="ValueError").replace("os.kill(os.getpid(), signal.SIGINT)", "raise KeyboardInterrupt")
    argv = [sys.executable, "-c", code, "wrapping"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60, cwd=ROOT)
    assert done.returncode == 1
    assert "This is a bug in autotune" in done.stderr


BOTH = """
import os, signal, sys, time
from autotune import cli, signals
class Interrupted:
    def __del__(self): os.kill(os.getpid(), signal.SIGINT); time.sleep(0.1)
class Fails:
    def __del__(self): raise ValueError(f"it says {os.environ['ANTHROPIC_API_KEY']}")
def app():
    with signals.interruptible():
        Fails()
        Interrupted()
        while True: time.sleep(0.01)
cli.begun = lambda words: app
try: cli.main()
except KeyboardInterrupt: print("interrupted")
"""


def test_a_ctrl_c_that_python_could_only_print_ends_the_program_and_what_it_prints_is_redacted() -> None:
    """Both want the same hook of Python's."""
    secret = "of-no-form-that-is-known"
    environ = {**os.environ, "ANTHROPIC_API_KEY": secret}
    done = subprocess.run(
        [sys.executable, "-c", BOTH], env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "interrupted\n"
    assert "it says [redacted: variable]" in done.stderr
    assert secret not in done.stderr
