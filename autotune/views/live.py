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
from typing import Literal, TextIO, TypeAlias

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from autotune import events
from autotune.config import Style
from autotune.records import CandidateResult, Phase, Session
from autotune.report import documents, sweep
from autotune.report import table as report_table
from autotune.report.continuing import continues_sentence
from autotune.report.strip import Strips, strips
from autotune.report.text import clock_text, printable, value_text
from autotune.views.output import OutputLines
from autotune.views.progress import SessionProgress, advance
from autotune.views.wording import PHASES, Line, Wording, shown_key

REDRAWS_PER_S = 2
WIDE_COLUMNS = 110
"""Least width at which notes have a column of their own."""

TONES = {"plain": "", "strong": "bold", "good": "green", "bad": "red", "warning": "magenta"}
ROWS: dict[report_table.RowKind, str] = {
    "winner": "bold green",
    "baseline": "bold",
    "faster": "green",
    "slower": "red",
    "same": "",
    "undecided": "",
    "invalid": "magenta",
}


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
        for line in documents.heading(session):
            self.console.print(Text(line, style="bold"))
        if session.results:
            ascii_only = self.console.options.ascii_only
            self.console.print(final_table(session, self.console.width, ascii_only=ascii_only))
            for line in (documents.session_footnote(session), *continues_sentence(session)):
                self.console.print(Text(line))
            self.console.print()
        self.console.print(Text(documents.conclusion(session), style="bold green" if session.winner else "bold"))
        for line in documents.bound_lines(session):
            self.console.print(Text(line))
        for caution in documents.cautions(session):
            self.console.print(Text(caution, style=TONES["warning"]))
        for line in documents.next_step(session, self._given):
            self.console.print(Text(line), soft_wrap=True)
        if session.spending is not None and session.spending.calls:
            self.console.print(Text(documents.spending_sentence(session.spending)))
        if session.transcript is not None:
            self.console.print(Text(f"The conversation: {printable(session.transcript)}"), soft_wrap=True)
        if session.results:
            self.console.print("To repeat it:")
            self.console.print(Text(documents.repeat_command(session, self._given)), soft_wrap=True)
        keep = documents.keep_command(session)
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


# --- tables ----------------------------------------------------------------------------------------------

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
    return _table(documents.session_table(session), width, notes=notes, coloured=True, ascii_only=ascii_only)


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
        drawn.append(_indented(Text(", ".join(facts), style=style, overflow="fold"), _BLOCK_INDENT))
        if notes != "none" and row.note:
            drawn.append(_indented(Text(row.note, overflow="fold"), _BLOCK_INDENT))
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
        Text(row.name if fits else row.scheduler, overflow="fold"), *(_indented(text, _INDENT) for text in under)
    )


def _text(line: Line) -> Padding:
    """Draw a line that keeps its indent where it wraps."""
    body = line.text.lstrip(" ")
    return _indented(Text(body, style=TONES[line.tone]), len(line.text) - len(body))


def _indented(text: Text, columns: int) -> Padding:
    return Padding(text, (0, 0, 0, columns))
