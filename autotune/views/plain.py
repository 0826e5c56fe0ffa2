# SPDX-License-Identifier: MIT
"""The view for pipes, files and simple terminals: whole lines without control characters, each flushed at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import TextIO

from autotune import events
from autotune.report.plain_text import plain_text
from autotune.views.output import OutputLines
from autotune.views.wording import Wording


class PlainView:
    """Writes events to `stream`, and the report at the end. `given` are the options to name in the command that repeats
    the session."""

    def __init__(self, stream: TextIO, *, given: Sequence[str] = (), verbose: bool = False) -> None:
        self._stream = stream
        self._given = given
        self._wording = Wording(verbose=verbose)
        self._output = OutputLines()

    def __enter__(self) -> PlainView:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def __call__(self, event: events.Event) -> None:
        if isinstance(event, events.OutputSeen):
            self._write_all([f"  | {line}" for line in self._output.feed(event)])
            return
        if isinstance(event, events.RunFinished):
            self._write_all([f"  | {line}" for line in self._output.finish()])
        if isinstance(event, events.Finished):
            self._write_all(["", plain_text(event.session, self._given)])
            return
        self._write_all([line.text for line in self._wording.lines(event)])

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Do nothing: there is no moving part to hide."""
        yield

    def _write_all(self, lines: list[str]) -> None:
        for line in lines:
            self._stream.write(line + "\n")
            self._stream.flush()
