# SPDX-License-Identifier: MIT
"""Programs on PATH that say what a test has them say."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from autotune.lease import others
from tests.support.other_schedulers import Say


@pytest.fixture
def say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Say:
    """Puts a program on PATH, in front of all others. Nobody answers to `scxctl` and `systemctl` unless a test says."""
    place = tmp_path / "bin"
    place.mkdir()
    monkeypatch.setenv("PATH", f"{place}:{os.environ['PATH']}")
    monkeypatch.setattr(others, "LOCK_PATH", str(tmp_path / "lock"))

    def put(name: str, script: str) -> Path:
        (place / name).write_text(f"#!/bin/sh\n{script}\n")
        (place / name).chmod(0o755)
        return place / name

    put("scxctl", "exit 1")
    put("systemctl", "exit 1")
    return put
