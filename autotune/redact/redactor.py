# SPDX-License-Identifier: MIT
"""Sends a text, or a JSON value, through all nets until nothing changes."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from autotune.redact.assignments import without_assigned
from autotune.redact.commands import without_command_secrets
from autotune.redact.containers import name_beside_value, without_contained
from autotune.redact.contexts import without_placed
from autotune.redact.formats import without_known_formats
from autotune.redact.marks import LONGEST_MARK, WHOLE
from autotune.redact.names import name_strength
from autotune.redact.private_keys import without_private_keys
from autotune.redact.values import hides_weak
from autotune.redact.variables import literals_of

MOST_PASSES = 8
MOST_GROWTH = 8


class Redactor:
    """Replaces secrets by `[redacted: KIND]`. Built once from the environment whose secrets it is to know."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._literals = sorted(set(literals_of(environ)), key=lambda literal: (-len(literal), literal))

    def text(self, text: str) -> str:
        """Redact a text; applying it again changes nothing."""
        most = MOST_GROWTH * len(text) + LONGEST_MARK
        for _ in range(MOST_PASSES):
            before, text = text, self._pass(text)
            if text == before:
                return text
            if len(text) > most:
                break
        return WHOLE if self._pass(WHOLE) == WHOLE else ""  # the mark itself may contain a secret value

    def known(self, text: str) -> str:
        """Replace only the values of secret variables; what merely looks like a secret stays."""
        for literal in self._literals:
            text = text.replace(literal, "[redacted: variable]")
        return text

    def data(self, value: Any) -> Any:
        """Redact the texts in a JSON value. Keys stay. The value of a secret name is replaced whole, but for booleans
        and, except under a password's name, numbers, which count tokens; under a name that may mean something else
        (`key`, `session_id`), only when it looks random."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, (list, tuple)):
            return [self.data(item) for item in value]
        if isinstance(value, dict):
            beside = name_beside_value(value)
            return {
                key: self._member(beside if beside and str(key).lower() == "value" else str(key), item)
                for key, item in value.items()
            }
        return value

    def _member(self, key: str, item: Any) -> Any:
        strength = name_strength(key)
        if not strength or item is None or isinstance(item, bool) or item in ("", [], {}):
            return self.data(item)
        if isinstance(item, (int, float)) and strength != "password":
            return item
        if strength == "weak" and not (isinstance(item, str) and hides_weak(item)):
            return self.data(item)
        return "[redacted: value]"

    def _pass(self, text: str) -> str:
        nets = (
            *(self.known, without_private_keys, without_known_formats, without_placed),
            *(without_command_secrets, without_contained),
        )
        return without_assigned(functools.reduce(lambda caught, net: net(caught), nets, text))
