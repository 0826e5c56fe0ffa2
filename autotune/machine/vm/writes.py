# SPDX-License-Identifier: MIT
"""Copies what was written inside the micro-VM out to the host: the upper layer of its overlay.

The copy mirrors the file system from its root (`DIR/home/me/project/out.bin`). Files that were deleted inside are
listed, one a line, in `DIR/.autotune-deleted`. Standard library only.
"""

from __future__ import annotations

import os
import shutil
import stat
from dataclasses import dataclass, field
from pathlib import Path

DELETED_LIST = ".autotune-deleted"


@dataclass(frozen=True)
class KeptWrites:
    """How much was copied, and what could not be."""

    files: int
    bytes: int
    deleted: int
    problems: tuple[str, ...] = ()


@dataclass
class _Copy:
    upper: Path
    target: Path
    files: int = 0
    bytes: int = 0
    deleted: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def directory(self, relative: Path) -> None:
        for entry in sorted(os.scandir(self.upper / relative), key=lambda item: item.name):
            path = relative / entry.name
            try:
                self.entry(path, entry)
            except OSError as error:
                self.problems.append(f"/{path}: {error.strerror}")

    def entry(self, path: Path, entry: os.DirEntry[str]) -> None:
        status = entry.stat(follow_symlinks=False)
        if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:  # overlayfs marks a deleted file so
            self.deleted.append(f"/{path}")
        elif stat.S_ISDIR(status.st_mode):
            (self.target / path).mkdir(parents=True, exist_ok=True)
            self.directory(path)
        elif stat.S_ISLNK(status.st_mode):
            (self.target / path).unlink(missing_ok=True)
            (self.target / path).symlink_to(os.readlink(entry.path))
            self.files += 1
        elif stat.S_ISREG(status.st_mode):
            shutil.copyfile(entry.path, self.target / path)
            os.chmod(self.target / path, stat.S_IMODE(status.st_mode) | stat.S_IWUSR)
            self.files += 1
            self.bytes += status.st_size


def copy_writes(upper: Path, target: Path) -> KeptWrites:
    """Copy all that stands in `upper` to `target`. A file that cannot be copied is named among the problems and
    does not stop the rest."""
    copy = _Copy(upper, target)
    copy.directory(Path())
    if copy.deleted:
        (target / DELETED_LIST).write_text("".join(f"{path}\n" for path in copy.deleted))
    return KeptWrites(copy.files, copy.bytes, len(copy.deleted), tuple(copy.problems))
