# SPDX-License-Identifier: MIT
"""Text in paragraphs and columns for a terminal of any width. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import TypeAlias

from autotune.report.text import printable

WIDEST = 100
"""Columns that paragraphs fill at most: longer lines are hard to read."""

Lines: TypeAlias = Iterator[str]


def paragraph(text: str, width: int, indent: int, hanging: int = 0) -> list[str]:
    """The text wrapped and indented, all lines but the first by `hanging` more; commands and paths in it are never
    broken."""
    return textwrap.wrap(
        printable(text),
        min(width, WIDEST),
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent + hanging),
        break_long_words=False,
        break_on_hyphens=False,
    )
