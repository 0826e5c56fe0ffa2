# SPDX-License-Identifier: MIT
"""Nothing that a scheduler's program forked outlives its holder: real processes of every shape, killed in every way."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from autotune.schedext.holding import fence as module
from autotune.schedext.holding import guard as guarding
from autotune.schedext.holding.fence import MARK, Fence, new_token
from tests.support.waiting import is_gone

ROOT = Path(__file__).resolve().parents[4]
HOLDER = """
import os, sys, time
sys.path.insert(0, {root!r})
from autotune.records import ProgramSpec
from autotune.schedext.holding import fence, program
if not {grouped}:
    fence.mounts = lambda: []
if {deaf}:
    program.INTERRUPT_S, program.TERMINATE_S = 1.0, 0.5
found = os.stat("/bin/sh")
spec = ProgramSpec(("/bin/sh", "-c", sys.argv[2]), found.st_size, found.st_mtime_ns)
running = program.RunningProgram(spec, sys.argv[1])
print(running.guard.pid, flush=True)
if sys.stdin.readline() == "abandon\\n":
    running.abandon()
    os._exit(0)
print(repr(running.stop()), flush=True)
sys.stdin.readline()
"""
"""Holds a program as the holder does, until it is told to stop it; arguments: the token, the program's script. One that
does not hear signals is not waited for as long."""

SLEEPER = "while :; do sleep 0.2; done"
DEAF = f"trap '' INT TERM HUP; {SLEEPER}"
SHAPES = {
    "direct": f"exec sh -c '{SLEEPER}'",
    "a script with a child": f"sh -c '{SLEEPER}'; true",
    "a script that waits for its child": f"sh -c '{SLEEPER}' & wait",
    "scripts in scripts": f"sh -c \"sh -c 'sleep 300; true'; true\"; {SLEEPER}",
    "another session": f"setsid sh -c '{SLEEPER}' & wait",
    "forked twice": f"(setsid sh -c '{SLEEPER}' &) ; {SLEEPER}",
    "another process group": f"set -m; sh -c '{SLEEPER}' & wait",
    "deaf": f"{DEAF}",
    "deaf, forked twice": f'(setsid sh -c "{DEAF}" &) ; {DEAF}',
    "gone, with a child left": f"(setsid sh -c '{SLEEPER}' &) ; sleep 0.2",
    "stopped": f"setsid sh -c 'kill -STOP $$; {SLEEPER}' & {SLEEPER}",
}


class Running:
    """A holder with its program, and what can be seen of them from outside."""

    def __init__(self, script: str, *, grouped: bool = True) -> None:
        self.token = new_token()
        code = HOLDER.format(root=str(ROOT), grouped=grouped, deaf=DEAF in script)
        self.holder = subprocess.Popen(
            [sys.executable, "-S", "-E", "-c", code, self.token, script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.holder.stdout is not None
        self.guard = int(self.holder.stdout.readline())

    def processes(self) -> list[int]:
        """By the mark, which is looked for here in a way of its own; and by the group."""
        found = []
        for place in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if f"{MARK}={self.token}".encode() in (place / "environ").read_bytes():
                    found.append(int(place.name))
        return found + [pid for group in self.groups() for pid in _members(group)]

    def groups(self) -> list[Path]:
        return list(module._find(f"{module.GROUP}{self.token}"))  # others make and remove groups meanwhile

    def stop(self) -> str:
        assert self.holder.stdin is not None
        assert self.holder.stdout is not None
        self.holder.stdin.write("\n")
        self.holder.stdin.flush()
        return self.holder.stdout.readline()


def _members(group: Path) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(line) for line in (group / "cgroup.procs").read_text().split()]
    return []


@pytest.fixture
def hold() -> Iterator[Callable[..., Running]]:
    made: list[Running] = []

    def start(script: str, *, grouped: bool = True, at_least: int = 1) -> Running:
        running = Running(script, grouped=grouped)
        made.append(running)
        wait_until(lambda: len(set(running.processes())) >= at_least, f"'{script}' runs")
        time.sleep(0.3)  # what it forks is there by now
        return running

    yield start
    for running in made:
        for pid in {running.guard, running.holder.pid, *running.processes()}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        running.holder.communicate()
        Fence(running.token).end()


def wait_until(wanted: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not wanted():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.02)


def nothing_is_left(running: Running) -> None:
    wait_until(lambda: not running.processes(), "its processes are gone")
    wait_until(lambda: not running.groups(), "its group is gone")
    wait_until(lambda: is_gone(running.guard), "its guard is gone")


GROUPED = pytest.mark.parametrize("grouped", [True, False], ids=["with a group", "by the mark alone"])


@GROUPED
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.slow
def test_everything_dies_with_a_holder_that_is_killed(hold: Callable[..., Running], shape: str, grouped: bool) -> None:
    running = hold(SHAPES[shape], grouped=grouped)
    running.holder.kill()
    nothing_is_left(running)


@GROUPED
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.slow
def test_nothing_is_left_of_one_that_is_stopped(hold: Callable[..., Running], shape: str, grouped: bool) -> None:
    running = hold(SHAPES[shape], grouped=grouped)
    running.stop()
    assert running.processes() == []
    assert running.groups() == []
    assert is_gone(running.guard)


@pytest.mark.parametrize("shape", ["a script with a child", "deaf, forked twice"])
def test_the_guard_has_another_name_than_its_holder(hold: Callable[..., Running], shape: str) -> None:
    """Whoever kills the holder by its command line leaves the guard."""
    running = hold(SHAPES[shape])
    subprocess.run(["pkill", "-9", "-f", running.token], check=False)
    assert running.holder.wait(60) == -signal.SIGKILL
    nothing_is_left(running)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
@pytest.mark.slow
def test_the_guard_stays_until_its_holder_is_gone(hold: Callable[..., Running], number: int) -> None:
    running = hold(SHAPES["another session"])
    os.kill(running.guard, number)
    time.sleep(0.2)
    assert not is_gone(running.guard)
    assert running.processes()
    running.holder.kill()
    nothing_is_left(running)


def test_a_guard_that_is_slow_to_start_guards_once_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody can end it by a signal, or take it for its holder, in between."""
    prepare = guarding._prepare

    def slowly(kept: tuple[int, int], name: str) -> None:
        time.sleep(0.5)
        prepare(kept, name)

    monkeypatch.setattr(guarding, "_prepare", slowly)
    guard = guarding.FenceGuard(Fence(new_token()))
    try:
        assert Path(f"/proc/{guard.pid}/cmdline").read_bytes().startswith(b"autotune-guard ")
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(guard.pid, number)
        time.sleep(0.1)
        assert not is_gone(guard.pid)
    finally:
        guard.dismiss()
    assert is_gone(guard.pid)


def test_a_guard_that_dies_at_once_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guarding, "_prepare", lambda _kept, _name: os._exit(1))
    with pytest.raises(OSError, match="ended at once"):
        guarding.FenceGuard(Fence(new_token()))


@pytest.mark.slow
def test_without_its_guard_a_program_is_stopped_all_the_same(hold: Callable[..., Running]) -> None:
    running = hold(SHAPES["deaf, forked twice"])
    os.kill(running.guard, signal.SIGKILL)
    assert "SIGKILL" in running.stop()
    nothing_is_left(running)


@GROUPED
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.slow
def test_the_token_is_enough_when_holder_and_guard_are_killed(
    hold: Callable[..., Running], shape: str, grouped: bool
) -> None:
    running = hold(SHAPES[shape], grouped=grouped)
    for pid in (running.guard, running.holder.pid):
        os.kill(pid, signal.SIGKILL)
    running.holder.wait()
    done = subprocess.run([sys.executable, "-S", "-E", "-I", module.__file__, running.token], check=False)
    assert done.returncode == 0
    nothing_is_left(running)


@GROUPED
@pytest.mark.parametrize("shape", ["a script with a child", "deaf, forked twice"])
@pytest.mark.slow
def test_a_holder_whose_client_is_gone_needs_no_guard(hold: Callable[..., Running], shape: str, grouped: bool) -> None:
    running = hold(SHAPES[shape], grouped=grouped)
    os.kill(running.guard, signal.SIGKILL)
    running.holder.communicate("abandon\n", timeout=60)
    nothing_is_left(running)


def test_one_fence_leaves_what_is_behind_another_alone(hold: Callable[..., Running]) -> None:
    first, second = hold(SHAPES["another session"]), hold(SHAPES["forked twice"])
    first.holder.kill()
    nothing_is_left(first)
    assert len(set(second.processes())) >= 2
    assert not is_gone(second.guard)


def test_a_program_that_makes_groups_of_its_own_is_ended_with_them(hold: Callable[..., Running]) -> None:
    if not module.mounts():
        pytest.skip("no control groups of version 2 here")
    mount = module.mounts()[0]
    inner = f"g={mount}$(grep ^0:: /proc/self/cgroup | cut -c4-)/inner; mkdir $g && echo $$ > $g/cgroup.procs"
    running = hold(f"{inner}; (setsid sh -c '{SLEEPER}' &); {SLEEPER}", at_least=2)
    assert any((group / "inner").is_dir() for group in running.groups())
    running.holder.kill()
    nothing_is_left(running)


@pytest.mark.parametrize("token", ["", "../../x", "0123456g", "a" * 65, "0123 4567"])
def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(ValueError, match="no token"):
        Fence(token)


def test_ending_a_fence_that_never_was_is_nothing() -> None:
    assert Fence(new_token()).end()
