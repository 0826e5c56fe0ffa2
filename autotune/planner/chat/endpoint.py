# SPDX-License-Identifier: MIT
"""Address and key of a chat completions server.

What always holds here:
- the address is the user's setting (`config`: never a project's), and the key comes from AUTOTUNE_MODEL_KEY of the
  user's environment only: a key that was set for another service (OPENAI_API_KEY) is not sent to this address;
- none is needed, since local servers ask for none;
- a key that cannot be sent is refused without being shown.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping

from autotune.errors import PlannerError
from autotune.frozen import dataclass
from autotune.redact import without_surroundings

KEY = "AUTOTUNE_MODEL_KEY"
INSTALL = "pip install 'autotune-sched[openai]'"
_SENDABLE = re.compile(r"[!-~]+")


@dataclass(frozen=True)
class Endpoint:
    """Where a server is, and the key for it."""

    url: str
    key: str | None = None

    def __repr__(self) -> str:
        return f"Endpoint({self.url})"  # never the key

    @property
    def origin(self) -> str:
        """What is used, for people."""
        return f"{self.url} and {KEY if self.key else 'no key'}"


def require(url: str, environ: Mapping[str, str]) -> Endpoint:
    """Return the endpoint of an address. Raises PlannerError when it cannot be used."""
    if importlib.util.find_spec("openai") is None:
        raise PlannerError("the client for --model-url is not installed", hint=INSTALL)
    key = without_surroundings(environ.get(KEY, ""))
    if key and not _SENDABLE.fullmatch(key):
        raise PlannerError(
            f"{KEY} in the environment cannot be a key: white space, control or non-ASCII characters are inside",
            hint="set it again",
        )
    return Endpoint(url, key or None)
