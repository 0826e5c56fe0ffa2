# SPDX-License-Identifier: MIT
"""`--plot`: every run by scheduler, and in order of time, as text. plotext draws; it is imported only here.

What always holds here: the text has no colour and no control character, so that it may go anywhere.
"""

from __future__ import annotations

import math
import string
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from autotune.errors import AutotuneError, UsageError
from autotune.records import BASELINE, Session, Trial, is_baseline
from autotune.report import session_table
from autotune.report.text import counted, scale_for

LEAST_VERSION = 6
_INSTALL = "pip install 'autotune-sched[plot]'"
_MOST_COLUMNS, _PIPE_COLUMNS, _LEAST_COLUMNS = 120, 80, 40
_ROWS = 18
_FRAME_ROWS = 4
"""Title, two lines of the frame, and the numbers below."""
_LETTERS = string.ascii_letters.replace("o", "").replace("O", "")
_TO_ASCII = str.maketrans("\u2500\u2502\u250c\u2510\u2514\u2518\u251c\u2524\u252c\u2534\u253c", "-|+++++++++")


def require() -> None:
    """Raise UsageError when plotext is not installed, or too old."""
    from importlib import metadata

    try:
        version = metadata.version("plotext")
    except metadata.PackageNotFoundError:
        raise UsageError("--plot needs plotext, which is not installed", hint=_INSTALL) from None
    if int(version.partition(".")[0]) < LEAST_VERSION:
        raise UsageError(f"--plot needs plotext {LEAST_VERSION} or later; {version} is installed", hint=_INSTALL)


def show(session: Session, stream: TextIO, columns: int) -> None:
    """Write the plots to a terminal of `columns`, or to whatever else the stream is. Raises AutotuneError when they
    cannot be drawn."""
    width = max(_LEAST_COLUMNS, min(columns, _MOST_COLUMNS)) if stream.isatty() else _PIPE_COLUMNS
    try:
        drawn = text(session, width)
    except Exception as error:
        what = f"the runs could not be plotted: {type(error).__name__}: {error}"
        raise AutotuneError(what, hint="the report has them all", stage="report") from error
    is_unicode = (stream.encoding or "").lower().startswith("utf")
    stream.write(f"\n{drawn if is_unicode else drawn.translate(_TO_ASCII)}")
    stream.flush()


def text(session: Session, width: int) -> str:
    """Return both plots and what their letters mean; a sentence when there is nothing to plot."""
    runs = _runs(session)
    if not runs:
        return "No run counts, so there is nothing to plot.\n"
    is_time = session.metric == session_table.WALL_METRIC
    scale = scale_for((one.value for trials in runs.values() for one in trials if one.value), is_time=is_time)
    unit = f" [{scale.unit}]" if scale.unit else ""
    letters = _letters(list(runs))
    points = {
        key: [(one.started_at - session.started_at, (one.value or 0.0) * scale.factor) for one in trials]
        for key, trials in runs.items()
    }
    disturbed = [one.started_at - session.started_at for trials in runs.values() for one in trials if one.disturbed]
    title = f"Every run in order of time{unit}, seconds since the start"
    parts = [
        _by_scheduler(points, letters, width, f"Every run by scheduler{unit}"),
        _in_order(points, letters, width, title, disturbed),
        *_legend(session, letters),
    ]
    return "\n".join(parts) + "\n"


Points = Mapping[str, Sequence[tuple[float, float]]]
"""Time and value of each run, by candidate."""


def _runs(session: Session) -> dict[str, list[Trial]]:
    """Return the valid runs of EEVDF and of each candidate as ranked, in order of time, without warm-up."""
    ranked = [result.candidate.key for result in session.results]
    eevdf = [key for key in ranked if is_baseline(key)] or [BASELINE]
    found: dict[str, list[Trial]] = {key: [] for key in (*eevdf, *ranked)}
    for trial in sorted(session.trials, key=lambda one: one.started_at):
        if trial.phase != "warmup" and trial.value is not None and math.isfinite(trial.value):
            found.setdefault(trial.candidate, []).append(trial)
    return {key: trials for key, trials in found.items() if trials}


def _letters(keys: Sequence[str]) -> dict[str, str]:
    """Return a letter for each candidate; o is EEVDF, at its best value. Of very many, the last share one."""
    best = next((key for key in keys if is_baseline(key)), BASELINE)
    others = [key for key in keys if key != best]
    given = {key: _LETTERS[number] if number < len(_LETTERS) else "*" for number, key in enumerate(others)}
    return {key: "o" if key == best else given[key] for key in keys}


def _by_scheduler(points: Points, letters: Mapping[str, str], width: int, title: str) -> str:
    figure = _figure(width, len(points) + _FRAME_ROWS, title)
    rows = range(len(points), 0, -1)
    for row, (key, runs) in zip(rows, points.items(), strict=True):
        figure.draw(figure.signal([value for _, value in runs], [row] * len(runs), marker=letters[key]))
    _y_axis(figure).ticks(list(rows), [letters[key] for key in points])
    _y_axis(figure).lim(*((1, len(points)) if len(points) > 1 else (0.5, 1.5)))
    return _drawn(figure)


def _in_order(
    points: Points, letters: Mapping[str, str], width: int, title: str, disturbed: Sequence[float] = ()
) -> str:
    """Draw the runs by time, and a mark below each time at which one was `disturbed`."""
    figure = _figure(width, _ROWS, title)
    for key, runs in points.items():
        times, values = zip(*runs, strict=True)
        figure.draw(figure.signal(list(times), list(values), marker=letters[key]))
    if disturbed:
        drawn = [value for runs in points.values() for _, value in runs]
        below = min(drawn) - (max(drawn) - min(drawn)) / (_ROWS - _FRAME_ROWS)
        figure.draw(figure.signal(list(disturbed), [below] * len(disturbed), marker="!"))
    return _drawn(figure)


def _figure(width: int, height: int, title: str) -> Any:
    import plotext

    figure = plotext.figure
    figure.clear()
    figure.theme("colorless")
    figure.plot_size(width, height)
    figure.title(title)
    figure.legend(False)
    return figure


def _y_axis(figure: Any) -> Any:
    return figure.ruler("y", "left")


def _drawn(figure: Any) -> str:
    drawn: str = figure.build().string(colorless=True)
    return "\n".join(line.rstrip() for line in drawn.splitlines())


def _legend(session: Session, letters: Mapping[str, str]) -> list[str]:
    rows = session_table.session_table(session).rows
    names = {result.candidate.key: row.name for result, row in zip(session.results, rows, strict=True)}
    lines = [f"  {letter}  {names.get(key, 'EEVDF' if key == BASELINE else key)}" for key, letter in letters.items()]
    hit = sum(bool(one.disturbed) for one in session.trials if one.phase != "warmup" and one.value is not None)
    if hit:
        lines.append(f"  !  at the lower edge: {counted(hit, 'run')} disturbed from outside")
    lost = sum(one.value is None for one in session.trials if one.phase != "warmup")
    counts = "does not count and is" if lost == 1 else "do not count and are"
    return [*lines, *([f"{counted(lost, 'run')} {counts} not drawn."] if lost else [])]
