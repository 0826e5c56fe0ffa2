# SPDX-License-Identifier: MIT
"""What people see at a terminal while a session runs."""

from __future__ import annotations

import contextlib
import io
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from autotune import events
from autotune.records import BASELINE, Candidate
from autotune.views.live import LiveView, moving
from autotune.views.progress import SessionProgress
from tests.support import sessions
from tests.support.drawn_text import drawn
from tests.support.session_progress import ROUND, fold

ROOT = Path(__file__).parents[3]


def terminal(width: int, height: int = 40, **options: Any) -> Console:
    return Console(file=io.StringIO(), width=width, height=height, force_terminal=True, highlight=False, **options)


def moving_text(progress: SessionProgress, width: int = 80, height: int = 24, **options: Any) -> str:
    part = moving(progress, now_s=65.0, budget_s=600.0, width=width, height=height, is_time=True, **options)
    return drawn(part, width)


@pytest.mark.parametrize("width", [40, 80, 140])
def test_the_moving_part_says_where_the_session_stands(width: int) -> None:
    text = moving_text(
        fold(
            events.Standings(sessions.results()),
            ROUND,
            sessions.attached(sessions.FIFO),
            events.RunStarted("race", 2, sessions.FIFO.key),
        ),
        width,
    )
    assert "Race: round 2 of 4, run 1 of 2" in text
    assert "Running under at_fifo:slice_us=5000 fo" in text
    assert "Attached: at_fifo" in text
    assert max(len(line) for line in text.splitlines()) <= width
    if width >= 80:
        assert "1:05 of 10:00" in text
        assert "1.084 [1.051, 1.118]" in text


def test_the_moving_part_is_plain_ascii_where_the_terminal_is() -> None:
    assert moving_text(fold(ROUND), ascii_only=True).isascii()
    assert not moving_text(fold(ROUND)).isascii()


def test_the_moving_part_fits_a_low_terminal() -> None:
    progress = fold(events.Standings(sessions.results() * 5), ROUND)
    text = moving_text(progress, height=24, width=140)
    assert len(text.splitlines()) <= 24
    assert "Budget" in text


@pytest.mark.parametrize("height", [8, 12, 20, 40])
@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_the_moving_part_is_never_higher_than_the_terminal(width: int, height: int) -> None:
    """What is higher could not be erased, and would stay on the screen at each redraw."""
    progress = SessionProgress(started_s=0.0, phase="race", results=sessions.results() * 4, order=("a", "b"))
    part = moving(progress, now_s=5.0, budget_s=600.0, width=width, height=height, is_time=True)
    assert drawn(part, width).rstrip("\n").count("\n") + 1 < height


def replay(width: int, heard: Iterable[events.Event], **options: Any) -> str:
    console, stream = terminal(width, **options), io.StringIO()
    console.file = stream
    with LiveView(stream, budget_s=600, given=["--machine", "vm"], console=console) as view:
        for event in heard:
            view(event)
    return stream.getvalue()


def test_the_live_view_keeps_what_lasts_and_ends_in_the_report() -> None:
    text = replay(140, sessions.session_events())
    lasting = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)
    for piece in ("Runs on a micro-VM", "are found 8 times of 10", "Warning: ", "To repeat it:"):
        assert piece in lasting
    assert "autotune cc --machine vm --scheduler at_batch:slice_us=20000,stay=true --seed 7 -- 'make -j8'" in lasting


def test_the_command_to_repeat_is_one_unbroken_line_on_a_narrow_terminal() -> None:
    text = replay(60, sessions.session_events())
    assert "autotune cc --machine vm --scheduler at_batch:slice_us=20000,stay=true --seed 7 -- 'make -j8'\n" in text


def test_markup_and_control_in_text_are_shown_not_obeyed() -> None:
    text = replay(100, [events.Warned("[red]x[/red] \x1b[2J [/nope]")], color_system=None)
    assert "Warning: [red]x[/red] [2J [/nope]" in text


def test_only_the_default_foreground_and_a_few_ansi_colours_are_used() -> None:
    text = replay(140, sessions.session_events(), color_system="truecolor")
    codes = {code for sequence in re.findall(r"\x1b\[([0-9;]*)m", text) for code in sequence.split(";")}
    assert codes <= {"", "0", "1", "31", "32", "35", "36"}


def test_no_color_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    text = replay(140, sessions.session_events())
    codes = {code for sequence in re.findall(r"\x1b\[([0-9;]*)m", text) for code in sequence.split(";")}
    assert codes <= {"", "0", "1"}


DRIVER = """
import sys, time
from autotune.records import BASELINE, Candidate
from autotune.views.live import LiveView
from autotune import events
with LiveView(sys.stdout, budget_s=600) as view:
    view(events.Step("boot", "booting"))
    while True:
        time.sleep(0.05)  # a signal that comes just before a sleep is heeded only after it
"""


def test_the_cursor_comes_back_when_the_user_interrupts() -> None:
    master, slave = pty.openpty()
    environ = {**os.environ, "TERM": "xterm-256color", "PYTHONPATH": str(ROOT)}
    child = subprocess.Popen([sys.executable, "-c", DRIVER], stdout=slave, stderr=slave, stdin=slave, env=environ)
    os.close(slave)
    shown = read_until(master, b"Booting")
    assert b"\x1b[?25l" in shown
    child.send_signal(signal.SIGINT)
    shown = read_until(master, b"\x1b[?25h")
    child.wait(60)
    os.close(master)
    assert b"\x1b[?25h" in shown


def read_until(descriptor: int, wanted: bytes, deadline_s: float = 60.0) -> bytes:
    """What arrives up to `wanted`; all there was when it does not come."""
    seen, end = b"", time.monotonic() + deadline_s
    with contextlib.suppress(OSError):  # the other side of a terminal is gone
        while wanted not in seen and time.monotonic() < end:
            seen += os.read(descriptor, 4096)
    return seen


# --- numbers from the first run on ---


def test_the_first_run_shows_its_number() -> None:
    base = Candidate(BASELINE)
    assert "Last run" not in moving_text(fold(events.RunStarted("warmup", 1, BASELINE)))
    warm = fold(*sessions.one_run(base, "warmup", 1))
    assert "Last run: EEVDF 2.410 s\n" in re.sub(" +\n", "\n", moving_text(warm))
    several = fold(*sessions.one_run(base, "baseline", 1), *sessions.one_run(base, "baseline", 2))
    assert "Last run: EEVDF 2.410 s, median of 2 runs 2.410 s" in moving_text(several)
    lost = fold(*sessions.one_run(sessions.FIFO, "race", 1, value=None, invalid="exit code 2\x1b[31m"))
    assert "at_fifo:slice_us=5000, does not count: exit code 2[31m" in moving_text(lost)


def test_a_terminal_that_is_no_utf8_gets_ascii_strips() -> None:
    written = io.BytesIO()
    stream = io.TextIOWrapper(written, encoding="ascii")
    console = Console(file=stream, width=160, height=40, force_terminal=True, highlight=False)
    with LiveView(stream, budget_s=600, console=console) as view:
        for event in sessions.session_events():
            view(event)
    stream.flush()
    assert re.search(rb"\|-*o-*\|", written.getvalue())


def test_the_bar_does_not_count_the_time_of_a_question() -> None:
    now_s = 0.0
    console = terminal(100)
    with LiveView(io.StringIO(), budget_s=600, console=console, clock=lambda: now_s) as view:
        view(ROUND)
        now_s = 20.0
        with view.paused():
            now_s = 320.0
        view(events.RunStarted("race", 2, "a"))
        now_s = 325.0
        shown = drawn(view._draw(), width=100)
    assert "0:25 of 10:00" in shown
    assert "Running under a for 5 s" in shown
