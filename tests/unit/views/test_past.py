# SPDX-License-Identifier: MIT
"""Past sessions are listed within the width of a terminal, and compared in words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotune.knowledge.archive import History
from autotune.knowledge.past import PastSession
from autotune.knowledge.store import Knowledge
from autotune.views import past
from tests.support import sessions


@pytest.fixture
def one(tmp_path: Path) -> PastSession:
    """A session with a winner, as the store tells it."""
    with Knowledge(tmp_path / "k") as knowledge:
        knowledge.record(sessions.session(id="0a1b2c3d"))
        return History(knowledge).named("0a1b2c3d")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "just now"), (59, "just now"), (60, "1 minute ago"), (3599, "59 minutes ago"), (3600, "1 hour ago"),
        (86400 * 2, "2 days ago"), (86400 * 31, "1 month ago"), (86400 * 800, "2 years ago"),
    ],
)  # fmt: skip
def test_an_age_is_told_in_its_largest_unit(seconds: float, text: str) -> None:
    assert past.age_text(seconds) == text


@given(st.integers(-10, 10**10), st.integers(0, 10**9))
def test_what_is_older_never_looks_younger(seconds: int, more: int) -> None:
    units = ["just", "minute", "hour", "day", "month", "year"]

    def rank(text: str) -> tuple[int, int]:
        words = text.split()
        return units.index(words[1].rstrip("s") if words[0] != "just" else "just"), int(
            words[0] if words[0] != "just" else 0
        )

    assert rank(past.age_text(seconds)) <= rank(past.age_text(seconds + more))


def test_a_command_is_cut_to_the_width_and_moves_no_cursor(one: PastSession) -> None:
    long = replace(one, command="make \x1b[2J" + "x" * 300)
    lines = list(past.listing([long], width=130, now=one.started_at))
    assert all(len(line) <= 130 for line in lines)
    assert lines[1].endswith("...")
    assert "\x1b" not in "".join(lines)


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({}, "at_batch:slice_us=20000,stay=true 1.084"),
        ({"winner": None}, "EEVDF"),
        ({"winner": None, "state": "lost"}, "cut off"),
        ({"winner": None, "failure": "no"}, "no answer"),
        ({"winner": None, "interrupted": True}, "no answer"),
        ({"winner": None, "baseline_median": None}, "no answer"),
    ],
)
def test_the_result_is_told_in_few_words(one: PastSession, changed: dict[str, Any], text: str) -> None:
    assert past.result_text(replace(one, **changed)) == text


def test_agreement_is_told(one: PastSession) -> None:
    nothing = replace(one, winner=None)
    stopped = replace(one, winner=None, interrupted=True, name="dead0000")
    far = replace(one.results[0], speedup=sessions.interval(2.0, 1.9, 2.1))
    assert past.agreement(one, one) == "Both found at_batch:slice_us=20000,stay=true."
    assert "do not overlap" in past.agreement(one, replace(one, results=(far, *one.results[1:])))
    assert past.agreement(nothing, nothing) == "Both found nothing that beats EEVDF."
    assert past.agreement(one, nothing) == "They differ: at_batch:slice_us=20000,stay=true and EEVDF."
    assert past.agreement(one, stopped) == "dead0000 ended without an answer, so they cannot be compared."


def test_sessions_of_other_commands_are_said_to_be(one: PastSession) -> None:
    lines = list(past.compared(one, replace(one, command="ninja", memory_bytes=one.memory_bytes), width=80))
    assert "differs: they are of different commands or directories" in lines
