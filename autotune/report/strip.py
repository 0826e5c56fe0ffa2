# SPDX-License-Identifier: MIT
"""Intervals as a strip of characters around 1, for a terminal: `  |  |--o--|`. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import median

from autotune.frozen import dataclass
from autotune.records import Interval
from autotune.report.table import Row

LEAST_REACH = 1.02
"""An axis reaches at least from 1/1.02 to 1.02."""
_WILD = 4.0
"""A bound that is this many times as far from 1 as the typical one is cut, so that one wild row leaves room for
others."""


@dataclass(frozen=True)
class Marks:
    """Characters of a strip."""

    low: str
    line: str
    estimate: str
    high: str
    one: str
    cut: tuple[str, str] = ("<", ">")


UNICODE = Marks("\u251c", "\u2500", "\u25cf", "\u2524", "\u2502")
ASCII = Marks("|", "-", "o", "|", ":")


@dataclass(frozen=True)
class Strips:
    """Strips of one table: `columns` wide (an odd number), from 1/`reach` to `reach`, so that 1 is in the middle."""

    columns: int
    reach: float
    marks: Marks

    def header(self) -> str:
        """Return the ends of the axis, and its middle."""
        low, high = f"{1 / self.reach:.2f}", f"{self.reach:.2f}"
        half = self.columns // 2
        return f"{low.ljust(half)}1{high.rjust(half)}"

    def of(self, row: Row) -> str:
        """Return the strip of a row: the line of 1 alone where there is no interval."""
        cells = [" "] * self.columns
        cells[self.columns // 2] = self.marks.one
        if row.interval is not None:
            self._draw(cells, row.interval)
        return "".join(cells)

    def _draw(self, cells: list[str], interval: Interval) -> None:
        low, estimate, high = (self._cell(one) for one in (interval.low, interval.estimate, interval.high))
        cells[low : high + 1] = self.marks.line * (high - low + 1)
        cells[low] = self.marks.low if self._is_inside(interval.low) else self.marks.cut[0]
        cells[high] = self.marks.high if self._is_inside(interval.high) else self.marks.cut[1]
        if self._is_inside(interval.estimate):
            cells[estimate] = self.marks.estimate

    def _is_inside(self, ratio: float) -> bool:
        return abs(_log(ratio)) <= math.log(self.reach) * (1 + 1e-9)

    def _cell(self, ratio: float) -> int:
        """Return the cell of a ratio; only 1 itself and its near are in the middle."""
        share = max(-1.0, min(1.0, _log(ratio) / math.log(self.reach)))
        half = self.columns // 2
        return half + round(share * half)


def strips(rows: Sequence[Row], columns: int, *, ascii_only: bool) -> Strips:
    """Return the strips of a table's rows."""
    return Strips(columns - 1 + columns % 2, _reach(row.interval for row in rows), ASCII if ascii_only else UNICODE)


def _reach(intervals: Iterable[Interval | None]) -> float:
    far = [max(abs(_log(one.low)), abs(_log(one.high))) for one in intervals if one is not None]
    if not far:
        return LEAST_REACH
    return math.exp(max(math.log(LEAST_REACH), min(max(far), _WILD * median(far), math.log(100))))


def _log(ratio: float) -> float:
    """Return the logarithm of a ratio, which may be 0 or infinite."""
    return math.log(min(1e6, max(1e-6, ratio)))
