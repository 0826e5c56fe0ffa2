# SPDX-License-Identifier: MIT
"""Formatting of values, and of text from outside. Pure."""

from __future__ import annotations

import math
import shlex
import unicodedata
from collections.abc import Iterable

from autotune.frozen import dataclass


def printable(text: str) -> str:
    """Make text from outside safe within one line: without control characters, invisible direction marks and lone
    surrogates, so that it can neither move the cursor nor fail to be encoded."""
    return "".join(_printable_character(character) for character in text)


def _printable_character(character: str) -> str:
    if " " <= character <= "~":
        return character
    if character in "\t\n\r\v\f\u2028\u2029":
        return " "
    category = unicodedata.category(character)
    if category == "Cs":
        return "\ufffd"
    return "" if category in ("Cc", "Cf") else character


def duration_text(seconds: float) -> str:
    """Format a measured time with three or four digits: `950 us`, `85.3 ms`, `1.234 s`, `95.12 s`."""
    if seconds < 0.001:
        return f"{seconds * 1e6:.0f} us"
    if seconds < 1.0:
        return f"{seconds * 1e3:.{2 if seconds < 0.01 else 1}f} ms"
    return f"{seconds:.{3 if seconds < 10 else 2 if seconds < 100 else 1}f} s"


def clock_text(seconds: float) -> str:
    """Format a span of time as a clock: `0:07`, `12:40`, `1:02:40`."""
    minutes, second = divmod(max(0, int(seconds)), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02}:{second:02}" if hour else f"{minute}:{second:02}"


def bytes_text(size_bytes: int) -> str:
    """Format a size in binary units: `3.8 GiB`, `512 MiB`."""
    gib = size_bytes / (1 << 30)
    return f"{gib:.1f} GiB" if gib >= 1 else f"{size_bytes / (1 << 20):.0f} MiB"


@dataclass(frozen=True)
class Scale:
    """Format of the metric's values in one table. `unit` is empty for a metric of the user's own."""

    unit: str
    factor: float
    decimals: int

    def text(self, value: float) -> str:
        """Format a value without its unit; very large and very small ones in scientific notation."""
        shown = value * self.factor
        if shown and not 1e-4 <= abs(shown) < 1e9:
            return f"{shown:.4g}"
        return f"{shown:.{self.decimals}f}"


def scale_for(values: Iterable[float], *, is_time: bool) -> Scale:
    """Choose the scale for all values together: milliseconds when all are below a second, and as many decimals as give
    the smallest value about four digits."""
    sizes = [abs(value) for value in values if value and math.isfinite(value)]
    if not sizes:
        return Scale("s" if is_time else "", 1.0, 3 if is_time else 0)
    in_ms = is_time and max(sizes) < 1.0
    factor = 1000.0 if in_ms else 1.0
    digits_before = math.floor(math.log10(min(sizes) * factor)) + 1
    whole = not is_time and all(size.is_integer() for size in sizes)
    decimals = 0 if whole else min(3, max(0, 4 - max(1, digits_before)))
    return Scale(("ms" if in_ms else "s") if is_time else "", factor, decimals)


def sentence(text: str) -> str:
    """Return the text with one mark at its end: its own, or a full stop."""
    text = text.strip()
    if not text or text.endswith(("?", "!", "\u2026", "...")):
        return text
    return f"{text.rstrip('.:;, ')}."


def counted(count: int, noun: str, plural: str = "") -> str:
    """A number of things: `1 run`, `3 runs`. `plural` is for nouns that take more than an s."""
    return f"{count} {noun}" if count == 1 else f"{count} {plural or noun + 's'}"


def value_text(value: float, *, is_time: bool) -> str:
    """Format one value of the metric with its unit."""
    return duration_text(value) if is_time else f"{value:.6g}"


def shell_word(word: str) -> str:
    """Quote a word for a shell, on one line. One with control characters or bytes that are not UTF-8 becomes `$'...'`
    with escapes, which bash, zsh and POSIX.1-2024 shells read."""
    if printable(word) == word:
        return shlex.quote(word)
    return f"$'{''.join(_shell_escape(character) for character in word)}'"


def _shell_escape(character: str) -> str:
    if character in "\\'":
        return "\\" + character
    if printable(character) == character:
        return character
    return "".join(f"\\{byte:03o}" for byte in character.encode("utf-8", "surrogateescape"))
