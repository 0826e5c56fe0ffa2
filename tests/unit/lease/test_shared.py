# SPDX-License-Identifier: MIT
"""One scheduler for all runs of a user: the last one detaches it, whoever is killed; only the scheduler is played."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autotune.lease import sharing
from autotune.lease.sharing import NoShare, Share
from tests.support import shared_keeper
from tests.support.run_specs import wait_until
from tests.support.waiting import is_gone

ROOT = Path(__file__).resolve().parents[3]
NEVER = os.pipe()[0]
"""A descriptor that never has anything to say: a run that is not over."""


class Runs:
    """The runs of one user, and what their keepers noted."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.log = top / "log"
        self.place = sharing.directory(str(top))
        self.shares: list[Share] = []

    def join(self, spec: str = "at_fifo", over: int = NEVER) -> Share:
        share = Share(spec, runtime=str(self.top), keeper=shared_keeper.argv(self.log))
        self.shares.append(share)
        share.settle(over)
        return share

    def events(self) -> list[str]:
        return [line.split()[1] for line in self.lines()]

    def lines(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []

    def keeper(self) -> int:
        return int(self.lines()[-1].split()[0])

    def come_to(self, *events: str) -> bool:
        return wait_until(lambda: self.events() == list(events), 20.0)

    def close(self) -> None:
        for share in self.shares:
            share.close()
        if self.lines():
            wait_until(lambda: is_gone(self.keeper()), 20.0)


@contextlib.contextmanager
def runs_in(top: Path) -> Iterator[Runs]:
    runs = Runs(top)
    try:
        yield runs
    finally:
        runs.close()


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Runs]:
    with runs_in(tmp_path) as one:
        yield one


def test_two_share_what_one_attached_and_the_last_one_detaches(runs: Runs) -> None:
    first, second = runs.join(), runs.join()
    assert (first.ops, second.ops) == ("at_fifo", "at_fifo")
    assert second.waited_s < 0.01
    first.close()
    time.sleep(0.3)
    assert runs.events() == ["attached"]
    second.close()
    assert runs.come_to("attached", "detached")


def test_another_scheduler_is_refused_while_one_is_attached(runs: Runs) -> None:
    first = runs.join()
    with pytest.raises(NoShare, match="at_fifo is attached for another command of this user"):
        runs.join("at_vtime")
    first.close()
    assert runs.come_to("attached", "detached")
    assert runs.join("at_vtime").ops == "at_vtime"


def test_what_cannot_be_attached_is_refused_with_the_reason_and_not_tried_again_at_once(runs: Runs) -> None:
    with pytest.raises(NoShare, match="the verifier refuses it"):
        runs.join("bad")
    assert wait_until(lambda: not os.path.exists(runs.place + "/" + sharing.SOCKET), 20.0)
    with pytest.raises(NoShare, match="the verifier refuses it"):
        Share("bad", runtime=str(runs.top), keeper=["/nobody/starts/this"])
    assert runs.join("at_fifo").ops == "at_fifo", "another one may do"


KILLED = """
import os, sys
from autotune.lease.sharing import Share
share = Share("at_fifo", runtime=sys.argv[1], keeper=sys.argv[2:])
share.settle(os.pipe()[0])
print(share.ops, flush=True)
os.read(0, 1)
"""


def another(runs: Runs) -> subprocess.Popen[str]:
    """A run in a process of its own, once it has its share."""
    argv = [sys.executable, "-c", KILLED, str(runs.top), *shared_keeper.argv(runs.log)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    child = subprocess.Popen(argv, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "at_fifo\n"
    return child


def test_a_run_that_is_killed_gives_up_its_share(runs: Runs) -> None:
    first, second = another(runs), another(runs)
    first.kill()
    first.wait()
    time.sleep(0.3)
    assert runs.events() == ["attached"]
    second.kill()
    second.wait()
    assert runs.come_to("attached", "detached")


def test_a_keeper_that_is_killed_is_noticed_and_the_next_run_starts_another(runs: Runs) -> None:
    first = runs.join()
    os.kill(runs.keeper(), signal.SIGKILL)
    assert not first.look(NEVER, 5.0)
    assert first.lost == "the process that kept it attached is gone"
    second = runs.join()
    assert second.ops == "at_fifo"
    first.close()
    second.close()
    assert runs.come_to("attached", "attached", "detached")


def test_runs_hear_that_it_was_lost_and_why(runs: Runs) -> None:
    first, second = runs.join(), runs.join()
    Path(f"{runs.log}.lose").write_text("runnable task stall")
    for share in (first, second):
        until_s = time.monotonic() + 10.0
        while share.lost is None and time.monotonic() < until_s:
            share.look(NEVER, 0.1)
        assert share.lost == "runnable task stall"
    Path(f"{runs.log}.lose").unlink()
    with pytest.raises(NoShare, match="it was detached a moment ago: runnable task stall"):
        runs.join()


def test_a_run_that_is_over_before_it_is_attached_leaves_nothing_behind(runs: Runs) -> None:
    over, end = os.pipe()
    os.write(end, b"over")
    share = runs.join("slow", over)
    assert share.ops is None
    share.close()
    assert wait_until(lambda: not os.path.exists(runs.place + "/" + sharing.SOCKET), 20.0)
    assert runs.events() in ([], ["attached", "detached"])


def test_many_that_begin_at_once_have_one_keeper(runs: Runs) -> None:
    children = [
        subprocess.Popen(
            [sys.executable, "-c", KILLED, str(runs.top), *shared_keeper.argv(runs.log)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(6)
    ]
    assert [child.stdout.readline() for child in children if child.stdout is not None] == ["at_fifo\n"] * 6
    assert runs.events() == ["attached"]
    for child in children:
        child.communicate("x")
    assert runs.come_to("attached", "detached")


def test_nonsense_is_sent_away_and_harms_nobody(runs: Runs) -> None:
    share = runs.join()
    for text in (b"garbage\n", b"[1]\n", b"{" * 100_000, b'{"spec": 3}\n', b""):
        with socket.socket(socket.AF_UNIX) as visitor, contextlib.suppress(OSError):
            visitor.connect(os.path.join(runs.place, sharing.SOCKET))
            visitor.sendall(text)
    assert not share.look(NEVER, 1.0)
    assert share.lost is None
    assert runs.join().ops == "at_fifo"


STEPS: dict[str, Callable[[Runs], object]] = {
    "join": lambda runs: runs.join(),
    "leave": lambda runs: runs.shares[0].close() if runs.shares else None,
    "kill": lambda runs: os.kill(runs.keeper(), signal.SIGKILL) if runs.lines() else None,
}


@pytest.mark.slow
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.sampled_from(["join", "join", "leave", "leave", "kill"]), min_size=2, max_size=8))
def test_it_is_attached_exactly_while_a_run_has_a_share(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    """Whatever they do one after another: never twice at once, and not at all without one."""
    with runs_in(tmp_path_factory.mktemp("runs")) as runs:
        for step in steps:
            if step == "join":
                runs.join()
            elif step == "leave" and runs.shares:
                runs.shares.pop(0).close()
                if not runs.shares:
                    assert wait_until(lambda: not os.path.exists(f"{runs.place}/{sharing.SOCKET}"), 20.0)
            elif step == "kill" and runs.shares and not is_gone(runs.keeper()):
                keeper = runs.keeper()
                with contextlib.suppress(ProcessLookupError):
                    os.kill(keeper, signal.SIGKILL)
                with open(runs.log, "a") as file:
                    file.write(f"{keeper} detached by-the-kernel\n")
                for share in runs.shares:
                    share.close()
                runs.shares.clear()
            events = runs.events()
            assert events == ["attached", "detached"] * (len(events) // 2) + ["attached"] * bool(runs.shares)
