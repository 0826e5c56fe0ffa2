# SPDX-License-Identifier: MIT
"""The view at a terminal: lasting lines scroll above a moving part that shows the state of the session.

It uses only the terminal's own foreground and a few of its ANSI colours, so that it is readable on light and dark
backgrounds; rich honours `NO_COLOR`. The moving part is redrawn twice a second: often enough to look alive, rarely
enough not to disturb the measurement.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from statistics import median
from types import TracebackType
from typing import Literal, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.text import Text

from autotune import events
from autotune.config import Style
from autotune.records import Phase, Session
from autotune.report import commands, sentences, session_table, sweep
from autotune.report.continuing import continues_sentence
from autotune.report.text import clock_text, printable, value_text
from autotune.views.output import OutputLines
from autotune.views.progress import SessionProgress, advance
from autotune.views.terminal_table import final_table, indented, standings
from autotune.views.wording import PHASES, Line, Wording, shown_key

REDRAWS_PER_S = 2

TONES = {"plain": "", "strong": "bold", "good": "green", "bad": "red", "warning": "magenta"}


def console(stream: TextIO, style: Style) -> Console:
    """Return the console of a style. What the user asks for goes before what the terminal seems to be able to do."""
    if style in ("full", "color"):
        colours: Literal["auto", "standard"] = "auto" if stream.isatty() else "standard"
        return Console(
            file=stream,
            highlight=False,
            soft_wrap=False,
            force_terminal=True,
            force_interactive=True,
            no_color=False,
            color_system=colours,
        )
    return Console(file=stream, highlight=False, soft_wrap=False, no_color=True if style == "nocolor" else None)


class LiveView:
    """Draws to a terminal. A context manager: however it is left, the moving part is removed and the cursor is shown
    again. The bar shows `budget_s`; `given` is as for PlainView. Without a moving part (`moves`), every line lasts."""

    def __init__(
        self,
        stream: TextIO,
        *,
        budget_s: float,
        given: Sequence[str] = (),
        verbose: bool = False,
        clock: Callable[[], float] = time.monotonic,
        console: Console | None = None,
        moves: bool = True,
    ) -> None:
        self.console = console or Console(file=stream, highlight=False, soft_wrap=False)
        self._moves = moves
        self._budget_s = budget_s
        self._given = given
        self._clock = clock
        self._paused_s = 0.0
        self._wording = Wording(verbose=verbose)
        self._output = OutputLines()
        self._progress = SessionProgress(started_s=clock())
        self._live = self._moving_part()

    def _moving_part(self) -> Live:
        """Return a moving part that is not drawn yet. One that was stopped is not started again: it remembers how high
        it was, and would erase as many lines above the cursor, such as a question and its answer."""
        return Live(
            console=self.console,
            get_renderable=self._draw,
            refresh_per_second=REDRAWS_PER_S,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> LiveView:
        self._live = self._moving_part()
        if self._moves:
            self._live.start(refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def __call__(self, event: events.Event) -> None:
        if isinstance(event, events.OutputSeen):
            self._show_output(self._output.feed(event))
            return
        if isinstance(event, events.RunFinished):
            self._show_output(self._output.finish())
        self._progress = advance(self._progress, event, self._now_s())
        for line in self._wording.lines(event):
            if line.lasting or not self._moves:
                self.console.print(_text(line))
        if isinstance(event, events.Finished):
            self._live.stop()
            self._finish(event.session)
        elif self._moves and isinstance(event, (events.RunStarted, events.Step)):
            self._live.refresh()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Hide the moving part while the user answers a question, which takes nothing of the budget."""
        self._live.stop()
        began_s = self._clock()
        try:
            yield
        finally:
            self._paused_s += self._clock() - began_s
            self.__enter__()

    def _now_s(self) -> float:
        return self._clock() - self._paused_s

    def _finish(self, session: Session) -> None:
        """Print the table, the recommendation, and the command that repeats the session. The terminal wraps the
        command, so that it can be copied whole."""
        self.console.print()
        for line in sentences.heading(session):
            self.console.print(Text(line, style="bold"))
        if session.results:
            ascii_only = self.console.options.ascii_only
            self.console.print(final_table(session, self.console.width, ascii_only=ascii_only))
            for line in (session_table.session_footnote(session), *continues_sentence(session)):
                self.console.print(Text(line))
            self.console.print()
        self.console.print(Text(sentences.conclusion(session), style="bold green" if session.winner else "bold"))
        for line in sentences.why_lines(session):
            self.console.print(Text(line))
        for caution in sentences.cautions(session):
            self.console.print(Text(caution, style=TONES["warning"]))
        for line in commands.next_step(session, self._given):
            self.console.print(Text(line), soft_wrap=True)
        if session.spending is not None and session.spending.calls:
            self.console.print(Text(sentences.spending_sentence(session.spending)))
        if session.transcript is not None:
            self.console.print(Text(f"The conversation: {printable(session.transcript)}"), soft_wrap=True)
        if session.results:
            self.console.print("To repeat it:")
            self.console.print(Text(commands.repeat_command(session, self._given)), soft_wrap=True)
        keep = commands.keep_command(session)
        if keep is not None:
            self.console.print(Text(f"To keep it: {keep}"), soft_wrap=True)
        for line in sweep.winner_lines(session):
            self.console.print(Text(line), soft_wrap=True)

    def _show_output(self, lines: list[str]) -> None:
        for line in lines:
            self.console.print(Text(f"  | {line}"))

    def _draw(self) -> RenderableType:
        size = self.console.size
        return moving(
            self._progress,
            now_s=self._now_s(),
            budget_s=self._budget_s,
            width=size.width,
            height=size.height,
            is_time=self._wording.is_time,
            ascii_only=self.console.options.ascii_only,
        )


# --- the moving part -------------------------------------------------------------------------------------


def moving(
    progress: SessionProgress,
    *,
    now_s: float,
    budget_s: float,
    width: int,
    height: int,
    is_time: bool,
    ascii_only: bool = False,
) -> RenderableType:
    """Draw the moving part. On a low terminal, the end of the standings is cut off."""
    parts: list[RenderableType] = [Text(), *_where(progress, now_s, is_time=is_time)]
    parts.append(_budget(progress, now_s, budget_s, width, ascii_only))
    room = height - len(parts) - 2  # one for the gap, one for the cursor
    for count in range(min(room, len(progress.results)), 0, -1):
        shown = standings(progress.results[:count], width, is_time=is_time, ascii_only=ascii_only)
        if _height(shown, width) <= room:
            return Group(*parts, Text(), shown)
    return Group(*parts)


def _height(drawn: RenderableType, width: int) -> int:
    """Return how many lines it takes; rows of a narrow table take several. What is higher than the terminal could not
    be erased."""
    console = Console(width=width, file=io.StringIO())
    return len(console.render_lines(drawn))


def _where(progress: SessionProgress, now_s: float, *, is_time: bool) -> list[Text]:
    """Draw phase, round and run; then the current step, the attached scheduler, and the last run."""
    if progress.phase is None:
        return [_one_line(f"{progress.step} ...")]
    head = _one_line(_place(progress, progress.phase), "bold")
    if progress.running is not None:
        doing = f"Running under {shown_key(progress.running)} for {now_s - progress.run_started_s:.0f} s"
    else:
        doing = f"{progress.step or 'Between runs'} ..."
    attached = printable(progress.attached) if progress.attached else "none (EEVDF)"
    known = [_one_line(f"Last run: {last_run(progress, is_time=is_time)}")] if progress.last is not None else []
    return [head, _one_line(doing, "cyan"), _one_line(f"Attached: {attached}"), *known]


def last_run(progress: SessionProgress, *, is_time: bool) -> str:
    """Return what the last run showed, and the median of its scheduler's runs so far."""
    if progress.last is None:
        return ""
    name = shown_key(progress.last.candidate)
    if progress.last.value is None:
        return f"{name}, does not count: {printable(progress.last.invalid or '')}"
    text = f"{name} {value_text(progress.last.value, is_time=is_time)}"
    values = progress.values_of(progress.last.candidate)
    if progress.last.phase == "warmup" or len(values) < 2:
        return text
    return f"{text}, median of {len(values)} runs {value_text(median(values), is_time=is_time)}"


def _place(progress: SessionProgress, phase: Phase) -> str:
    if not progress.order:
        return f"{PHASES[phase]}: run {progress.round}"
    run = min(progress.round_runs + 1, len(progress.order))
    return f"{PHASES[phase]}: round {progress.round} of {progress.at_most}, run {run} of {len(progress.order)}"


def _one_line(text: str, style: str = "") -> Text:
    return Text(text, style=style, no_wrap=True, overflow="ellipsis")


_PHASE_COLUMNS = 80
"""Least width at which the time left of the phase is shown beside that of the session."""


def _budget(progress: SessionProgress, now_s: float, budget_s: float, width: int, ascii_only: bool) -> Text:
    spent_s = now_s - progress.started_s
    text = (
        f" {clock_text(spent_s)} of {clock_text(budget_s)}, at most {clock_text(progress.left_s(now_s, budget_s))} left"
    )
    phase_s = progress.phase_left_s(now_s)
    if phase_s is not None and progress.phase is not None and width >= _PHASE_COLUMNS:
        text += f" ({PHASES[progress.phase].lower()}: {clock_text(phase_s)})"
    cells = max(10, min(40, width - len(text) - 8))
    filled = round(cells * min(1.0, spent_s / budget_s))
    done, rest = ("#", "-") if ascii_only else ("\u2501", "\u2500")
    return _one_line("Budget ").append(done * filled, "cyan").append(rest * (cells - filled)).append(text)


def _text(line: Line) -> Padding:
    """Draw a line that keeps its indent where it wraps."""
    body = line.text.lstrip(" ")
    return indented(Text(body, style=TONES[line.tone]), len(line.text) - len(body))
