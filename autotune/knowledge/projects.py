# SPDX-License-Identifier: MIT
"""Which project a directory belongs to, by git: another clone or worktree of it is the same project. No program is run,
and nothing of the repository's configuration is followed but where its remote is."""

from __future__ import annotations

import os
import re
from pathlib import Path

from autotune import reading

MOST_LEVELS = 64
_SECTION = re.compile(r'\[\s*remote\s+"origin"\s*\](.*?)(?=^\s*\[|\Z)', re.DOTALL | re.MULTILINE)
_URL = re.compile(r"^\s*url\s*=\s*(\S+)\s*$", re.MULTILINE)
_PARTS = re.compile(r"(?:[a-z+]+://)?(?:[^/@]*@)?([^/:]+)(?::\d+(?=/))?[/:](.+?)(?:\.git)?/*", re.DOTALL)


def project_of(cwd: str) -> str:
    """Return the project as `host/path` of its remote, followed by `:` and the directory's place in it; empty where
    there is no repository, or one without a remote `origin`. Never with a user's name or password."""
    place = Path(cwd)
    for top in [place, *place.parents][:MOST_LEVELS]:
        config = _config_of(top / ".git")
        if config is not None:
            remote = _remote_in(config)
            return f"{remote}:{place.relative_to(top)}" if remote else ""
    return ""


def _config_of(git: Path) -> str | None:
    """Return the configuration of a repository, or of the one that a worktree belongs to; None where there is none."""
    try:
        if git.is_file():  # of a worktree: `gitdir: .../.git/worktrees/NAME`
            named = reading.text(git, most_bytes=4096).partition("gitdir:")[2].strip()
            git = Path(os.path.normpath(git.parent / named))
            common = git / "commondir"
            git = (
                Path(os.path.normpath(git / reading.text(common, most_bytes=4096).strip())) if common.is_file() else git
            )
        return reading.text(git / "config")
    except (OSError, ValueError):
        return None


def _remote_in(config: str) -> str:
    section = _SECTION.search(config)
    url = _URL.search(section[1]) if section else None
    parts = _PARTS.fullmatch(url[1]) if url else None
    return f"{parts[1].lower()}/{parts[2].strip('/')}" if parts else ""
