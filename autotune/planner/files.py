# SPDX-License-Identifier: MIT
"""Reading the workload's own files for a model: only below its directory, a bounded piece, and nothing that holds
secrets."""

from __future__ import annotations

import fnmatch
import os
import stat
from collections.abc import Callable
from pathlib import Path

from autotune.errors import AutotuneError
from autotune.prompt import fenced

PIECE_BYTES = 8000
ENTRIES = 200

SECRET_NAMES = (
    ".env", ".env.*", "*.env", ".envrc", "*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "*.keystore", "*.kdbx", "*.ppk",
    "*.asc", "*.gpg", "id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*", ".netrc", "_netrc", ".npmrc", ".pypirc",
    ".htpasswd", ".pgpass", ".my.cnf", ".git-credentials", "*credential*", "*secret*", "*password*", "*passwd*",
    "*token*.json", "*token*.txt", "token", "service-account*.json", "kubeconfig*", "*.tfstate*", "*.tfvars",
    ".*_history",
)  # fmt: skip
SECRET_DIRECTORIES = {
    ".ssh",
    ".gnupg",
    ".aws",
    ".azure",
    ".kube",
    ".docker",
    ".git",
    ".gcloud",
    "gcloud",
    ".password-store",
}


class NotReadable(AutotuneError):
    """Why a path is not read; said to the model."""

    default_stage = "read_workload_file"


def read_piece(root: Path, path: str, offset: int, redact: Callable[[str], str]) -> dict[str, object]:
    """A piece of a file below `root` from byte `offset`, fenced and redacted; for a directory, its entries. Raises
    NotReadable. What is opened is what is checked: the check looks at the open file, so a link that changes in
    between gains nothing."""
    fd = _open(root, path)
    try:
        real = Path(os.readlink(f"/proc/self/fd/{fd}"))
        shown = _checked(root, real, path)
        status = os.fstat(fd)
        if stat.S_ISDIR(status.st_mode):
            return {"path": shown, "entries": _entries(fd)}
        if not stat.S_ISREG(status.st_mode):
            raise NotReadable(f"{shown} is not a regular file")
        return _piece(fd, shown, status.st_size, offset, redact)
    except OSError as error:
        raise NotReadable(f"{path}: {error.strerror}") from error
    finally:
        os.close(fd)


def _open(root: Path, path: str) -> int:
    if "\0" in path or not path.strip():
        raise NotReadable("name a file below the command's directory, such as Makefile")
    try:
        return os.open(root / path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError as error:
        outside = not _below(root, Path(os.path.normpath(root / path)))
        reason = _OUTSIDE if outside else (error.strerror or "cannot be opened").lower()
        raise NotReadable(f"{path[:200]}: {reason}") from error


_OUTSIDE = "only files below the command's directory can be read"


def _below(root: Path, path: Path) -> bool:
    base = Path(os.path.realpath(root))
    return path == base or base in path.parents


def _checked(root: Path, real: Path, asked: str) -> str:
    """The path as the model may know it. Raises NotReadable for one outside, and for one that may hold secrets."""
    if not _below(root, real):
        raise NotReadable(f"{asked[:200]}: {_OUTSIDE}")
    shown = os.path.relpath(real, os.path.realpath(root))
    parts = shown.split(os.sep)
    secret = any(fnmatch.fnmatch(parts[-1].lower(), pattern) for pattern in SECRET_NAMES)
    if secret or SECRET_DIRECTORIES & {part.lower() for part in parts}:
        raise NotReadable(f"{shown} may hold secrets and is not read; ask for another file")
    return shown


def _entries(fd: int) -> list[str]:
    with os.scandir(fd) as found:
        names = sorted(entry.name + ("/" if entry.is_dir(follow_symlinks=False) else "") for entry in found)
    rest = [f"... and {len(names) - ENTRIES} more"] if len(names) > ENTRIES else []
    return [name.encode("utf-8", "backslashreplace").decode() for name in names[:ENTRIES]] + rest


def _piece(fd: int, shown: str, size: int, offset: int, redact: Callable[[str], str]) -> dict[str, object]:
    if b"\0" in os.pread(fd, 4096, 0):
        raise NotReadable(f"{shown} is a binary file of {size} bytes")
    if offset < 0 or offset > size:
        raise NotReadable(f"{shown} has {size} bytes; give an offset from 0 to that")
    # Redacted with what follows the piece, so that a secret across its end is seen whole; one across its beginning is
    # seen whole from the piece before, and its rest is cut off with its line.
    data = os.pread(fd, PIECE_BYTES + 4096, offset)
    if offset:
        data = data.partition(b"\n")[2] or data
    piece = redact(data.decode("utf-8", "backslashreplace"))[:PIECE_BYTES]
    end = min(size, offset + PIECE_BYTES)
    answer: dict[str, object] = {"path": shown, "bytes": size, "from": offset, "text": fenced(piece, shown)}
    if end < size:
        answer["next_offset"] = end
    return answer
