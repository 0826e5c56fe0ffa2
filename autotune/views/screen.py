# SPDX-License-Identifier: MIT
"""The listener that shows a session: its runs in a view, notices as lines, problems as errors."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

from autotune.config import Style
from autotune.errors import AutotuneError
from autotune.events import Event, Finished, Notice, Problem
from autotune.report.text import printable
from autotune.views.plain import PlainView

if TYPE_CHECKING:
    from autotune.views.live import LiveView


def view(
    stream: TextIO, *, budget_s: float, given: Sequence[str], verbose: bool = False, style: Style = "auto"
) -> LiveView | PlainView:
    """Return the live view at a terminal that can move its cursor, the plain view elsewhere, unless the style says
    otherwise. `full` and `color` go before what is known of the terminal, and before NO_COLOR."""
    can_move = stream.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown")
    if style in ("full", "color") or (can_move and style in ("auto", "nocolor")):
        from autotune.views.live import LiveView, console

        drawn_on = console(stream, style)
        moves = style != "color"
        return LiveView(stream, budget_s=budget_s, given=given, verbose=verbose, console=drawn_on, moves=moves)
    return PlainView(stream, given=given, verbose=verbose)


class Screen:
    """Shows a session at a terminal or in a pipe. A view that fails is switched off. `report` shows an error;
    `finished` is the last event of the session; `complete` is False when some requested output is missing."""

    def __init__(self, stream: TextIO, view: LiveView | PlainView, report: Callable[[AutotuneError], None]) -> None:
        self.finished: Finished | None = None
        self.complete = True
        self._stream = stream
        self._view = view
        self._report = report
        self._drawing = False
        self._broken = False

    def __enter__(self) -> Screen:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(Exception) if error or self._broken else contextlib.nullcontext():
            self._stop()

    def __call__(self, event: Event) -> None:
        if isinstance(event, Problem):
            self._stop()
            self._report(event.error)
            self.complete = self.complete and event.what == "knowledge"
        elif isinstance(event, Notice):
            self._stop()
            print(printable(event.text), file=self._stream, flush=True)
        else:
            self.finished = event if isinstance(event, Finished) else self.finished
            self._show(event)

    def _show(self, event: Event) -> None:
        """Show an event; begin to draw with the first one."""
        if self._broken:
            return
        try:
            if not self._drawing and self.finished in (None, event):
                self._view.__enter__()
                self._drawing = True
            self._view(event)
        except Exception:
            self._broken = True
            raise

    def _stop(self) -> None:
        if self._drawing:
            self._drawing = False
            self._view.__exit__(None, None, None)


class ProgressOnly(Screen):
    """A screen without the report, for a session that tries no candidate."""

    def _show(self, event: Event) -> None:
        if not isinstance(event, Finished):
            super()._show(event)
