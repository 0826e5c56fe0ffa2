# SPDX-License-Identifier: MIT
"""What reports say of chains of sessions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from autotune.records import Chain, Contender, Outlook, Session
from autotune.report import commands, plain_text
from autotune.report.continuing import continue_command, continue_step, continues_sentence
from autotune.report.formats import text
from tests.support import sessions

CHAIN = Chain(1, 0.025, (Contender(sessions.FIFO.key, (0.01,), (0.02,), (), "d"),), 0.1, 3, budget_s=420.0)


def undecided(**changed: Any) -> Session:
    results = tuple(replace(one, confirmed=False) for one in sessions.results() if one.verdict != "faster")
    return sessions.session(**{"winner": None, "results": results, "id": "3f9a1c2e", "chain": CHAIN, **changed})


def test_an_undecided_session_names_the_command_that_continues_it() -> None:
    assert str(continue_command(undecided())).endswith(" cc --continue 3f9a1c2e --budget 7m")
    unknown = continue_command(undecided(chain=replace(CHAIN, budget_s=None)))
    assert str(unknown).endswith(" cc --continue 3f9a1c2e")


@pytest.mark.parametrize(
    "changed",
    [
        {"winner": sessions.BATCH.key},
        {"chain": None},
        {"chain": replace(CHAIN, contenders=())},
        {
            "results": tuple(
                replace(one, verdict="same") for one in sessions.results() if one.candidate == sessions.FIFO
            )
        },
    ],
)
def test_others_name_none(changed: dict[str, Any]) -> None:
    assert continue_command(undecided(**changed)) is None


@pytest.mark.parametrize("kind", ["markdown", "asciidoc", "orgmode", "html"])
def test_every_report_has_the_command_and_what_a_continuation_rests_on(kind: Any) -> None:
    done = undecided(continues="12345678", trials=(sessions.trial(sessions.FIFO.key, "confirm"),))
    written = text(kind, done, ())
    assert "cc --continue 3f9a1c2e --budget 7m" in written
    assert "continues 12345678" in written


def test_the_last_lines_have_the_command_whole_and_say_what_was_judged() -> None:
    results = tuple(replace(one, fresh_pairs=9) for one in undecided().results)
    trials = (sessions.trial(sessions.FIFO.key, "confirm"),)
    done = undecided(continues="12345678", results=results, trials=trials)
    shown = plain_text.plain_text(done)
    assert continue_command(done) in shown.splitlines()
    [sentence] = continues_sentence(done)
    assert sentence in shown
    assert sentence == (
        "This session (ID 3f9a1c2e) continues 12345678. Judged here: at_fifo:slice_us=5000 by 9 fresh pairs. The other "
        "rows are from before."
    )


def test_one_that_judged_nothing_says_so_and_others_say_nothing() -> None:
    [sentence] = continues_sentence(undecided(continues="12345678", trials=()))
    assert sentence == "This session (ID 3f9a1c2e) continues 12345678; all rows are that one's."
    assert continues_sentence(undecided()) == []


@pytest.mark.parametrize("changed", [{}, {"interrupted": True}, {"failure": "the micro-VM was lost"}])
def test_it_is_the_next_step_also_of_a_session_that_ended_early(changed: dict[str, Any]) -> None:
    says, command = commands.next_step(undecided(**changed))
    assert says == "Next: at_fifo:slice_us=5000 is undecided; to continue with fresh pairs of it:"
    assert command == continue_command(undecided())


def test_where_nobody_should_run_so_many_pairs_it_is_not() -> None:
    hopeless = Outlook(sessions.FIFO.key, None, None, None)
    assert commands.next_step(undecided(outlook=hopeless))[0].startswith("Next: keep EEVDF")
    assert continue_step(undecided(winner=sessions.BATCH.key)) == []
