# SPDX-License-Identifier: MIT
"""What the page holds. How it looks is tested in a browser (tests/integration/test_page_in_browser.py)."""

from __future__ import annotations

import math

import pytest

from autotune.records import Candidate
from autotune.report import commands, html
from autotune.report.text import shell_word
from tests.support import sessions

MOST_BYTES = 1_000_000


def test_the_page_has_every_part() -> None:
    page = html.page(sessions.session(machine=sessions.machine(kind="host")))
    for heading in ("Ranking", "Intervals", "Runs in order of time", "Histogram", "What to do next", "About this"):
        assert f"<h2>{heading}" in page
    assert "autotune apply at_batch" in page
    assert f"--seed 7 -- {shell_word('make -j8')}".replace("'", "&#x27;") in page
    assert "Warning: The first run took 1.4 times" in page
    assert page.isascii()
    assert "<script" not in page


def test_what_a_session_does_not_have_has_no_part() -> None:
    bare = sessions.session(
        results=(),
        trials=(),
        baseline=None,
        observation=None,
        winner=None,
        failure="the micro-VM was lost",
        warnings=(),
    )
    page = html.page(bare)
    assert "The session ended early: the micro-VM was lost." in page
    for heading in ("Ranking", "Intervals", "Runs in order", "Histogram", "The system"):
        assert heading not in page.partition("</style>")[2]


def test_without_a_winner_the_page_says_what_to_do_next() -> None:
    done = sessions.session(winner=None, results=sessions.results()[1:])
    page = html.page(done)
    [says, command] = commands.next_step(done)
    assert says in page
    assert command.split(" -- ")[0] in page


def test_odd_numbers_are_drawn() -> None:
    wide = sessions.result(sessions.FIFO, "undecided", speedup=sessions.interval(1.0, 0.0, math.inf))
    odd = (sessions.trial(value=math.inf), sessions.trial(value=0.0), sessions.trial(value=-3.0))
    assert "nan" not in html.page(sessions.session(results=(wide,), trials=odd, metric="x")).partition("<main>")[2]


@pytest.mark.slow
def test_the_largest_session_stays_below_one_megabyte() -> None:
    candidates = [Candidate(f"scx_{number}", (("slice_us", number),)) for number in range(60)]
    rows = tuple(
        sessions.result(one, "undecided", speedup=sessions.interval(1, 0.9, 1.1), note="n" * 200) for one in candidates
    )
    trials = tuple(
        sessions.trial(candidates[number % 60].key, "race", number, started_at=float(number))
        for number in range(30_000)
    )
    command = "echo '\"<>&' " * 600
    page = html.page(sessions.session(results=rows, trials=trials, workload=sessions.workload(command=command)))
    assert len(page) < MOST_BYTES
