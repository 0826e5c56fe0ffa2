# SPDX-License-Identifier: MIT
"""Report files: checked before the session, written after it."""

from __future__ import annotations

import os
from pathlib import Path

from autotune import durable
from autotune.errors import AutotuneError, UsageError


def check_writable(path: Path, option: str) -> None:
    """Raise UsageError, which names the option, when the file cannot be opened for writing. The file is really opened,
    since permissions do not show everything (root, read-only and virtual file systems); a new one is removed again."""
    target = Path(os.path.realpath(path))
    try:
        if (number := durable.descriptor(path)) is not None:
            os.write(number, b"")
            return
        is_new = not target.exists()  # fails too, in a directory that may not be entered
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
    """Write the text whole or not at all: a regular file keeps its old content until the new one is complete. Raises
    AutotuneError, which names the option, when that fails (a full disk)."""
    try:
        durable.write_named(path, text.encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise AutotuneError(
            f"{option} {path} could not be written: {error.strerror}",
            hint=f"{durable.advice(error, path)}, or name another file, and run again",
            stage="report",
        ) from error
