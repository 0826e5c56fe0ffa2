# SPDX-License-Identifier: MIT
"""Reduces an output to what a terminal shows of it in the end: no colours, and nothing that was overwritten or erased.

Programs write progress into one line again and again (carriage returns, backspaces), or move the cursor up and write
some lines anew; a number that people see may be split by colours. The controls that such programs use are followed;
those of whole screens only as far as they move the cursor. Memory and time stay bounded whatever comes. Standard
library only; part of the measuring helper.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable

ROWS = 100
"""Lines that the cursor can still return to; earlier ones are final."""
LINE_CHARACTERS = 1 << 16
"""Characters of a line that are kept; the rest of a longer line is ignored."""
_HELD_BACK = 4096
"""Characters at the end of a piece that may be the beginning of a control sequence."""
_LONG = 1 << 10
_MOST = 1 << 12
"""The furthest that one control moves."""

_CONTROL = re.compile(
    r"\x1b\[([0-?]*)[ -/]*([@-~])"  # CSI: parameters, final
    r"|\x1b[\]PX^_][^\x07\x1b]{0,4096}(?:\x07|\x1b\\)"  # titles, links and other strings
    r"|\x1b[ -/]*[0-~]"  # two characters
    r"|[\n\r\b\x07\x0e\x0f]"
)
_TORN = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|[\]PX^_][^\x07\x1b]*\x1b?|[ -/]*)?\Z")
_PLAIN = re.compile(r"[\x1b\r\b\x07\x0e\x0f]")


class Shown:
    """Follows one stream. `lines` gets lines once they cannot change any more, in order, many at a time."""

    def __init__(self, lines: Callable[[list[str]], None]) -> None:
        self._lines = lines
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        self._rows: list[list[str] | str] = [[]]
        """Characters of a line that is being written; a line that was left may be one string."""
        self._row = 0
        self._column = 0
        self._torn = ""

    def add(self, chunk: bytes) -> None:
        self._follow(self._decoder.decode(chunk))

    def finish(self) -> None:
        """Pass on what is left; the last line may lack a newline."""
        self._follow(self._decoder.decode(b"", final=True))
        if not self._rows[-1]:
            self._rows.pop()
        self._lines(["".join(row) for row in self._rows])
        self._rows, self._row, self._column, self._torn = [[]], 0, 0, ""

    def _follow(self, text: str) -> None:
        text, self._torn = self._torn + text, ""
        torn = _TORN.search(text, max(0, len(text) - _HELD_BACK))
        if torn is not None:
            text, self._torn = text[: torn.start()], torn[0]
        if self._is_plain(text):
            self._add_lines(text)
            return
        at = 0
        for control in _CONTROL.finditer(text):
            self._write(text[at : control.start()])
            self._obey(control)
            at = control.end()
        self._write(text[at:])

    # --- text ---

    def _is_plain(self, text: str) -> bool:
        """Return whether the text only continues the last line and adds more: nearly all output does."""
        at_end = self._row == len(self._rows) - 1 and self._column == len(self._rows[-1])
        return at_end and _PLAIN.search(text) is None

    def _add_lines(self, text: str) -> None:
        first, *others = text.split("\n")
        self._write(first)
        if others:
            whole = others[:-1]
            self._rows += whole if len(text) <= LINE_CHARACTERS else [line[:LINE_CHARACTERS] for line in whole]
            self._row = len(self._rows) - 1
            self._new_line()
            self._write(others[-1])

    def _write(self, text: str) -> None:
        column = self._column
        text = text[: max(0, LINE_CHARACTERS - column)]
        if text:
            row = self._current()
            if column > len(row):
                row.extend(" " * (column - len(row)))
            row[column : column + len(text)] = text
            self._column = column + len(text)

    def _current(self) -> list[str]:
        row = self._rows[self._row]
        if isinstance(row, str):
            row = self._rows[self._row] = list(row)
        return row

    def _new_line(self) -> None:
        left = self._rows[self._row]
        if len(left) > _LONG and not isinstance(left, str):
            self._rows[self._row] = "".join(left)  # takes an eighth of the memory
        self._row += 1
        self._column = 0
        if self._row == len(self._rows):
            self._rows.append([])
        final = len(self._rows) - ROWS
        if final > 0:
            self._lines([row if isinstance(row, str) else "".join(row) for row in self._rows[:final]])
            del self._rows[:final]
            self._row = max(0, self._row - final)

    # --- controls ---

    def _obey(self, control: re.Match[str]) -> None:
        if control[2] is not None:
            self._obey_sequence(control[2], control[1])
        elif control[0] == "\n":
            self._new_line()
        elif control[0] == "\r":
            self._column = 0
        elif control[0] == "\b":
            self._column = max(0, self._column - 1)

    def _obey_sequence(self, final: str, parameters: str) -> None:
        given = [int(text) if text.isdigit() else 0 for text in parameters[:64].split(";")]
        count = min(given[0] or 1, _MOST)
        if final in "AF":
            self._row = max(0, self._row - count)
        elif final in "BE":
            self._row = min(len(self._rows) - 1, self._row + count)
        elif final == "C":
            self._column = min(self._column + count, LINE_CHARACTERS)
        elif final == "D":
            self._column = max(0, self._column - count)
        elif final in "G`":
            self._column = count - 1
        elif final in "KJ":
            self._erase(final, given[0])
        elif final in "Hf":
            self._row = min(len(self._rows) - 1, count - 1)
            self._column = min(given[1], _MOST) - 1 if len(given) > 1 and given[1] else 0
        if final in "EF":
            self._column = 0

    def _erase(self, final: str, what: int) -> None:
        """Erase in the line or in the lines: from the cursor on (0), up to it (1), or all (2 and above)."""
        row = self._current()
        if what == 0:
            del row[self._column :]
        elif what == 1:
            row[: self._column + 1] = " " * min(len(row), self._column + 1)
        else:
            row.clear()
        if final == "J":
            if what != 1:
                self._rows[self._row + 1 :] = [""] * (len(self._rows) - self._row - 1)
            if what:
                self._rows[: self._row] = [""] * self._row
