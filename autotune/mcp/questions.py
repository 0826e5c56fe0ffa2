# SPDX-License-Identifier: MIT
"""Questions for consent: asked of the person at the client before a command runs or the machine's scheduler changes.

What always holds here:
- a question depends on the arguments of the call alone, never on a text that a tool read;
- it shows the whole of what it asks for, escaped; what is too long to be shown is refused instead;
- an answer counts once, for the very arguments that were asked about.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from collections.abc import Mapping
from typing import Any, Literal

from autotune.errors import UsageError
from autotune.report.text import printable

Effect = Literal["run", "switch"]
MOST_CHARACTERS = 2000
MOST_TICKETS = 64
FLAGS: Mapping[Effect, str] = {"run": "--allow-run", "switch": "--allow-switch"}
EFFECTS: Mapping[Effect, str] = {
    "run": "run this command on this machine, as you",
    "switch": "change the CPU scheduler of this machine while it runs",
}


def question(effects: tuple[Effect, ...], facts: Mapping[str, Any]) -> str:
    """Return the question about a call with these facts. Raises UsageError when not all of them can be shown."""
    wish = ", and ".join(EFFECTS[one] for one in effects)
    lines = [f"{printable(name)}: {_shown(value)}" for name, value in facts.items() if value not in (None, "", [], {})]
    text = "\n".join([f"An AI client asks autotune to {wish}.", "", *lines])
    if len(text) > MOST_CHARACTERS:
        raise UsageError(
            f"nobody can be asked about arguments of more than {MOST_CHARACTERS} characters",
            hint="put the command into a script, and name that",
        )
    return text


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=True)
    lines = text.split("\n")
    if any(printable(line) != line for line in lines):
        raise UsageError("an argument has characters that cannot be shown", hint="leave out control characters")
    return "\n  | ".join(lines)


class Tickets:
    """Binds the answer to a question to the call that it was asked for, where the client asks and then calls again."""

    def __init__(self) -> None:
        self._key = os.urandom(32)
        self._open: list[str] = []

    def issue(self, name: str, arguments: Mapping[str, Any]) -> str:
        nonce = os.urandom(8).hex()
        self._open = [*self._open[-MOST_TICKETS + 1 :], nonce]
        return f"{nonce}.{self._seal(nonce, name, arguments)}"

    def redeem(self, ticket: str | None, name: str, arguments: Mapping[str, Any]) -> bool:
        """Return whether the ticket is for this very call, and was not used before."""
        nonce, _, seal = (ticket or "").partition(".")
        wanted = self._seal(nonce, name, arguments)
        if nonce not in self._open or not hmac.compare_digest(seal.encode("utf-8", "replace"), wanted.encode()):
            return False
        self._open.remove(nonce)
        return True

    def _seal(self, nonce: str, name: str, arguments: Mapping[str, Any]) -> str:
        text = json.dumps([nonce, name, dict(arguments)], sort_keys=True, default=str)
        return hmac.new(self._key, text.encode("utf-8", "replace"), hashlib.sha256).hexdigest()
