# SPDX-License-Identifier: MIT
"""When a run's evidence holds, and what is said when it does not."""

from __future__ import annotations

import os

import pytest

from autotune.errors import BusyError, PrivilegeError
from autotune.records import KernelState, SchedulerExit
from autotune.schedext import attach
from autotune.schedext.attach import compare, exit_text, holder_argv
from autotune.schedext.holder import Lock, refuse_unless_free


def state(name: str = "enabled", ops: str | None = "at_fifo", seq: int = 4) -> KernelState:
    return KernelState(name, ops, seq, 0, True)


GONE = state("disabled", None)


def test_the_expected_scheduler_from_before_to_after_is_no_problem() -> None:
    assert compare("at_fifo", state(), state()) is None
    assert compare(None, GONE, GONE) is None


@pytest.mark.parametrize(
    ("expected", "before", "after", "said"),
    [
        ("at_fifo", GONE, GONE, "not attached before"),
        ("at_fifo", state(), GONE, "not attached after"),
        ("at_fifo", state(ops="other"), state(ops="other"), "instead of at_fifo"),
        ("at_fifo", state(seq=4), state(seq=6), "another scheduler"),
        (None, GONE, state(), "was attached after"),
        (None, state(), state(), "was attached before"),
    ],
)
def test_anything_else_is_a_problem(
    expected: str | None, before: KernelState, after: KernelState, said: str
) -> None:
    assert said in (compare(expected, before, after) or "")


def test_an_ejection_is_told_in_the_kernels_words() -> None:
    gone = SchedulerExit(1026, 0, "runnable task stall", "sh[12] failed to run for 2.1s")
    assert exit_text(gone) == "ejected: runnable task stall (sh[12] failed to run for 2.1s)"
    assert exit_text(SchedulerExit(64, 0, "unregistered from user space", "")) == "left: unregistered from user space"


def test_somebody_elses_scheduler_is_never_replaced() -> None:
    with pytest.raises(BusyError, match="'scx_other' is attached already"):
        refuse_unless_free(state(ops="scx_other"))
    refuse_unless_free(GONE)


def test_only_one_autotune_may_switch_schedulers(tmp_path: os.PathLike[str]) -> None:
    path = os.path.join(tmp_path, "lock")
    first, second = Lock(path), Lock(path)
    first.take()
    first.take()
    with pytest.raises(BusyError, match=f"process {os.getpid()}"):
        second.take()


def test_without_root_and_without_sudo_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attach.os, "geteuid", lambda: 1000)
    monkeypatch.setattr(attach.shutil, "which", lambda _name: None)
    with pytest.raises(PrivilegeError, match="run as root"):
        holder_argv(None)
