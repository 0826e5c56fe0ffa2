# SPDX-License-Identifier: MIT
"""Which project a directory belongs to, by git: another clone or worktree of it is the same project. No program is run,
and nothing of the repository's configuration is followed but where its remote is. A repository above a directory counts
only when it has the same owner, or is root's: in a shared place anybody can put one there. Imported by what must start
within milliseconds."""

from __future__ import annotations

import os

from autotune import opening

MOST_LEVELS = 64
MOST_BYTES = 1 << 20
"""Most bytes of a configuration. A larger one is none."""
_SCHEME = frozenset("abcdefghijklmnopqrstuvwxyz+")


def project_of(cwd: str) -> str:
    """Return the project as `host/path` of its remote, followed by `:` and the directory's place in it; empty where
    there is no repository, or one without a remote `origin`. Never with a user's name or password."""
    top = cwd
    try:
        owners = (os.stat(cwd).st_uid, 0)
    except OSError:
        return ""
    for _ in range(MOST_LEVELS):
        config = _config_of(os.path.join(top, ".git"), owners)
        if config is not None:
            remote = _remote_in(config)
            return f"{remote}:{_within(cwd, top)}" if remote else ""
        above = os.path.dirname(top)
        if above == top:
            break
        top = above
    return ""


def _within(cwd: str, top: str) -> str:
    """Return a directory's place below another one; `.` for itself."""
    parts = [part for part in cwd[len(top) :].split("/") if part not in ("", ".")]
    return "/".join(parts) or "."


def _config_of(git: str, owners: tuple[int, ...]) -> str | None:
    """Return the configuration of a repository, or of the one that a worktree belongs to; None where there is none of
    these owners."""
    try:
        if os.path.isfile(git):  # of a worktree: `gitdir: .../.git/worktrees/NAME`
            named = _text(git, 4096, owners).partition("gitdir:")[2].strip()
            git = os.path.normpath(os.path.join(os.path.dirname(git), named))
            common = os.path.join(git, "commondir")
            if os.path.isfile(common):
                git = os.path.normpath(os.path.join(git, _text(common, 4096, owners).strip()))
        return _text(os.path.join(git, "config"), MOST_BYTES, owners)
    except (OSError, ValueError):
        return None


def _text(path: str, most_bytes: int, owners: tuple[int, ...]) -> str:
    """Return the text of a regular file of one of these users. Raises OSError, ValueError for what is no such text, or
    too much."""
    with open(opening.regular(path), "rb") as file:
        if os.fstat(file.fileno()).st_uid not in owners:
            raise ValueError(f"{path} is another user's")
        data = file.read(most_bytes + 1)
    if len(data) > most_bytes:
        raise ValueError(f"{path} is larger than {most_bytes} bytes")
    return data.decode()


def _remote_in(config: str) -> str:
    """Return the address of the remote `origin`; empty where there is none."""
    is_origin = False
    for line in config.splitlines():
        text = line.strip()
        if text.startswith("["):
            head, _, text = text[1:].partition("]")
            words = head.split(None, 1)
            is_origin = len(words) == 2 and words[0] == "remote" and words[1].strip() == '"origin"'
        name, found, value = text.partition("=")
        if is_origin and found and name.strip() == "url" and len(value.split()) == 1:
            return _address(value.strip())
    return ""


def _address(url: str) -> str:
    """Return host and path of an address, whatever leads there, without user and password: `example.org/me/thing` of
    `ssh://git@example.org:22/me/thing.git`; empty for a path of this machine."""
    scheme, found, rest = url.partition("://")
    if not found or not scheme or not _SCHEME.issuperset(scheme):
        rest = url
    begins = rest.find("/")
    rest = rest[rest.rfind("@", 0, len(rest) if begins < 0 else begins) + 1 :]
    ends = min((at for at in (rest.find("/"), rest.find(":")) if at >= 0), default=-1)
    if ends <= 0:
        return ""
    host, path = rest[:ends], rest[ends + 1 :]
    port, slash, below = path.partition("/")
    if rest[ends] == ":" and slash and port.isdecimal():
        path = below
    path = path.strip("/").removesuffix(".git").strip("/")
    return f"{host.lower()}/{path}" if path else ""
