# SPDX-License-Identifier: MIT
"""The files a report is written to. That they can be written is found out before a session, not after it."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from autotune.errors import AutotuneError, UsageError


def check_writable(path: Path, option: str) -> None:
    """Raises UsageError, which names the option, when the file cannot be opened for writing. It is really tried,
    since permissions do not tell all (root, read-only and virtual file systems); a file made thereby goes again."""
    target = Path(os.path.realpath(path))
    try:
        is_new = not target.exists()  # asking fails too, in a directory that may not be entered
        if not is_new and not target.is_file() and not target.is_dir():
            return  # a device or a pipe, where opening can have effects
        with open(target, "ab"):
            pass
        if is_new:
            target.unlink()
    except OSError as error:
        hint = "name a file in a directory you may write to"
        raise UsageError(f"{option} {path} cannot be written: {error.strerror}", hint=hint) from None


def write(path: Path, text: str, option: str) -> None:
    """Write the text, all or nothing: a regular file keeps its old content until the new one is complete. Raises
    AutotuneError, which names the option, when it cannot be done (a full disk)."""
    try:
        _write(Path(os.path.realpath(path)), text)
    except OSError as error:
        raise AutotuneError(
            f"{option} {path} could not be written: {error.strerror}",
            hint="make room there, or name another file, and run again",
            stage="report",
        ) from error


def _write(path: Path, text: str) -> None:
    data = text.encode("utf-8", "backslashreplace")
    in_place = path.exists() and not (path.is_file() and os.access(path.parent, os.W_OK))
    if in_place:  # a device or a pipe, or a directory that takes no second file
        path.write_bytes(data)
    else:
        _replace(path, data)


def _replace(path: Path, data: bytes) -> None:
    draft = path.with_name(f".{path.name[:200]}.{os.getpid()}.tmp")
    try:
        with open(draft, "xb") as file:
            file.write(data)
        if path.exists():
            draft.chmod(stat.S_IMODE(path.stat().st_mode))
        draft.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise
