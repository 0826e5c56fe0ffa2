# SPDX-License-Identifier: MIT
"""Finds the line of an output that an expression was probably meant for. Pure, and in linear time: the expression is
not applied again."""

from __future__ import annotations

import re
from itertools import chain

from autotune.measure.shown import Shown
from autotune.records import Output, Run
from autotune.report.text import printable

LINE_CHARACTERS = 120
_NO_TEXT = re.compile(
    r"\[(?:\\.|[^\]\\])+\]|\(\?[^:)]*[:)]?|\{[0-9,]*\}|\\[dDwWsSbBAZ0-9]|(?P<escaped>\\.)|[.^$*+?()|]", re.DOTALL
)


def nearest_line(expression: str, run: Run) -> str | None:
    """Return the line with most of the expression's own words, as a terminal shows it; without any, the last line with
    a number. None when there is neither."""
    words = words_of(expression)
    best: str | None = None
    last: str | None = None
    most = 0
    for line in chain(shown_lines(run.stdout), shown_lines(run.stderr)):
        folded = line.casefold()
        found = sum(len(word) for word in words if word in folded)
        if found > most:
            best, most = line, found
        if any(character.isdigit() for character in line):
            last = line
    nearest = best if best is not None else last
    return printable(nearest.strip())[:LINE_CHARACTERS] if nearest is not None else None


def words_of(expression: str) -> set[str]:
    """Return what stands in the expression as plain text, word by word, in lower case."""
    plain = _NO_TEXT.sub(lambda found: found["escaped"][1] if found["escaped"] else " ", expression)
    return {word.casefold() for word in plain.split() if len(word) > 1}


def shown_lines(output: Output) -> list[str]:
    """Return the kept lines of a stream as a terminal shows them."""
    lines: list[str] = []
    for part in (output.head, output.tail):
        screen = Shown(lines.extend)
        screen.add(part.encode("utf-8", "backslashreplace"))
        screen.finish()
    return lines
