# SPDX-License-Identifier: MIT
"""The command runs as it would run by hand: same descriptors, signals, limits and jobs; and what it leaves behind is
neither lost too early nor measured as done in silence. What differs is in docs/WORKLOADS.md.

That all is the same inside the micro-VM, or named, is shown in tests/vm/test_as_by_hand.py. What a run leaves behind is
ended and counted: tests/unit/measure/test_descendants.py.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

MEASURED = """
import os, sys
from autotune.measure.client import Runner
from autotune.records import RunSpec
with Runner() as runner:
    run = runner.run(RunSpec(tuple(sys.argv[1:]), os.getcwd(), dict(os.environ), timeout_s=60.0))
print(run.stdout.head, end="")
print(run.stderr.head, end="", file=sys.stderr)
sys.exit(run.start_error or run.exit_code)
"""
"""Measures the command given as arguments, as a session does, and shows its output."""

SURROUNDINGS = """
grep -E '^(Umask|SigBlk|NoNewPrivs|Cpus_allowed):' /proc/self/status; ulimit -a; nice
echo $(( 0x$(sed -n 's/^SigIgn:[^0-9a-f]*//p' /proc/self/status) & 0x7fffffff ))
"""
"""Signals 32 and 33 are the C library's own, which ignores them in all that posix_spawn(3) starts, as make does."""


def measured(*argv: str) -> list[str]:
    return [sys.executable, "-c", MEASURED, *argv]


def output(argv: list[str], cwd: Path, setup: Callable[[], None] | None = None, fds: tuple[int, ...] = ()) -> str:
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        argv, cwd=cwd, env=environ, preexec_fn=setup, pass_fds=fds, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


# --- what is inherited ---


def narrow() -> None:
    import resource

    os.umask(0o027)
    os.nice(3)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    for limit, value in ((resource.RLIMIT_NOFILE, 333), (resource.RLIMIT_CORE, 0), (resource.RLIMIT_STACK, 4 << 20)):
        resource.setrlimit(limit, (value, value))


def under_nohup() -> None:
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)


def with_signals_blocked() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2, signal.SIGTERM})


@pytest.mark.parametrize("setup", [None, narrow, under_nohup, with_signals_blocked])
def test_umask_limits_niceness_cpus_and_signals_are_those_that_autotune_was_started_with(
    tmp_path: Path, setup: Callable[[], None] | None
) -> None:
    asked = ["sh", "-c", SURROUNDINGS]
    assert output(measured(*asked), tmp_path, setup) == output(asked, tmp_path, setup)


def with_ended_children_ignored() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)


def test_a_run_is_measured_even_where_autotune_was_started_with_ended_children_ignored(tmp_path: Path) -> None:
    assert output(measured("echo", "ran"), tmp_path, with_ended_children_ignored) == "ran\n"


def test_descriptors_above_2_are_inherited_under_their_numbers_and_no_others(tmp_path: Path) -> None:
    def opened() -> None:
        os.dup2(os.open(tmp_path / "in", os.O_RDONLY), 7)
        os.dup2(os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 9)

    (tmp_path / "in").write_text("from 7\n")
    listed = ["sh", "-c", "ls /proc/self/fd; cat <&7; echo written >&9"]
    for argv in (listed, measured(*listed)):
        seen = output(argv, tmp_path, opened, fds=(7, 9))
        assert seen.split() == ["0", "1", "2", "3", "7", "9", "from", "7"]  # 3 is that of ls
        assert (tmp_path / "log").read_text() == "written\n"
        (tmp_path / "log").unlink()


# --- make's jobserver ---


SUB = """
all: one two three
one two three:
\t@touch $@; for i in $$(seq 400); do [ -e one -a -e two -a -e three ] && exit 0; sleep 0.05; done; exit 1
.PHONY: all one two three
"""
"""Its jobs end well only when all three run at the same time."""


def make(top: Path, recipe: str, *options: str) -> subprocess.CompletedProcess[str]:
    (top / "Makefile").write_text(f"all:\n\t{recipe}\n")
    (top / "sub.mk").write_text(SUB)
    (top / "measured.py").write_text(MEASURED)
    environ = {name: value for name, value in os.environ.items() if "MAKE" not in name and name != "MFLAGS"}
    environ["PYTHONPATH"] = str(ROOT)
    return subprocess.run(["make", *options], cwd=top, env=environ, capture_output=True, text=True, check=False)


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
@pytest.mark.slow
@pytest.mark.parametrize("inner", ["make -f sub.mk", "sh -c 'make -f sub.mk'", "sh -c 'exec 8>other; make -f sub.mk'"])
def test_a_make_under_make_shares_its_jobs(tmp_path: Path, inner: str) -> None:
    done = make(tmp_path, f"+{sys.executable} measured.py {inner}", "-j3")
    assert done.returncode == 0, done.stderr
    assert "jobserver" not in done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_the_token_of_the_jobserver_is_there_again_after_each_run(tmp_path: Path) -> None:
    """Two runs one after the other: the second would have fewer jobs if the first had kept any."""
    twice = f"{sys.executable} measured.py make -f sub.mk"
    done = make(tmp_path, f"+{twice} && rm -f one two three && {twice}", "-j3")
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_without_the_mark_in_the_recipe_it_is_what_it_is_by_hand(tmp_path: Path) -> None:
    """Make then keeps its jobserver to itself: its descriptors are closed, and no file of ours takes their place."""
    for command in ("sh -c 'ls /proc/self/fd'", f"{sys.executable} measured.py sh -c 'ls /proc/self/fd'"):
        done = make(tmp_path, f"@{command}", "-j3")
        assert done.stdout.split() == ["0", "1", "2", "3"], done.stderr
