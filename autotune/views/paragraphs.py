# SPDX-License-Identifier: MIT
"""Paragraphs for a terminal of any width. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import TypeAlias

from autotune.report.text import printable

WIDEST = 100
"""Greatest width of a paragraph: longer lines are hard to read."""

Lines: TypeAlias = Iterator[str]


def paragraph(text: str, width: int, indent: int, hanging: int = 0) -> list[str]:
    """Wrap and indent the text, all lines but the first by `hanging` more. Words are never broken, so that commands and
    paths stay whole."""
    return textwrap.wrap(
        printable(text),
        min(width, WIDEST),
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent + hanging),
        break_long_words=False,
        break_on_hyphens=False,
    )
