# SPDX-License-Identifier: MIT
"""What schedulers said is kept, the newest of each, and named where it explains a failure."""

from __future__ import annotations

from pathlib import Path

import pytest

from autotune.events import AttachFailed, Detached, Event, Warned
from autotune.records import Detachment, KernelState, Output, SchedulerExit
from autotune.views.logs import SchedulerLogs, directory, file_name

STATE = KernelState("disabled", None, 1, 0, None)


def detached(kind: int, reason: str) -> Detached:
    log = Output("the head", "the tail", 100, 84)
    return Detached("scx_lavd:slice=1", Detachment(STATE, 0.1, SchedulerExit(kind, 0, reason, ""), log))


def test_a_log_is_kept_with_head_tail_and_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    heard: list[Event] = []
    SchedulerLogs(heard.append)(detached(64, "unregistered from user space"))
    text = (directory() / "scx_lavd.log").read_text()
    assert text.splitlines()[0].endswith(": unregistered from user space")
    assert text.endswith("the head\n[84 bytes left out]\nthe tail")
    assert heard == [], "all went well: nobody needs to read it"


def test_where_the_log_of_a_failure_is_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    heard: list[Event] = []
    logs = SchedulerLogs(heard.append)
    logs(detached(1026, "runnable task stall"))
    logs(AttachFailed("scx_x", "ended", "Error: \x1b[31mred\x1b[0m"))
    assert [isinstance(one, Warned) for one in heard] == [True, True]
    assert (directory() / "scx_x.log").read_text().endswith("Error: red")


def test_a_log_that_cannot_be_kept_costs_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    heard: list[Event] = []
    SchedulerLogs(heard.append)(AttachFailed("scx_x", "ended", "why"))
    assert heard == []


def test_a_candidate_cannot_name_a_path() -> None:
    assert file_name("../../etc/passwd:x=1") == "-etc-passwd"
