# SPDX-License-Identifier: MIT
"""Plots as plain text, by the real library."""

from __future__ import annotations

import io
import sys
from importlib import metadata

import pytest

from autotune.errors import AutotuneError, UsageError
from autotune.records import BASELINE, Session
from autotune.views import plot
from tests.support import sessions


def drifting(**changed: object) -> Session:
    """EEVDF becomes slower from run to run; at_batch does not."""
    trials = []
    for number in range(8):
        for key, wall_s in ((BASELINE, 2.0 + number * 0.1), (sessions.BATCH.key, 1.5)):
            at = 1_790_000_000.0 + number * 10
            trials.append(sessions.trial(key, round=number, started_at=at, run=sessions.run(wall_s=wall_s)))
    return sessions.session(trials=tuple(trials), **changed)


def in_order(text: str) -> list[str]:
    lines = text.splitlines()
    start = next(number for number, line in enumerate(lines) if "in order of time" in line)
    return lines[start:]


def test_every_run_is_drawn_by_scheduler_and_in_order_of_time() -> None:
    text = plot.text(drifting(), 80)
    assert "Every run by scheduler [s]" in text
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "\no\u2524" in text, "a line for EEVDF"
    assert "\na\u2524" in text, "a line for at_batch"
    [eevdf] = [line for line in text.splitlines() if line.startswith("o\u2524")]
    assert eevdf.count("o") == 1 + 8
    assert "  a  at_batch:slice_us=20000,stay=true" in text


def test_drift_shows_as_a_slope() -> None:
    rows = in_order(plot.text(drifting(), 80))
    places = [line.index("o") for line in rows if "o" in line and ("\u2502" in line or "\u2524" in line)]
    assert len(places) == 8
    assert places == sorted(places, reverse=True), "the top line is the slowest, and the latest"


@pytest.mark.parametrize("width", [40, 80, 120])
def test_it_has_no_colour_and_no_control_characters_at_any_width(width: int) -> None:
    text = plot.text(drifting(), width)
    assert "\x1b" not in text
    assert all(character.isprintable() for character in text.replace("\n", ""))


def test_a_second_plot_has_nothing_of_the_first() -> None:
    first = plot.text(drifting(), 80)
    plot.text(sessions.session(), 60)
    assert plot.text(drifting(), 80) == first


def test_nothing_to_plot_is_said() -> None:
    lost = (sessions.trial(value=None, invalid="exit code 2"), sessions.trial(phase="warmup"))
    assert plot.text(sessions.session(trials=lost), 80) == "No run counts, so there is nothing to plot.\n"
    one = (sessions.trial(), sessions.trial(sessions.BATCH.key, value=None, invalid="ejected"))
    assert "1 run does not count and is not drawn." in plot.text(sessions.session(trials=one), 80)


def test_many_candidates_and_odd_values_are_drawn() -> None:
    keys = [f"scx_{number}" for number in range(70)]
    trials = [sessions.trial(key, value=value) for key in keys for value in (1e-9, 1e9, float("inf"))]
    assert "scx_69" in plot.text(sessions.session(trials=tuple(trials), results=()), 80)


class Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("encoding", "is_ascii"), [("utf-8", False), ("ascii", True), ("latin-1", True)])
def test_a_stream_that_is_no_utf8_gets_ascii(encoding: str, is_ascii: bool) -> None:
    stream = Terminal(io.BytesIO(), encoding=encoding)
    plot.show(drifting(), stream, 60)
    stream.flush()
    written = stream.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]
    assert written.isascii() == is_ascii
    assert max(len(line) for line in written.splitlines()) <= 60


def test_a_failing_library_is_an_error_line_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "plotext", None)
    with pytest.raises(AutotuneError, match="could not be plotted"):
        plot.show(drifting(), io.StringIO(), 80)


@pytest.mark.parametrize("version", [None, "5.3.2"])
def test_a_missing_or_old_library_is_said_with_what_to_do(monkeypatch: pytest.MonkeyPatch, version: str | None) -> None:
    def found(name: str) -> str:
        if version is None:
            raise metadata.PackageNotFoundError(name)
        return version

    plot.require()
    monkeypatch.setattr(metadata, "version", found)
    with pytest.raises(UsageError, match="--plot needs plotext") as refused:
        plot.require()
    assert "autotune-sched[plot]" in refused.value.hint
