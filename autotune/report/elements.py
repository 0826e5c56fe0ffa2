# SPDX-License-Identifier: MIT
"""Elements of HTML and SVG from text. Pure.

What always holds here: every text and every value of an attribute is made printable and escaped, unless it is `Safe`,
and only `element` and `joined` make that; so no text from outside becomes markup.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable

from autotune.report.text import printable

MOST_CHARACTERS = 20_000
"""Longest text that is shown whole, so that no page grows without bound."""
_NO_CHARACTER = re.compile(
    "[\ufdd0-\ufdef"
    + "".join(chr(plane + last) for plane in range(0, 0x110000, 0x10000) for last in (0xFFFE, 0xFFFF))
    + "]"
)
"""Code points that HTML forbids, and that parsers may drop (WHATWG HTML, "noncharacter-character-reference")."""
_EMPTY = frozenset({"meta", "line", "rect", "circle", "br"})


class Safe(str):
    """Markup, in which nothing is left to escape."""

    __slots__ = ()


def escaped(text: str) -> Safe:
    """Return the text as markup that shows it, in ASCII."""
    shown = text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]} ..."
    safe = html.escape(_NO_CHARACTER.sub("\ufffd", printable(shown)), quote=True)
    return Safe(safe.encode("ascii", "xmlcharrefreplace").decode("ascii"))


def joined(parts: Iterable[str]) -> Safe:
    """Join texts and markup."""
    return Safe("".join(part if isinstance(part, Safe) else escaped(part) for part in parts))


def element(name: str, /, *children: str, **attributes: str | float) -> Safe:
    """Return an element. Names of attributes are written with _ for -, and `class_` for class."""
    given = "".join(f' {_name(key)}="{_value(value)}"' for key, value in attributes.items())
    if name in _EMPTY and not children:
        return Safe(f"<{name}{given}/>")
    return Safe(f"<{name}{given}>{joined(children)}</{name}>")


def _name(key: str) -> str:
    return key.rstrip("_").replace("_", "-")


def _value(value: str | float) -> str:
    return escaped(value if isinstance(value, str) else f"{value:.6g}")
