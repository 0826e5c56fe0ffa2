# SPDX-License-Identifier: MIT
"""Which compiler is taken: never one that only happens to lie where we are, or that somebody else could change."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from autotune.schedext import build


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a clang of a version that does not exist, which is also where we are."""
    program = tmp_path / "bin" / "clang-4711"
    program.parent.mkdir(mode=0o755)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.chdir(program.parent)
    return program.parent


def versions(monkeypatch: pytest.MonkeyPatch, path: str) -> set[int]:
    monkeypatch.setenv("PATH", path)
    return {number for number, _ in build._clangs()}


def test_the_user_s_own_is_found(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert 4711 in versions(monkeypatch, str(place))


@pytest.mark.parametrize("path", [".", "", "../bin", "/usr/bin:.", ".:/usr/bin"])
def test_relative_places_do_not_count(place: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    assert place.exists()
    assert 4711 not in versions(monkeypatch, path)


def test_one_that_others_may_change_does_not_count(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place.chmod(0o777)
    assert 4711 not in versions(monkeypatch, str(place))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_somebody_else_s_does_not_count(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.chown(place / "clang-4711", 65534, 65534)
    assert 4711 not in versions(monkeypatch, str(place))
