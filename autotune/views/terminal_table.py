# SPDX-License-Identifier: MIT
"""Draws the ranked table at a terminal of any width: in columns with a strip of intervals, or as a block for each row.

Where columns do not fit, notes move below the names, then the strip goes, then each row becomes a block: no name and no
number is broken in two.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from autotune.records import CandidateResult, Session
from autotune.report import session_table
from autotune.report import table as report_table
from autotune.report.strip import Strips, strips

WIDE_COLUMNS = 110
"""Least width at which notes have a column of their own."""

ROWS: dict[report_table.RowKind, str] = {
    "winner": "bold green",
    "baseline": "bold",
    "faster": "green",
    "slower": "red",
    "same": "",
    "undecided": "",
    "invalid": "magenta",
}

_GAP = 2
"""Columns between two cells."""

_INDENT = 2
"""Indent of lines below a scheduler's name."""

Notes: TypeAlias = Literal["column", "below", "none"]
"""Place of notes: a column, below the scheduler's name, or nowhere."""

_NOTE_COLUMNS = 24
"""Width of the column of notes, with the gap before it; longer notes wrap."""


def standings(
    results: Sequence[CandidateResult], width: int, *, is_time: bool, ascii_only: bool = False
) -> RenderableType:
    """Draw the table during the race: without notes and colour, since nothing is decided yet."""
    shown = report_table.table(results, is_time=is_time)
    return _table(shown, width, notes="none", coloured=False, ascii_only=ascii_only)


def final_table(session: Session, width: int, *, ascii_only: bool = False) -> RenderableType:
    """Draw the table at the end of a session. Narrow terminals show notes below the name of the scheduler; those that
    have no room for names show a block of lines for each."""
    notes: Notes = "column" if width >= WIDE_COLUMNS else "below"
    return _table(session_table.session_table(session), width, notes=notes, coloured=True, ascii_only=ascii_only)


_LEAST_NAME_COLUMNS = 14
"""With less room for names, a table is a row of single letters."""


_STRIP_COLUMNS = (25, 21, 17, 13)
"""Widths of the strip of intervals, the widest that leaves room for names whole is taken."""


def _table(
    shown: report_table.Table, width: int, *, notes: Notes, coloured: bool, ascii_only: bool = False
) -> RenderableType:
    room = width - _taken(shown)
    beside = room - _NOTE_COLUMNS if notes == "column" and any(row.note for row in shown.rows) else room
    strip = _strip_columns(shown, beside)
    if beside != room and not strip and _strip_columns(shown, room):  # notes have a place elsewhere, the strip has none
        notes, beside, strip = "below", room, _strip_columns(shown, room)
    if beside != room and not _names_fit(shown, beside):
        notes, beside = "below", room
    if beside < _LEAST_NAME_COLUMNS or not _names_fit(shown, beside):  # a number broken in two reads as another one
        return _blocks(shown, notes=notes, coloured=coloured)
    drawn = strips(shown.rows, strip, ascii_only=ascii_only) if strip else None
    return _columns(shown, beside - (strip + _GAP if strip else 0), drawn, notes=notes, coloured=coloured)


def _strip_columns(shown: report_table.Table, room: int) -> int:
    """Return the width of the strip; 0 where there is no room or nothing to draw."""
    if all(row.interval is None for row in shown.rows):
        return 0
    needed = max(_LEAST_NAME_COLUMNS, *(len(part) for row in shown.rows for part in _parts(row, room)))
    return next((columns for columns in _STRIP_COLUMNS if room - columns - _GAP >= needed), 0)


def _parts(row: report_table.Row, room: int) -> Sequence[str]:
    """Return what may stand in a line of its own: the name, or its scheduler and knobs where it is long."""
    is_long = len(row.name) > room // 2
    return [row.scheduler, *(" " * _INDENT + part for part in row.parts)] if is_long else [row.name]


def _columns(
    shown: report_table.Table, room: int, drawn: Strips | None, *, notes: Notes, coloured: bool
) -> RenderableType:
    """Draw a line for each row, with `room` for names."""
    has_column = notes == "column" and any(row.note for row in shown.rows)
    count = len(shown.header) if has_column else len(shown.header) - 1
    flexible = {"note"} if notes != "below" and _names_fit(shown, room) else {"note", "scheduler"}
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 0, 0, 1), pad_edge=False, show_edge=False, header_style="bold")
    for number, name in enumerate(shown.header[:count]):
        side: Literal["left", "right"] = "right" if number in report_table.RIGHT_ALIGNED else "left"
        table.add_column(Text(name), justify=side, no_wrap=name not in flexible, overflow="fold")
        if drawn is not None and number == _SPEEDUP:
            table.add_column(Text(drawn.header()), no_wrap=True)
    for row in shown.rows:
        cells: list[RenderableType] = [Text(cell) for cell in row.cells[:count]]
        cells[1] = _name(row, room, below=notes == "below")
        if drawn is not None:
            cells.insert(_SPEEDUP + 1, Text(drawn.of(row)))
        table.add_row(*cells, style=ROWS[row.kind] if coloured else "")
    return table


_SPEEDUP = 4
"""Column of the speedup, which the strip follows."""


def _blocks(shown: report_table.Table, *, notes: Notes, coloured: bool) -> Group:
    """Draw each row as its name and, below it, what the columns hold."""
    drawn: list[RenderableType] = []
    for row in shown.rows:
        style = ROWS[row.kind] if coloured else ""
        cells = dict(zip(shown.header, row.cells, strict=True))
        facts = [
            f"{name.removesuffix(' [interval]')} {cell}"
            for name, cell in list(cells.items())[2:5]
            if cell not in ("", "-")
        ]
        facts += [row.verdict, f"{row.runs} {'run' if row.runs == '1' else 'runs'}"]
        drawn.append(Text(f"{row.rank:>2}  {row.name}", style=style, overflow="fold"))
        drawn.append(indented(Text(", ".join(facts), style=style, overflow="fold"), _BLOCK_INDENT))
        if notes != "none" and row.note:
            drawn.append(indented(Text(row.note, overflow="fold"), _BLOCK_INDENT))
    return Group(*drawn)


_BLOCK_INDENT = 4
"""Indent of what is below a name in a block: past the rank."""


def _taken(shown: report_table.Table) -> int:
    """Return the width of all columns but the scheduler's and the note's, with the gaps between them."""
    lines = [shown.header, *(row.cells for row in shown.rows)]
    return sum(max(len(line[column]) for line in lines) + _GAP for column in (0, 2, 3, 4, 5, 6))


def _names_fit(shown: report_table.Table, room: int) -> bool:
    """Return whether every name fits into the columns unbroken, whole or in parts one below the other."""
    parts = (part for row in shown.rows if len(row.name) > room for part in (row.scheduler, *row.parts))
    return all(len(part) + _INDENT <= room for part in parts)


def _name(row: report_table.Row, room: int, *, below: bool) -> RenderableType:
    """Draw scheduler and knobs in one line where they fit, otherwise the knobs below, indented."""
    fits = len(row.name) <= room
    under = [] if fits else [Text(part, overflow="fold") for part in row.parts]
    if below and row.note:
        under.append(Text(row.note, "not bold"))
    return Group(
        Text(row.name if fits else row.scheduler, overflow="fold"), *(indented(text, _INDENT) for text in under)
    )


def indented(text: Text, columns: int) -> Padding:
    """Draw a text that keeps its indent where it wraps."""
    return Padding(text, (0, 0, 0, columns))
