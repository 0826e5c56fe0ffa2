# SPDX-License-Identifier: MIT
"""A project is the same in every clone and worktree, and no password is kept."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from autotune.knowledge.projects import project_of
from tests.support.waiting import waiting_writer


def git(cwd: Path, *words: str) -> None:
    identity = ["-c", "user.name=me", "-c", "user.email=me@example.org"]
    environ = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
    subprocess.run(["git", *identity, *words], cwd=cwd, check=True, capture_output=True, env=environ)


def clone(directory: Path, url: str) -> Path:
    directory.mkdir()
    git(directory, "init", "-q")
    git(directory, "remote", "add", "upstream", "https://example.org/other.git")
    git(directory, "remote", "add", "origin", url)
    return directory


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/me/thing.git",
        "https://me:secret@example.org/me/thing",
        "ssh://git@EXAMPLE.org:22/me/thing.git",
        "git@example.org:me/thing.git",
        "https://example.org/me/thing/",
    ],
)
def test_all_addresses_of_one_repository_are_one_project(tmp_path: Path, url: str) -> None:
    top = clone(tmp_path / "a", url)
    (top / "src").mkdir()
    assert project_of(str(top)) == "example.org/me/thing:."
    assert project_of(str(top / "src")) == "example.org/me/thing:src"


def test_a_worktree_belongs_to_its_repository(tmp_path: Path) -> None:
    top = clone(tmp_path / "a", "https://example.org/me/thing")
    git(top, "commit", "-q", "--allow-empty", "-m", "x")
    git(top, "worktree", "add", "-q", str(tmp_path / "b"))
    assert project_of(str(tmp_path / "b")) == "example.org/me/thing:."


@pytest.mark.parametrize("content", [None, "", "nonsense", "gitdir: ", "gitdir: /nowhere", "\xff"])
def test_what_is_no_repository_is_no_project(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / ".git").write_bytes(content.encode("latin-1"))
    assert project_of(str(tmp_path)) == ""
    assert project_of(str(tmp_path / "not" / "there")) == ""


@pytest.mark.parametrize(
    "config", ["", '[remote "origin"]', '[remote "upstream"]\nurl = https://x.org/a', '[remote "origin"]\nurl =']
)
def test_without_a_remote_there_is_none(tmp_path: Path, config: str) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config").write_text(config)
    assert project_of(str(tmp_path)) == ""


def test_what_a_repository_has_in_place_of_its_configuration_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / ".git" / "config").symlink_to(tmp_path / "pipe")
    with waiting_writer(tmp_path / "pipe") as waits:
        assert project_of(str(tmp_path)) == ""
        assert waits()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_repository_that_somebody_else_put_above_a_directory_is_none(tmp_path: Path) -> None:
    top = clone(tmp_path / "shared", "https://example.org/me/thing")
    (top / "mine").mkdir()
    assert project_of(str(top / "mine")) == "example.org/me/thing:mine"
    os.chown(top / ".git" / "config", 65534, 65534)
    assert project_of(str(top / "mine")) == ""
    os.chown(top / "mine", 65534, 65534)  # one's own again
    assert project_of(str(top / "mine")) == "example.org/me/thing:mine"
