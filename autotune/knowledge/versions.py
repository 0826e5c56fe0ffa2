# SPDX-License-Identifier: MIT
"""Digests that tell whether a scheduler is still the one that was measured. Imported by what must start within
milliseconds: nothing but what Python itself needs, and `hashlib` only when a file is read."""

from __future__ import annotations

import os

MOST_BYTES = 256 << 20


def of_file(path: str) -> str:
    """Return the digest of a program or an object; empty when it cannot be read."""
    return _digest([path])


def of_content(sha256: str) -> str:
    """Return what `of_file` returns for a file whose content has this SHA-256, in hexadecimal digits."""
    import hashlib

    return hashlib.sha256(bytes.fromhex(sha256)).hexdigest()


def of_source(path: str) -> str:
    """Return the digest of one of our own schedulers: its source, and the headers in `include` beside it. What the
    compiler makes of it for one kernel or another is the same scheduler. Empty when a file cannot be read."""
    include = os.path.join(os.path.dirname(path), "include")
    try:
        headers = sorted(name for name in os.listdir(include) if name.endswith(".h"))
    except FileNotFoundError:
        headers = []
    except OSError:
        return ""
    return _digest([path, *(os.path.join(include, name) for name in headers)])


def _digest(paths: list[str]) -> str:
    import hashlib

    whole = hashlib.sha256()
    try:
        for path in paths:
            if not os.path.isfile(path) or os.path.getsize(path) > MOST_BYTES:
                return ""
            with open(path, "rb") as file:
                one = hashlib.sha256()
                while chunk := file.read(1 << 20):
                    one.update(chunk)
                whole.update(one.digest())
    except OSError:
        return ""
    return whole.hexdigest()
