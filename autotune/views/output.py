# SPDX-License-Identifier: MIT
"""The workload's output as printable lines, to be shown between our own."""

from __future__ import annotations

import codecs

from autotune.events import OutputSeen
from autotune.report.text import printable

LONGEST_LINE = 2000
"""Characters after which an unfinished line is shown: a program may never end it."""


class OutputLines:
    """Assembles pieces of output into lines, for each stream separately."""

    def __init__(self) -> None:
        self._decoders = {name: _decoder() for name in ("stdout", "stderr")}
        self._open = {"stdout": "", "stderr": ""}

    def feed(self, piece: OutputSeen) -> list[str]:
        """Return the lines that this piece completes. Of a line that a progress bar rewrites by carriage returns, only
        the last version is kept."""
        text = self._open[piece.stream] + self._decoders[piece.stream].decode(piece.data)
        *whole, rest = text.split("\n")
        while len(rest) > LONGEST_LINE:
            whole.append(rest[:LONGEST_LINE])
            rest = rest[LONGEST_LINE:]
        self._open[piece.stream] = rest
        return [_last_shown(line) for line in whole]

    def finish(self) -> list[str]:
        """Return the unfinished lines, at the end of a run."""
        left = [text + self._decoders[name].decode(b"", final=True) for name, text in self._open.items()]
        self._decoders = {name: _decoder() for name in self._decoders}
        self._open = dict.fromkeys(self._open, "")
        return [_last_shown(text) for text in left if text]


def _decoder() -> codecs.IncrementalDecoder:
    return codecs.getincrementaldecoder("utf-8")(errors="replace")


def _last_shown(line: str) -> str:
    return printable(line.rstrip("\r").rpartition("\r")[2])
