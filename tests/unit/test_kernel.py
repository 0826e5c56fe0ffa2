# SPDX-License-Identifier: MIT
"""What sysfs says about sched_ext, read from trees made here."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from autotune.schedext.kernel import ops_matches, read_state, wait_for


def sysfs(top: Path, **files: str) -> Path:
    for name, text in files.items():
        path = top / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return top


def test_a_kernel_without_sched_ext_is_unsupported(tmp_path: Path) -> None:
    assert read_state(tmp_path / "absent").state == "unsupported"


def test_an_attached_scheduler_is_read_whole(tmp_path: Path) -> None:
    tree = sysfs(tmp_path, state="enabled", root__ops="at_fifo", enable_seq="7", nr_rejected="2", switch_all="0")
    state = read_state(tree)
    assert (state.state, state.ops, state.enable_seq, state.nr_rejected) == ("enabled", "at_fifo", 7, 2)
    assert state.switch_all is False


def test_nothing_attached_has_no_ops(tmp_path: Path) -> None:
    state = read_state(sysfs(tmp_path, state="disabled", enable_seq="3"))
    assert (state.state, state.ops, state.enable_seq, state.switch_all) == ("disabled", None, 3, None)


@pytest.mark.parametrize(
    ("expected", "shown", "same"),
    [
        ("bpfland", "bpfland", True),
        ("bpfland", "bpfland_1.1.2_g7a58a3a_x86_64_unknown_linux_gnu", True),
        ("at_fifo", "at_fifo2", False),
        ("at_fifo", "at_fifo_extra", False),
        ("at", "at_fifo", False),
        ("at_fifo", None, False),
    ],
)
def test_a_shown_name_may_carry_a_version(expected: str, shown: str | None, same: bool) -> None:
    assert ops_matches(expected, shown) is same


def test_waiting_sees_a_change_and_gives_up_in_time(tmp_path: Path) -> None:
    tree = sysfs(tmp_path, state="enabling")
    timer = threading.Timer(0.05, lambda: sysfs(tmp_path, state="enabled"))
    timer.start()
    assert wait_for(lambda seen: seen.state == "enabled", 5.0, sysfs=tree)[0]
    started = time.monotonic()
    held, last = wait_for(lambda seen: seen.state == "disabled", 0.1, sysfs=tree)
    assert not held
    assert last.state == "enabled"
    assert 0.1 <= time.monotonic() - started < 2.0
