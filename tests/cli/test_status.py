# SPDX-License-Identifier: MIT
"""`autotune status` as a user types it."""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path
from typing import Any

import pytest

from autotune.knowledge.store import Knowledge
from autotune.lease import standing
from autotune.lease.standing import HostScheduler
from tests.support import sessions
from tests.support.command_line import error_of, run


@pytest.fixture(autouse=True)
def _own_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("AUTOTUNE_SOCKET", str(tmp_path / "nobody"))
    monkeypatch.setenv("COLUMNS", "200")


def say(monkeypatch: pytest.MonkeyPatch, now: HostScheduler) -> str:
    monkeypatch.setattr(standing, "standing", lambda: now)
    done = run("status")
    assert done.exit_code == 0
    return " ".join(done.stdout.split())


@pytest.mark.parametrize(
    ("now", "text"),
    [
        (HostScheduler("unsupported"), "EEVDF: this kernel has no sched_ext, so nothing can be attached."),
        (HostScheduler("disabled"), "EEVDF: nothing is attached."),
        (HostScheduler("enabled", "x", by="x, by hand"), "Attached: x, by hand."),
    ],
)
def test_what_is_attached_is_a_sentence(monkeypatch: pytest.MonkeyPatch, now: HostScheduler, text: str) -> None:
    assert say(monkeypatch, now) == f"{text} No session of yours is running. No daemon is running."


def test_who_attached_it_and_when_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = HostScheduler("enabled", "at_fifo", "at_fifo:slice_us=5000", "at_fifo, by 'autotune apply' (process 7)", 7)
    since = time.time() - 7300
    shown = say(monkeypatch, HostScheduler(**{**vars(ours), "since": since, "partial": True}))
    assert shown.startswith("at_fifo:slice_us=5000 is attached: at_fifo, by 'autotune apply' (process 7), since 20")
    assert "(2 hours ago); only tasks that ask for it are scheduled by it." in shown


def test_sessions_that_are_running_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with Knowledge() as memory, contextlib.closing(memory.claim()) as claim:
        going = sessions.session(id="0a1b2c3d", started_at=time.time() - 130)
        memory.keep(going, None, claim)
        shown = say(monkeypatch, HostScheduler("disabled"))
        assert "Session 0a1b2c3d runs in a micro-VM: make -j8 in /home/me/project, begun 2 minutes ago, 2 runs" in shown
        found: Any = json.loads(run("status", "--json").stdout)
    assert (found["attached"]["state"], found["sessions"][0]["name"]) == ("disabled", "0a1b2c3d")
    assert "No session of yours is running." in say(monkeypatch, HostScheduler("disabled"))


def test_a_store_that_cannot_be_read_costs_a_line(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("no directory")
    done = run("status")
    assert done.exit_code == 0
    assert "history" in error_of(done)
