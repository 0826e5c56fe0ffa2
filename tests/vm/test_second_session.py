# SPDX-License-Identifier: MIT
"""In a real kernel: a second session on a command reaches the verdict of the first with at most half of its runs.

What the command reports follows from the scheduler that the kernel has attached meanwhile, so that the winner is
certain and a run takes no time; all else is as ever: schedulers are built, attached, confirmed and detached.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from autotune.config import Settings
from autotune.events import Event, Proposed
from autotune.knowledge.archive import History
from autotune.knowledge.store import Knowledge
from autotune.machine.base import Machine
from autotune.machine.vm.resilient import ResilientVM
from autotune.records import Session, Workload
from autotune.schedext.programs.binaries import Places
from autotune.session import start, tuner
from autotune.session.request import SessionRequest

pytestmark = [pytest.mark.vm, pytest.mark.slow]

REPORTS = (
    "case $(cat /sys/kernel/sched_ext/root/ops 2>/dev/null) in "
    "at_vtime*) base=800;; '') base=1000;; *) base=1100;; esac; "
    "echo score=$((base + $(date +%N | tail -c 2) % 10))"
)


class Shared(start.Engine):
    """Runs sessions in a micro-VM that is there."""

    def __init__(self, vm: ResilientVM) -> None:
        self._vm = vm

    @contextlib.contextmanager
    def machine(self, *_given: Any) -> Iterator[Machine]:
        yield self._vm


def run(vm: ResilientVM, cwd: Path, seed: int) -> tuple[Session, list[list[str]]]:
    """Run one session, as `cc` would without a key; return it with the sets that were proposed."""
    env = {"PATH": "/usr/bin:/bin"}
    work = Workload(REPORTS, ("sh", "-c", REPORTS), str(cwd), metric_regex=r"score=(\d+)", env=env)
    settings = Settings(machine="vm", planner="offline", budget=900.0, seed=seed, observe=False)
    heard: list[Event] = []
    session = start.run(SessionRequest(work, settings), heard.append, Shared(vm))
    return session, [[one.candidate.key for one in event.proposals] for event in heard if isinstance(event, Proposed)]


def test_the_second_session_checks_what_the_first_found(
    vm: ResilientVM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autotune.tools.reasons.here", Places)  # programs, where there are any, take longer to attach
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(tuner, "MAX_SETS", 1)  # a first session with all four is four times as long
    first, _ = run(vm, tmp_path, 1)
    second, sets = run(vm, tmp_path, 2)
    print(f"first session: {len(first.trials)} runs, second: {len(second.trials)} runs")
    assert first.winner is not None
    assert first.winner.startswith("at_vtime")
    assert second.winner == first.winner
    assert sets == [[first.winner]]
    assert len(second.trials) <= len(first.trials) / 2
    won = next(one for one in second.results if one.candidate.key == second.winner)
    assert won.attached is not None
    assert won.attached.kind == "bpf"
    with Knowledge() as knowledge:
        kept = History(knowledge).newest()
    assert [one.measured_runs for one in kept] == [len(second.trials), len(first.trials)]
