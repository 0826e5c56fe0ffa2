# SPDX-License-Identifier: MIT
"""Becomes the command: finds its program as a shell does, and executes it in this very process."""

from __future__ import annotations

import errno
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from autotune.wrapper.given import Given

NOT_FOUND = 127
NOT_EXECUTABLE = 126


class CannotStart(Exception):
    """The command cannot be started. `exit_code` is the one that a shell ends with."""

    def __init__(self, what: str, exit_code: int) -> None:
        super().__init__(what)
        self.exit_code = exit_code


def find(name: bytes, environ: dict[bytes, bytes]) -> bytes:
    """Return the program's file, searched in the command's own PATH. Raises CannotStart."""
    if b"/" in name:
        return name
    denied = False
    for directory in environ.get(b"PATH", os.defpath.encode()).split(b":") if name else ():
        path = (directory or b".") + b"/" + name
        try:
            is_file = os.stat(path).st_mode & 0o170000 == 0o100000
        except OSError:
            continue
        if is_file and os.access(path, os.X_OK):
            return path
        denied = denied or is_file
    shown = name.decode(errors="replace")
    raise CannotStart(f"{shown}: {'permission denied' if denied else 'command not found'}",
                      NOT_EXECUTABLE if denied else NOT_FOUND)  # fmt: skip


def become(path: bytes, argv: list[bytes], given: Given) -> None:
    """Execute the program here. Returns never; raises CannotStart, with the process as it was given."""
    environ = given.environ
    if os.path.basename(environ.get(b"_", b"")) == b"autotune":
        environ[b"_"] = path  # bash puts what it starts there
    given.restore_signals()
    given.restore_streams()
    try:
        _execute(path, argv, environ)
    except (OSError, ValueError) as error:
        what = error.strerror if isinstance(error, OSError) else str(error)
        code = NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE
        raise CannotStart(f"{argv[0].decode(errors='replace')}: {what}", code) from error


def _execute(path: bytes, argv: list[bytes], environ: dict[bytes, bytes]) -> None:
    try:
        os.execve(path, argv, environ)
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            raise
    os.execve(b"/bin/sh", [b"sh", path, *argv[1:]], environ)  # a script without an interpreter line, as execvp(3) does
