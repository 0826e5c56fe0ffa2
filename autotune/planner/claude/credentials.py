# SPDX-License-Identifier: MIT
"""The key of the model's service, and the address that it is sent to.

What always holds here:
- the address comes from the user's environment only, never from `.env`;
- a key in `.env` may be somebody else's. It is used only with the user's consent (`--planner claude`, or planner in
  their own settings), and is sent to the vendor's own address only;
- white space, quotes and the like around a value are stripped, and a value that cannot be sent is refused without
  being shown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from autotune.errors import PlannerError
from autotune.frozen import dataclass
from autotune.redact import without_surroundings
from autotune.secrecy import dotenv_keys

KEY, TOKEN, BASE_URL = "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL"
VENDOR_URL = "https://api.anthropic.com"
_SENDABLE = re.compile(r"[!-~]+")
"""Characters that a header can carry, without white space: a key with any other was damaged on its way."""


@dataclass(frozen=True)
class Credentials:
    """Key and address of the service. `origin` says where the key was found, for people."""

    api_key: str | None
    auth_token: str | None
    base_url: str
    origin: str

    def __repr__(self) -> str:
        return f"Credentials(from {self.origin})"  # never the key


def require(planner: str, cwd: Path, environ: Mapping[str, str]) -> Credentials:
    """Find the credentials for a planner (`auto`, `claude`). Raises PlannerError, with what to do, when there are none
    or they cannot be used."""
    found = find_credentials(cwd, environ, directory_too=planner == "claude")
    if found is None:
        raise _none(cwd)
    return found


def find_credentials(cwd: Path, environ: Mapping[str, str], *, directory_too: bool = False) -> Credentials | None:
    """Take the key from the environment or, with the user's consent (`directory_too`), from the directory's `.env`.
    None without a key. Raises PlannerError for one that cannot be used."""
    own = _credentials(environ, "the environment", _address(environ) or VENDOR_URL)
    if own is not None or not directory_too:
        return own
    found = _credentials(dotenv_keys(cwd), ".env", VENDOR_URL)
    if found is not None and _address(environ) is not None:
        raise PlannerError(
            f"{found.origin} is sent to {VENDOR_URL} only, and {BASE_URL} in the environment names another address",
            hint="put the key into the environment too, or unset the address",
        )
    return found


def _none(cwd: Path) -> PlannerError:
    values = dotenv_keys(cwd)
    name = next((name for name in (KEY, TOKEN) if without_surroundings(values.get(name, ""))), None)
    if name is None:
        return PlannerError("Claude needs a key, and there is none", hint=f"set {KEY} in the environment to use it")
    return PlannerError(
        f"{name} in .env belongs to the directory and is used with your consent only",
        hint="give --planner claude to use it",
    )


def _credentials(values: Mapping[str, str], where: str, address: str) -> Credentials | None:
    """Take the key, else the token: the library accepts one of them."""
    for name in (KEY, TOKEN):
        secret = without_surroundings(values.get(name, ""))
        if not secret:
            continue
        origin = f"{name} in {where}"
        if not _SENDABLE.fullmatch(secret):
            raise PlannerError(
                f"{origin} cannot be a key: white space, control or non-ASCII characters are inside",
                hint="set it again",
            )
        return Credentials(secret if name == KEY else None, secret if name == TOKEN else None, address, origin)
    return None


def _address(environ: Mapping[str, str]) -> str | None:
    """Read the address from the user's environment. The PlannerError for an invalid one does not show it, since it may
    hold a password."""
    text = without_surroundings(environ.get(BASE_URL, ""))
    if not text:
        return None
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable or not _SENDABLE.fullmatch(text):
        raise PlannerError(
            f"{BASE_URL} in the environment is not an address",
            hint="set it to one such as https://host:port, or unset it",
        )
    return text
