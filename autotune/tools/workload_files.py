# SPDX-License-Identifier: MIT
"""The workload's own files, read for a model: only below its directory, in bounded pieces, none that may hold secrets.

What always holds here:
- a file's type is checked before it is opened: opening a device or a pipe can have effects;
- the file that is read is the one that was checked, even if names and links change meanwhile;
- a file is redacted whole and then cut into pieces, so that no offset can cut a secret in half.
"""

from __future__ import annotations

import fnmatch
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path

from autotune.errors import AutotuneError
from autotune.frozen import dataclass
from autotune.prompt import fenced

PIECE_CHARACTERS = 8000
ENTRIES = 200
MOST_BYTES = 1 << 20
"""Bytes read of a file, from its beginning; redacting them takes about two seconds."""
MARGIN_BYTES = 64 << 10
"""Further bytes that are redacted but not returned, so that a secret across the end is seen whole."""

SECRET_NAMES = (
    ".env", ".env.*", "*.env", ".envrc", "*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "*.keystore", "*.kdbx", "*.ppk",
    "*.asc", "*.gpg", "id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*", ".netrc", "_netrc", ".npmrc", ".pypirc",
    ".htpasswd", ".pgpass", ".my.cnf", ".git-credentials", "*credential*", "*secret*", "*password*", "*passwd*",
    "*token*.json", "*token*.txt", "token", "tokens", "service-account*.json", "*kubeconfig*", "*.tfstate*", "*.tfvars",
    "*private_key*", "*private-key*",
    ".*_history", "*-token", "*_token", "auth.json", "*.p8", "*.keytab", "*.ovpn", "*.age", "wallet.dat", "cookies.*",
    "shadow", ".dockercfg", ".s3cfg", ".boto", "*.agekey",
)  # fmt: skip
"""Name patterns of files, and of directories above them, that may hold secrets."""
_OF_A_COPY = re.compile(
    r"(?:~|[.\-_ ](?:bak|backup|old|orig|save|saved|copy|tmp|swp|swo|new|dist|rej|dpkg-\w+|rpm\w+|\d{1,8}))+$", re.I
)
"""What editors, packages and people put behind the name of a file that they keep a copy of."""
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
    """A path that is not read; the reason is shown to the model."""

    default_stage = "read_workload_file"


@dataclass(frozen=True)
class _Text:
    """A redacted file. `identity` changes when the file changes."""

    identity: tuple[int, int, int, int]
    text: str
    is_whole: bool


class WorkloadFiles:
    """The files below `root`. Keeps the text of the last file, since a model reads one piece after another."""

    def __init__(self, root: Path, redact: Callable[[str], str]) -> None:
        self._root = root
        self._redact = redact
        self._last: _Text | None = None

    def read_piece(self, path: str, offset: int) -> dict[str, object]:
        """Return a piece of a file, fenced, from character `offset` of its redacted text; for a directory, its entries.
        Raises NotReadable."""
        place = _locate(self._root, path)
        try:
            shown = _checked(self._root, Path(os.readlink(f"/proc/self/fd/{place}")), path)
            status = os.fstat(place)
            if stat.S_ISDIR(status.st_mode):
                return {"path": shown, "entries": _entries(place)}
            if not stat.S_ISREG(status.st_mode):
                raise NotReadable(f"{shown} is not a regular file")
            return _piece(self._text(place, shown, status), shown, status.st_size, offset)
        except OSError as error:
            raise NotReadable(f"{path[:200]}: {error.strerror}") from error
        finally:
            os.close(place)

    def _text(self, place: int, shown: str, status: os.stat_result) -> _Text:
        identity = (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size)
        if self._last is None or self._last.identity != identity:
            data = _content(place)
            if b"\0" in data[:4096]:
                raise NotReadable(f"{shown} is a binary file of {status.st_size} bytes")
            is_whole = len(data) <= MOST_BYTES
            text = self._redact(data.decode("utf-8", "backslashreplace"))
            self._last = _Text(identity, text if is_whole else text[:-MARGIN_BYTES], is_whole)
        return self._last


def _locate(root: Path, path: str) -> int:
    """Open the path with O_PATH: the descriptor cannot be read, and opening a device has no effect."""
    if "\0" in path or not path.strip():
        raise NotReadable("name a file below the command's directory, such as Makefile")
    try:
        return os.open(root / path, os.O_PATH | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        outside = not _below(root, Path(os.path.normpath(root / path)))
        said = (getattr(error, "strerror", None) or "cannot be opened").lower()
        raise NotReadable(f"{path[:200]}: {_OUTSIDE if outside else said}") from error


def _content(place: int) -> bytes:
    """Read the first bytes of the file behind the descriptor, even if its name now leads elsewhere."""
    with open(
        os.open(f"/proc/self/fd/{place}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY), "rb"
    ) as file:
        return file.read(MOST_BYTES + MARGIN_BYTES)


_OUTSIDE = "only files below the command's directory can be read"


def _below(root: Path, path: Path) -> bool:
    base = Path(os.path.realpath(root))
    return path == base or base in path.parents


def _checked(root: Path, real: Path, requested: str) -> str:
    """Return the path relative to the root. Raises NotReadable for a path outside it, and for one that may hold
    secrets."""
    if not _below(root, real):
        raise NotReadable(f"{requested[:200]}: {_OUTSIDE}")
    shown = os.path.relpath(real, os.path.realpath(root))
    if any(_may_hold_secrets(part.lower()) for part in shown.split(os.sep)):
        raise NotReadable(f"{shown} may hold secrets and is not read; ask for another file")
    return shown


def _may_hold_secrets(part: str) -> bool:
    names = {part, _OF_A_COPY.sub("", part.strip("#"))}
    return not names.isdisjoint(SECRET_DIRECTORIES) or any(
        fnmatch.fnmatchcase(name, pattern) for name in names for pattern in SECRET_NAMES
    )


def _entries(place: int) -> list[str]:
    with os.scandir(f"/proc/self/fd/{place}") as found:
        names = sorted(entry.name + ("/" if entry.is_dir(follow_symlinks=False) else "") for entry in found)
    rest = [f"... and {len(names) - ENTRIES} more"] if len(names) > ENTRIES else []
    return [name.encode("utf-8", "backslashreplace").decode() for name in names[:ENTRIES]] + rest


def _piece(found: _Text, shown: str, size_bytes: int, offset: int) -> dict[str, object]:
    length = len(found.text)
    if not 0 <= offset <= length:
        raise NotReadable(f"{shown} has {length} characters; give an offset from 0 to that")
    end = min(length, offset + PIECE_CHARACTERS)
    answer: dict[str, object] = {"path": shown, "bytes": size_bytes, "from": offset}
    answer["text"] = fenced(found.text[offset:end], shown)
    if end < length:
        answer["next_offset"] = end
    elif not found.is_whole:
        answer["left_out"] = f"what comes after the first {MOST_BYTES >> 20} MiB"
    return answer
