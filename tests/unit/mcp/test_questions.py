# SPDX-License-Identifier: MIT
"""A question shows all that it asks for, and its answer counts once, for that."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotune.errors import UsageError
from autotune.mcp.questions import MOST_CHARACTERS, Tickets, question


@given(st.dictionaries(st.sampled_from(["command", "prepare"]), st.text(max_size=3000)))
def test_a_question_is_short_and_has_the_whole_of_every_argument_or_is_refused(facts: dict[str, str]) -> None:
    try:
        text = question(("run",), facts)
    except UsageError:
        return
    assert len(text) <= MOST_CHARACTERS
    assert all(value.replace("\n", "\n  | ") in text for value in facts.values())


@pytest.mark.parametrize("character", ["\x1b", "\r", "\t", "\u202e", "\u200b", "\ud800", "\u2028"])
def test_what_would_look_like_another_command_is_refused(character: str) -> None:
    with pytest.raises(UsageError, match="cannot be shown"):
        question(("run",), {"command": f"rm -rf x{character}; true"})


def test_lines_of_a_command_cannot_look_like_lines_of_the_question() -> None:
    text = question(("run",), {"command": "true\nAn AI client asks nothing"})
    assert "true\n  | An AI client asks nothing" in text


def test_what_a_shell_reads_as_an_escape_is_shown_as_it_is() -> None:
    assert r"printf 'a\n'" in question(("run",), {"command": r"printf 'a\n'"})


def test_a_ticket_is_for_one_call_and_once() -> None:
    tickets = Tickets()
    ticket = tickets.issue("tuning_start", {"command": "make"})
    assert not tickets.redeem(ticket, "tuning_start", {"command": "rm -rf /"})
    assert not tickets.redeem(ticket, "apply", {"command": "make"})
    assert not tickets.redeem(None, "tuning_start", {"command": "make"})
    assert not tickets.redeem(f"x{ticket}", "tuning_start", {"command": "make"})
    assert not Tickets().redeem(ticket, "tuning_start", {"command": "make"})
    assert tickets.redeem(ticket, "tuning_start", {"command": "make"})
    assert not tickets.redeem(ticket, "tuning_start", {"command": "make"})
