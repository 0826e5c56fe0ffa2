# SPDX-License-Identifier: MIT
"""Copies what was written inside the micro-VM, the upper layer of its overlay, to the host.

The copy mirrors the file system from its root (`DIR/home/me/project/out.bin`). Files that were deleted inside are
listed, one a line, in `DIR/.autotune-deleted`. Standard library only.
"""

from __future__ import annotations

import os
import shutil
import stat
from dataclasses import dataclass, field
from pathlib import Path

from autotune import durable, frozen

DELETED_LIST = ".autotune-deleted"


@frozen.dataclass(frozen=True)
class KeptWrites:
    """How much was copied, and which files could not be."""

    files: int
    bytes: int
    deleted: int
    problems: tuple[str, ...] = ()


@dataclass
class _Copy:
    upper: Path
    target: Path
    merged: Path
    files: int = 0
    bytes: int = 0
    deleted: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def directory(self, relative: Path, *, whole: bool = False) -> None:
        """Copy what was written in a directory. One that was renamed is copied `whole`, from the merged view: its upper
        layer only refers to where it was."""
        whole = whole or _is_renamed(self.upper / relative)
        source = (self.merged if whole else self.upper) / relative
        for entry in sorted(os.scandir(source), key=lambda item: item.name):
            path = relative / entry.name
            try:
                self.entry(path, entry, whole=whole)
            except OSError as error:
                self.problems.append(f"/{path}: {error.strerror}")

    def entry(self, path: Path, entry: os.DirEntry[str], *, whole: bool) -> None:
        status = entry.stat(follow_symlinks=False)
        if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:  # overlayfs marks a deleted file like this
            self.deleted.append(f"/{path}")
        elif stat.S_ISDIR(status.st_mode):
            (self.target / path).mkdir(parents=True, exist_ok=True)
            self.directory(path, whole=whole)
        elif stat.S_ISLNK(status.st_mode):
            durable.replace_link(self.target / path, os.readlink(entry.path))
            self.files += 1
        elif stat.S_ISREG(status.st_mode):
            mode = stat.S_IMODE(status.st_mode) | stat.S_IWUSR
            # Without fsync, which would take seconds for a tree of files over 9p.
            with open(entry.path, "rb") as source, durable.writing(self.target / path, mode=mode, sync=False) as copy:
                shutil.copyfileobj(source, copy)
            self.files += 1
            self.bytes += status.st_size


def _is_renamed(directory: Path) -> bool:
    try:
        return bool(os.getxattr(directory, "trusted.overlay.redirect"))
    except OSError:
        return False


def copy_writes(upper: Path, target: Path, merged: Path = Path("/")) -> KeptWrites:
    """Copy everything in `upper`, the layer over `merged`, to `target`. A file that cannot be copied is named among the
    problems and does not stop the rest."""
    copy = _Copy(upper, target, merged)
    copy.directory(Path())
    if copy.deleted:
        names = "".join(f"{path}\n" for path in copy.deleted)
        durable.write_named(target / DELETED_LIST, names.encode("utf-8", "surrogateescape"))
    return KeptWrites(copy.files, copy.bytes, len(copy.deleted), tuple(copy.problems))
