# SPDX-License-Identifier: MIT
"""Answers to a client as data: redacted, escaped, and below the number of tokens that clients take."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from autotune.report.text import printable

MOST_BYTES = 48_000
"""Of an answer as JSON: fewer than 25,000 tokens, the most that clients take of one, at two bytes a token."""
CUTS = ((20_000, 400), (8_000, 150), (2_000, 60), (500, 25), (120, 10), (40, 4))
"""Characters of a text and members of a list, tried in turn until the answer fits."""
DEEPEST = 12
LEFT_OUT = "[left out]"


def safe(data: Any, redact: Callable[[Any], Any]) -> Any:
    """Return data that may leave: redacted, without control characters, and within the bound."""
    found = escaped(redact(data))
    for most_text, most_items in CUTS:
        if size_bytes(found) <= MOST_BYTES:
            return found
        found = _cut(found, most_text, most_items)
    return found if size_bytes(found) <= MOST_BYTES else {"left_out": "the answer is too long"}


def size_bytes(data: Any) -> int:
    return len(json.dumps(data, ensure_ascii=False).encode("utf-8", "replace"))


def escaped(data: Any, depth: int = 0) -> Any:
    """Return the data with every text printable, line by line: nothing in it can move a cursor or hide."""
    if depth > DEEPEST:
        return LEFT_OUT
    if isinstance(data, str):
        return "\n".join(printable(line.replace("\t", "    ")) for line in data.splitlines())
    if isinstance(data, dict):
        return {printable(str(key)): escaped(value, depth + 1) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [escaped(item, depth + 1) for item in data]
    return data


def _cut(data: Any, most_text: int, most_items: int) -> Any:
    if isinstance(data, str) and len(data) > most_text:
        return f"{data[:most_text]} [cut off]"
    if isinstance(data, dict):
        return {key: _cut(value, most_text, most_items) for key, value in data.items()}
    if isinstance(data, list):
        return [_cut(item, most_text, most_items) for item in data[:most_items]]
    return data


def page(name: str, items: Sequence[Any], offset: int, most: int) -> dict[str, Any]:
    """Return a page of a list, with where the next one begins, if there is one."""
    end = offset + most
    more = {"next_offset": end} if end < len(items) else {}
    return {name: list(items[offset:end]), "total": len(items), **more}
