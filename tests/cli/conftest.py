# SPDX-License-Identifier: MIT
"""What every test of the command line has around it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from autotune.machine import select
from autotune.schedext import build
from autotune.session import preflight, start, tuner
from autotune.session.busy import MachineBefore
from tests.support.command_line import Story

OF_THIS_MACHINE = (
    preflight.program,
    preflight.programs_around,
    preflight.machine,
    preflight.cpus,
    preflight.memory,
)
"""Checks that a session without a machine, of a command that is only a name, does not need."""


@pytest.fixture(autouse=True)
def _clean_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test runs in an empty directory, without settings of whoever runs it."""
    for name in [name for name in os.environ if name.startswith("AUTOTUNE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


@pytest.fixture
def story(monkeypatch: pytest.MonkeyPatch) -> Story:
    """Nobody watches what keeps this machine busy: each session would wait for that, and say it."""
    story = Story()
    monkeypatch.setattr(start, "watch", MachineBefore)
    monkeypatch.setattr(select, "choose", story.choose)
    monkeypatch.setattr(tuner, "tune", story.tune)
    monkeypatch.setattr(preflight, "CHECKS", tuple(one for one in preflight.CHECKS if one not in OF_THIS_MACHINE))
    monkeypatch.setattr(build, "newest_clang", lambda: build.Clang("clang-19", "19"))
    return story
