# SPDX-License-Identifier: MIT
"""What is attached now, by whom, and since when."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest

from autotune.lease import applied, others, standing
from autotune.lease.applied import Applied
from autotune.lease.other import Other
from autotune.records import KernelState
from autotune.schedext import kernel

ATTACHED = KernelState("enabled", "at_fifo", 3, 0, True)


def hand(pid: int | None) -> Other:
    return Other("at_fifo", pid, ("/opt/scx_x", "-v"), "hand", None, None, ())


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A host whose kernel says what it is told to."""

    def is_so(state: KernelState, other: Other | None, ours: Applied | None = None) -> None:
        monkeypatch.setattr(kernel, "read_state", lambda: state)
        monkeypatch.setattr(others, "look", lambda: other)
        monkeypatch.setattr(applied, "current", lambda: ours)

    return is_so


@pytest.mark.parametrize(
    ("state", "said"), [("unsupported", "unsupported"), ("disabled", "disabled"), ("disabling", "disabled")]
)
def test_nothing_is_attached(host: Any, state: str, said: str) -> None:
    host(KernelState(state, None, 0, 0, None), None)
    assert standing.standing() == standing.HostScheduler(said)


def test_what_somebody_started_is_there_since_their_process_began(host: Any) -> None:
    host(ATTACHED, hand(os.getpid()))
    now = standing.standing()
    assert (now.state, now.ops, now.pid, now.candidate, now.partial) == ("enabled", "at_fifo", os.getpid(), None, False)
    assert now.by == f"at_fifo, by process {os.getpid()} (scx_x -v), started by hand"
    assert now.since is not None
    assert 0.0 <= time.time() - now.since < 24 * 3600


@pytest.mark.parametrize("pid", [None, 2**22 + 1])
def test_who_is_not_found_is_said(host: Any, pid: int | None) -> None:
    host(KernelState("enabled", "at_fifo", 3, 0, False), hand(pid))
    now = standing.standing()
    assert (now.since, now.partial) == (None, True)


def test_what_autotune_applies_is_named_with_its_settings_and_its_time(host: Any) -> None:
    ours = Applied(77, 1, "boot", "at_fifo:slice_us=5000", "at_fifo", 1000.0)
    host(ATTACHED, Other("at_fifo", 99, (), "autotune", None, None, ()), ours)
    now = standing.standing()
    assert (now.candidate, now.pid, now.since) == ("at_fifo:slice_us=5000", 77, 1000.0)
    assert now.by == "at_fifo, by 'autotune apply' (process 77)"


def test_an_older_record_is_not_what_somebody_else_has_attached(host: Any) -> None:
    ours = Applied(77, 1, "boot", "at_vtime", "at_vtime", 1000.0)
    host(ATTACHED, hand(None), ours)
    assert standing.standing().candidate is None
