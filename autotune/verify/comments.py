# SPDX-License-Identifier: MIT
"""Finds descriptions in the comments of a source, where the entry has none. They are only shown to people: nothing is
decided by them."""

from __future__ import annotations

import re

DESCRIPTION_CHARACTERS = 100
KNOB_CHARACTERS = 300
_KNOB = re.compile(r"\s*AT_KNOB\(\s*\w+\s*,\s*(?P<name>\w+)\s*,")


def description(source: str, name: str) -> str:
    """Return the first sentence after `NAME:` in a comment; empty without one."""
    _, found, rest = source[:4000].partition(f"{name}:")
    if not found:
        return ""
    text = _plain(rest.partition("*/")[0])
    return _bounded(re.split(r"(?<=[.;])\s", text, maxsplit=1)[0].rstrip(";"), DESCRIPTION_CHARACTERS)


def knob_descriptions(source: str) -> dict[str, str]:
    """Return the comment that ends on the line before each AT_KNOB, by the knob's name."""
    lines = source.splitlines()
    found = {}
    for number, line in enumerate(lines):
        match = _KNOB.match(line)
        if match is not None and (text := _comment_above(lines, number)):
            found[match["name"]] = _bounded(text, KNOB_CHARACTERS)
    return found


def _comment_above(lines: list[str], number: int) -> str:
    end = number - 1
    if end < 0 or not lines[end].rstrip().endswith("*/"):
        return ""
    begin = end
    while begin > 0 and "/*" not in lines[begin]:
        begin -= 1
    return _plain("\n".join(lines[begin:number]).partition("/*")[2].rpartition("*/")[0])


def _plain(comment: str) -> str:
    """Return the words of a comment, without the stars that begin its lines."""
    return " ".join(" ".join(line.strip().lstrip("*").strip() for line in comment.splitlines()).split())


def _bounded(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 4].rpartition(" ")[0] + " ..."
