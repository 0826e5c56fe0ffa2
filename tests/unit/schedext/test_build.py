# SPDX-License-Identifier: MIT
"""Which compiler and which types of the kernel are taken: never what only happens to lie where we are, or what somebody
else could change."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from autotune.errors import BuildError
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


# --- the kernel's types: what is compiled with them is loaded as root ---------------------------------------------


@pytest.fixture
def types(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Types of the running kernel, in the cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(build, "_output", lambda _argv: "struct sched_ext_ops {};")
    return build._dump_headers() / build.VMLINUX


def test_types_that_are_the_user_s_own_are_taken(types: Path) -> None:
    place = types.parents[2]

    assert build.find_headers(place) == place
    assert build._dump_headers() == place


@pytest.mark.parametrize("open_up", ["the file", "its directory", "a directory above"])
def test_types_that_others_may_change_are_refused(types: Path, open_up: str) -> None:
    place = {"the file": types, "its directory": types.parent, "a directory above": types.parents[2]}[open_up]
    place.chmod(0o777)

    with pytest.raises(BuildError, match=r"decides what root loads, but .* can be written by others"):
        build.find_headers(types.parents[2])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_types_of_somebody_else_are_refused_and_in_the_cache_read_anew(types: Path) -> None:
    types.write_text("struct sched_ext_ops { /* evil */ };")
    os.chown(types, 65534, 65534)

    with pytest.raises(BuildError, match="decides what root loads, but it belongs to "):
        build.find_headers(types.parents[2])
    assert (build._dump_headers() / build.VMLINUX).read_text() == "struct sched_ext_ops {};"
    assert build.find_headers(types.parents[2]) == types.parents[2]
