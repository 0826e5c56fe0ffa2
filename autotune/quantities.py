# SPDX-License-Identifier: MIT
"""Durations, sizes, shares and counts as people type them, and as a flag takes them. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_UNITS_BYTES = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|min|s|m|h|d)")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt])(?:i?b)?", re.IGNORECASE)


def parse_duration(text: str) -> float:
    """Parse a time into seconds: `90s`, `10m`, `1h30m`, `1500ms`; a plain number is seconds. Raises ValueError with
    what is wrong for anything else, for zero and for more than a year."""
    seconds = _seconds(text.strip())
    if seconds is None:
        raise ValueError(f"{text!r} is not a time such as 90s, 10m or 1h30m")
    if not 0 < seconds <= 366 * 86400:
        raise ValueError(f"{text!r} must be more than nothing and less than a year")
    return seconds


def _seconds(text: str) -> float | None:
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    parts = _DURATION_PART.findall(text)
    if not parts or _DURATION_PART.sub("", text).strip():
        return None
    return math.fsum(float(number) * _UNITS_S[unit] for number, unit in parts)


def duration_flag(seconds: float) -> str:
    """Write a time as a flag takes it, exact to the millisecond: `10m`, `1h30m`, `1500ms`."""
    left_ms = round(seconds * 1000)
    parts = []
    for unit, size_ms in (("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, left_ms = divmod(left_ms, size_ms)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def parse_size(text: str) -> int:
    """Parse a size into bytes: `4G`, `512M`, `1.5GiB` (powers of 1024). Raises ValueError with what is wrong; a plain
    number is refused because programs disagree on whether it means bytes or megabytes."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a size such as 4G or 512M")
    size_bytes = int(float(match[1]) * _UNITS_BYTES[match[2].lower()])
    if size_bytes < 1:
        raise ValueError(f"{text!r} must be more than nothing")
    return size_bytes


def size_flag(size_bytes: int) -> str:
    """Write a size as a flag takes it: `4G`, `512M`; in whole kilobytes, rounded up, when nothing larger fits."""
    for unit in "tgm":
        count, rest = divmod(size_bytes, _UNITS_BYTES[unit])
        if not rest:
            return f"{count}{unit.upper()}"
    return f"{-(-size_bytes // 1024)}K"


def parse_share(text: str) -> float:
    """Parse a share: `3%` is 0.03. Raises ValueError for anything else, and for more than 1000 %; a plain number is
    refused because it may be meant either way."""
    match = re.fullmatch(r"(\d{1,4}(?:\.\d{1,6})?)\s*%", text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a share such as 3%")
    if float(match[1]) > 1000.0:
        raise ValueError(f"{text!r} is more than 1000%")
    return float(match[1]) / 100.0


def share_flag(share: float) -> str:
    """Write a share as a flag takes it: `3%`."""
    return f"{round(share * 100.0, 6):g}%"


def parse_count(least: int) -> Callable[[str], int]:
    """Return a parser of whole numbers from `least` on. It raises ValueError for anything else."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"-?\d{1,18}", text.strip()):
            raise ValueError(f"{text!r} is not a whole number")
        if int(text) < least:
            raise ValueError(f"{text} is less than {least}")
        return int(text)

    return parse
