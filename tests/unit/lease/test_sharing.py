# SPDX-License-Identifier: MIT
"""Where the runs of a user meet: nobody else can be there. What a share does is in test_shared.py."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from autotune.lease import sharing
from autotune.lease.sharing import NoShare
from tests.support.run_specs import NOBODY, needs_root


def test_it_is_in_the_sessions_own_directory_and_closed_to_others(tmp_path: Path) -> None:
    place = Path(sharing.directory(str(tmp_path)))
    assert place.parent == tmp_path
    assert place.stat().st_mode & 0o777 == 0o700
    assert sharing.directory(str(tmp_path)) == str(place)


@pytest.mark.parametrize("runtime", [None, "", "relative", "/no/such/directory"])
def test_without_one_it_is_one_of_this_user_alone(runtime: str | None) -> None:
    place = Path(sharing.directory(runtime))
    assert place.stat().st_uid == os.geteuid()
    assert place.stat().st_mode & 0o077 == 0


def test_one_that_others_may_enter_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "autotune").mkdir(mode=0o755)
    with pytest.raises(NoShare, match="not a directory of this user's alone"):
        sharing.directory(str(tmp_path))


def test_a_link_to_another_place_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "autotune").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NoShare):
        sharing.directory(str(tmp_path))


@needs_root
def test_another_users_directory_is_not_used(tmp_path: Path) -> None:
    os.chown(tmp_path, NOBODY, NOBODY)
    assert not sharing.directory(str(tmp_path)).startswith(str(tmp_path))


def test_a_refusal_is_remembered_for_a_while_and_for_that_scheduler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sharing.remember_refusal(str(tmp_path), "at_fifo", "sudo asks for a password")
    assert sharing.refusal(str(tmp_path), "at_fifo") == "sudo asks for a password"
    assert sharing.refusal(str(tmp_path), "at_vtime") is None
    now_s = time.clock_gettime(time.CLOCK_BOOTTIME)
    monkeypatch.setattr(time, "clock_gettime", lambda _clock: now_s + sharing.REFUSED_S + 1)
    assert sharing.refusal(str(tmp_path), "at_fifo") is None


@pytest.mark.parametrize(
    "text", ["", "garbage", "[]", '{"spec": "at_fifo"}', '{"spec": "at_fifo", "why": 1, "until_s": "x"}']
)
def test_a_damaged_memory_of_refusals_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / sharing.REFUSED).write_text(text)
    assert sharing.refusal(str(tmp_path), "at_fifo") is None
