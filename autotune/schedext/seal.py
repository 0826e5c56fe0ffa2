# SPDX-License-Identifier: MIT
"""The token that a generated scheduler gets when it passed all gates; without it no host loads the scheduler.

It is an HMAC (RFC 2104, with SHA-256) over what was proven: the source, the object, the compiler, the gates and the
kernel. The key is made on first use and readable only by its user, so that a seal means "this user's autotune saw this
very object pass". It protects against what changes afterwards (a file edited, an object swapped, gates that have become
stricter), not against the user. Standard library only.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import NoReturn

from autotune import durable, reading, resources
from autotune.errors import AttachError, AutotuneError
from autotune.records import KnobValue, Seal, knob_text

KEY_BYTES = 32
GATES_VERSION = "8"
"""Incremented whenever a gate becomes stricter: what passed before must pass again."""


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def sign(seal: Seal) -> Seal:
    """Return the seal with its token. Raises AutotuneError when the key cannot be kept."""
    return replace(seal, token=_token(seal, _key(make=True)))


def check(
    seal: Seal | None,
    object_sha256: str | None,
    *,
    settings: Mapping[str, KnobValue],
    kernel: str | None = None,
) -> None:
    """Raise AttachError unless the token is ours and names this object, these gates, these settings and, if one is
    given, a kernel of the same series (6.18): what a kernel offers to schedulers changes from one series to the
    next."""
    if seal is None:
        raise _refused("it has no token")
    again = f"run 'autotune schedulers verify' for {seal.name} again"
    if seal.gates != GATES_VERSION:
        raise _refused(f"it passed version {seal.gates} of the gates, and this is version {GATES_VERSION}", again)
    if not hmac.compare_digest(seal.token, _token(seal, _key(make=False))):
        raise _refused("its token is not valid", again)
    if seal.object_sha256 != object_sha256:
        raise _refused("the object is not the one that passed the gates", again)
    for name, value in settings.items():
        _check_setting(seal, name, value)
    if kernel is not None and series(seal.kernel) != series(kernel):
        raise _refused(f"it was proven on Linux {seal.kernel}, and this is {kernel}", f"{again}, on this kernel")


def _check_setting(seal: Seal, name: str, value: KnobValue) -> None:
    if name not in seal.settings:
        raise _refused(f"{name} is no knob that the gates have set", "leave it out")
    low, high = seal.settings[name]
    if not isinstance(value, int) or not low <= value <= high:
        proven = f"{knob_text(value)} for {name} was not proven, only {low} to {high}"
        raise _refused(proven, f"choose a value from {low} to {high}, or verify it with a wider range")


def refuse(why: str, name: str) -> NoReturn:
    """Raise AttachError for this reason."""
    raise _refused(why, f"run 'autotune schedulers verify' for {name} again")


def series(release: str) -> str:
    """Return `6.18` of `6.18.15+deb13-amd64`."""
    return ".".join(release.split("-")[0].split("+")[0].split(".")[:2])


def _refused(why: str, hint: str = "verify it first: autotune schedulers verify FILE.bpf.c") -> AttachError:
    return AttachError(f"the generated scheduler is refused: {why}", hint=hint)


def _token(seal: Seal, key: bytes) -> str:
    facts = {name: value for name, value in asdict(seal).items() if name != "token"}
    return hmac.new(key, json.dumps(facts, sort_keys=True).encode(), hashlib.sha256).hexdigest()


def key_path() -> Path:
    """Return the path of the key. Root has a key of its own: each user's is below their state directory."""
    return resources.state_dir() / "seal.key"


def _insist_on_private(status: os.stat_result) -> None:
    """Raise unless only its owner, who is us, can read the key."""
    if status.st_mode & 0o077 or status.st_uid != os.geteuid():
        raise AutotuneError(
            f"{key_path()} can be read by others, so its tokens prove nothing",
            hint="remove it; schedulers must be verified again",
        )


def _key(*, make: bool) -> bytes:
    path = key_path()
    try:
        if make and not path.exists():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            durable.create(path, secrets.token_bytes(KEY_BYTES))  # of two processes, the second uses the first one's
        data = reading.data(path, most_bytes=1024, check=_insist_on_private)
    except FileNotFoundError:
        return secrets.token_bytes(KEY_BYTES)  # no key was ever made: no token can be valid
    except OSError as error:
        raise AutotuneError(f"{path}: {error.strerror}", hint=durable.advice(error, path)) from error
    if len(data) != KEY_BYTES:
        raise AutotuneError(f"{path} is damaged", hint="remove it; schedulers must be verified again")
    return data
