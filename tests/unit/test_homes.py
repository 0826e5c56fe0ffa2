# SPDX-License-Identifier: MIT
"""Root's files are not kept where another user could change them."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from autotune import homes


def test_a_directory_that_is_named_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert homes.state() == f"{tmp_path}/autotune"
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    monkeypatch.setenv("HOME", "/home/me")
    assert homes.state() == "/home/me/.local/state/autotune"
    assert homes.home() == "/home/me"


@pytest.mark.parametrize("missing", ["", "not/there/yet"])
def test_root_under_sudo_keeps_its_files_out_of_the_home_that_it_was_left(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, missing: str
) -> None:
    owner = str(tmp_path.stat().st_uid) if tmp_path.stat().st_uid else "4711"
    if owner == "4711":
        os.chown(tmp_path, 4711, -1)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("SUDO_UID", owner)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / missing))
    assert homes.state() == f"{pwd.getpwuid(0).pw_dir}/.local/state/autotune"
    monkeypatch.setenv("SUDO_UID", "4712")
    assert homes.state() == f"{tmp_path / missing}/autotune"
