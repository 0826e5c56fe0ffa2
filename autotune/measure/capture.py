# SPDX-License-Identifier: MIT
"""Keeps a bounded part of a command's output while draining all of it: head and tail, and the metric's matches.

Memory stays bounded whatever the command prints. Standard library only; part of the measuring helper.
"""

from __future__ import annotations

import contextlib
import re
import signal
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from autotune.errors import UsageError
from autotune.expressions import compiled
from autotune.measure.shown import Shown

try:
    from re import _parser  # type: ignore[attr-defined]
except ImportError:  # Python 3.10
    import sre_parse as _parser

MATCHES_KEPT = 3
MATCH_CHARACTERS = 256
SEARCH_S = 1.0
"""CPU time for which one piece of output may be searched: an expression can take exponential time."""
TEXT_CHARACTERS = 1 << 17
"""Characters of a stream that an expression over several lines can see: half from its head, half from its tail."""


class KeptOutput:
    """Head and tail of one stream, at most `keep_bytes` together."""

    def __init__(self, keep_bytes: int) -> None:
        self.keep_bytes = max(0, keep_bytes)
        self.total_bytes = 0
        self._head_limit = self.keep_bytes // 2
        self._tail_limit = self.keep_bytes - self._head_limit
        self._head = bytearray()
        self._tail = bytearray()

    def add(self, chunk: bytes) -> None:
        self.total_bytes += len(chunk)
        room = self._head_limit - len(self._head)
        if room > 0:
            self._head += chunk[:room]
            chunk = chunk[room:]
        self._tail += chunk[max(0, len(chunk) - self._tail_limit) :]
        if len(self._tail) > 4 * self._tail_limit:  # rarely, so that small pieces cost little each
            self._trim()

    def _trim(self) -> None:
        del self._tail[: max(0, len(self._tail) - self._tail_limit)]

    def output(self) -> dict[str, Any]:
        """Return the fields of `records.Output`."""
        self._trim()
        head, tail = bytes(self._head), bytes(self._tail)
        if self.total_bytes <= self.keep_bytes:
            head, tail = head + tail, b""
        else:
            head, tail = without_torn_end(head), without_torn_start(tail)
        return {
            "head": head.decode("utf-8", "backslashreplace"),
            "tail": tail.decode("utf-8", "backslashreplace"),
            "total_bytes": self.total_bytes,
            "omitted_bytes": self.total_bytes - len(head) - len(tail),
        }


def without_torn_end(data: bytes) -> bytes:
    """Return `data` without a UTF-8 sequence that a cut left incomplete at its end."""
    for back in range(1, min(3, len(data)) + 1):
        byte = data[-back]
        if byte >= 0xC0:
            wanted = 2 + (byte >= 0xE0) + (byte >= 0xF0)
            return data[:-back] if wanted > back else data
        if byte < 0x80:
            break
    return data


def without_torn_start(data: bytes) -> bytes:
    """Return `data` without the rest of a UTF-8 sequence whose beginning was cut off."""
    skip = 0
    while skip < min(3, len(data)) and 0x80 <= data[skip] < 0xC0:
        skip += 1
    return data[skip:]


class _TooSlow(BaseException):
    """The search took more than its time. No Exception, so that nobody else handles it."""


def _expire(*_signal: object) -> None:
    raise _TooSlow


@contextlib.contextmanager
def _limited(cpu_s: float) -> Iterator[None]:
    """Raise _TooSlow once the block has taken so much CPU time of this process. The `re` module heeds signals while it
    searches."""
    signal.setitimer(signal.ITIMER_VIRTUAL, cpu_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


class MetricSearch:
    """Searches several streams for the metric's expression: each line as a terminal shows it in the end, or, for an
    expression that spans lines and for one that no line matches, the kept part of the whole text. `error` says why it
    stopped before the end; None while it did not."""

    def __init__(self, expression: str) -> None:
        """Compile the expression; in the main thread only, which gets the signal that ends a search. Raises UsageError
        when it is not a regular expression."""
        try:
            self._expression = compiled(expression)
            self._across_lines = compiled(expression, re.MULTILINE)
        except ValueError as error:
            raise UsageError(
                f"the metric {expression!r} is not a regular expression: {error}",
                hint="give a Python regular expression whose first group is the number, such as 'took ([0-9.]+) ms'",
            ) from error
        signal.signal(signal.SIGVTALRM, _expire)
        self.error: str | None = None
        self.count = 0
        self.matches: list[str] = []
        self._spans_lines = spans_lines(self._expression)
        self._needed = needed_text(self._expression)
        self._streams: dict[str, tuple[Shown, KeptLines]] = {}

    def add(self, stream: str, chunk: bytes) -> None:
        """Search the lines that this piece of output makes final."""
        self._bounded(lambda: self._add(stream, chunk))

    def finish(self) -> None:
        """Search the last lines and, where needed, the whole text."""
        self._bounded(self._finish)

    def _bounded(self, search: Callable[[], None]) -> None:
        if self.error is not None:
            return
        try:
            with _limited(SEARCH_S):
                search()
        except _TooSlow:
            shown = self._expression.pattern[:200]
            self.error = f"searching the output for the metric {shown!r} took more than {SEARCH_S:g} s of CPU"

    def _add(self, stream: str, chunk: bytes) -> None:
        if stream not in self._streams:
            lines = KeptLines()
            self._streams[stream] = (Shown(partial(self._take, lines)), lines)
        self._streams[stream][0].add(chunk)

    def _take(self, lines: KeptLines, fresh: list[str]) -> None:
        if not fresh:
            return
        text = "\n".join(fresh)
        lines.add(text)
        if self._spans_lines or not self._may_match(text):
            return
        for line in fresh:
            if self._may_match(line):
                self._search(self._expression, line)

    def _may_match(self, text: str) -> bool:
        """Return whether a match is possible; to look for a plain text takes a hundredth of the time."""
        return self._needed in text

    def _finish(self) -> None:
        for screen, _ in self._streams.values():
            screen.finish()
        if self.count == 0:
            for _, lines in self._streams.values():
                for text in lines.texts():
                    self._search(self._across_lines, text)
        self._streams.clear()

    def _search(self, expression: re.Pattern[str], text: str) -> None:
        for match in expression.finditer(text):
            self.count += 1
            if len(self.matches) < MATCHES_KEPT:
                self.matches.append(captured(match)[:MATCH_CHARACTERS])


class KeptLines:
    """Head and tail of a text, each at most half of TEXT_CHARACTERS but for one line."""

    def __init__(self) -> None:
        self._head: list[str] = []
        self._head_room = TEXT_CHARACTERS // 2
        self._tail: deque[str] = deque()
        """Pieces of whole lines."""
        self._tail_length = 0
        self._is_cut = False

    def add(self, text: str) -> None:
        """Add lines, as a text without the last newline."""
        if self._head_room > 0:
            head, rest = cut_after(text, self._head_room)
            self._head.append(head)
            self._head_room -= len(head) + 1
            if rest is None:
                return
            text = rest
        self._tail.append(text)
        self._tail_length += len(text) + 1
        while self._tail_length - len(self._tail[0]) - 1 >= TEXT_CHARACTERS // 2:
            self._tail_length -= len(self._tail.popleft()) + 1
            self._is_cut = True

    def texts(self) -> list[str]:
        """Return the text, in two parts where something is left out between them."""
        tail = "\n".join(self._tail)
        if len(tail) > TEXT_CHARACTERS // 2:
            after = len(tail) - TEXT_CHARACTERS // 2
            found = tail.find("\n", after - 1)
            start = (tail.rfind("\n") if found < 0 else found) + 1
            self._is_cut = self._is_cut or start > 0
            tail = tail[start:]
        if self._is_cut:
            return ["\n".join(self._head), tail]
        return ["\n".join([*self._head, *([tail] if self._tail else [])])]


def cut_after(text: str, length: int) -> tuple[str, str | None]:
    """Cut a text after the line that holds its `length`th character. Returns what comes after it too; None when there
    is no further line."""
    end = text.find("\n", length - 1)
    return (text, None) if end < 0 else (text[:end], text[end + 1 :])


_ANY_CHARACTER = re.compile(r"\[(?:\\s\\S|\\S\\s|\\d\\D|\\D\\d|\\w\\W|\\W\\w)\]|\(\?[aiLmux]*s[aiLmsux]*[-:)]")


def spans_lines(expression: re.Pattern[str]) -> bool:
    """Return whether an expression is meant to match across lines: it has a newline, `(?s)`, or a set of every
    character."""
    text = expression.pattern.replace("\\\\", "")
    newline = "\\n" in text or ("\n" in text and not expression.flags & re.VERBOSE)
    return newline or bool(expression.flags & re.DOTALL) or _ANY_CHARACTER.search(text) is not None


def needed_text(expression: re.Pattern[str]) -> str:
    """Return a text that every match of an expression contains, the longest that is known; empty where none is."""
    if expression.flags & re.IGNORECASE:
        return ""
    try:
        parsed = _parser.parse(expression.pattern, expression.flags)
        return max(_needed_parts(parsed), key=len, default="")
    except Exception:  # it is no part of Python that is promised to stay: then every line is searched
        return ""


def _needed_parts(parsed: Any) -> list[str]:
    """Return the texts that what was parsed needs: literal characters in a row, also within groups and what is
    repeated."""
    found, run = [], ""
    for operation, argument in parsed:
        if str(operation) == "LITERAL":
            run += chr(argument)
            continue
        found.append(run)
        run = ""
        if str(operation) == "SUBPATTERN" and not argument[1]:  # it sets no flags of its own
            found += _needed_parts(argument[3])
        elif str(operation) in ("MAX_REPEAT", "MIN_REPEAT") and argument[0] > 0:
            found += _needed_parts(argument[2])
    return [*found, run]


def captured(match: re.Match[str]) -> str:
    """Return the first group, or the whole match if there is no group or it did not take part."""
    if match.re.groups and match.group(1) is not None:
        return match.group(1)
    return match.group(0)
