# SPDX-License-Identifier: MIT
"""Sizes and digests of the files in a cache, kept beside them: a file that was cut short or changed is noticed before
it is used.

This is about accidents (a full disk, a crash, a bad sector). What somebody else could change is refused by `trust`.
Standard library only.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from autotune import durable, reading

LIST = "digests.json"
"""File of a directory with the sizes and digests of all others."""
_SUFFIX = ".sha256"
_MOST_BYTES = 1 << 22


def note(path: Path) -> None:
    """Note size and digest of one file, in a file beside it. Raises OSError."""
    durable.replace(_beside(path), json.dumps(_digest(path)).encode(), mode=durable.SHARED)


def has_note(path: Path) -> bool:
    """Return whether one file was noted; it was not when its writer was killed, or is older than digests."""
    return _beside(path).exists()


def problem(path: Path) -> str | None:
    """Return what is wrong with a noted file, in a clause; None when it is as it was noted."""
    return _difference(path, _read(_beside(path)))


def damage(path: Path) -> str | None:
    """Return what is wrong with a file that may have been noted; None where nothing is, or it never was."""
    return problem(path) if has_note(path) else None


def _beside(path: Path) -> Path:
    return path.with_name(path.name + _SUFFIX)


def note_all(top: Path) -> None:
    """Note sizes and digests of all files below a directory. Raises OSError."""
    noted = {str(path.relative_to(top)): _digest(path) for path in _files(top)}
    durable.replace(top / LIST, json.dumps(noted, indent=1).encode(), mode=durable.SHARED)


def is_noted(top: Path) -> bool:
    """Return whether a directory has its list."""
    return (top / LIST).exists()


def damaged(top: Path, parts: Iterable[Path] | None = None) -> dict[str, str]:
    """Return what is wrong below a directory, or of the files and directories in it that are named: by file, in a
    clause. Empty when all is well or nothing was noted."""
    if not is_noted(top):
        return {}
    noted = _read(top / LIST)
    if not isinstance(noted, dict):
        return {LIST: "cannot be read"}
    if parts is not None:
        wanted = set(parts)
        noted = {name: digest for name, digest in noted.items() if wanted & {top / name, *(top / name).parents}}
    found = {name: _difference(top / name, digest) for name, digest in noted.items()}
    return {name: what for name, what in found.items() if what is not None}


def described(found: dict[str, str]) -> str:
    """Describe in one clause what `damaged` found."""
    name, what = next(iter(found.items()))
    more = f", and {len(found) - 1} more" if len(found) > 1 else ""
    return f"{os.path.basename(name)} {what}{more}"


def _files(top: Path) -> Iterable[Path]:
    return (path for path in sorted(top.rglob("*")) if path.is_file() and not path.is_symlink() and path.name != LIST)


def _digest(path: Path) -> list[int | str]:
    with open(path, "rb") as file:
        digest = hashlib.sha256()
        while chunk := file.read(1 << 20):
            digest.update(chunk)
        return [file.tell(), digest.hexdigest()]


def _difference(path: Path, noted: Any) -> str | None:
    if not isinstance(noted, list) or len(noted) != 2 or not isinstance(noted[0], int):
        return "has a digest that cannot be read"
    try:
        size, digest = _digest(path)
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if size != noted[0]:
        return f"has {size} bytes instead of {noted[0]}"
    return None if digest == noted[1] else "has changed"


def _read(path: Path) -> Any:
    try:
        return reading.json_of(path, most_bytes=_MOST_BYTES)
    except (OSError, ValueError):
        return None
