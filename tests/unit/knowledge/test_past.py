# SPDX-License-Identifier: MIT
"""Past sessions as sentences."""

from __future__ import annotations

from typing import Any

import pytest

from autotune.knowledge.past import sentences
from autotune.knowledge.store import Knowledge
from tests.support import sessions


def test_past_sessions_read_as_sentences(knowledge: Knowledge) -> None:
    session = sessions.session()
    knowledge.record(session)
    (sentence,) = sentences(knowledge.sessions_of(session.workload))
    assert session.machine.kernel in sentence
    assert "Tried: " in sentence
    assert f"won by {session.winner}" in sentence


def test_a_continuation_says_that_it_is_one(knowledge: Knowledge) -> None:
    session = sessions.session(winner=None, id="aaaaaaaa", continues="bbbbbbbb")
    knowledge.record(session)
    (past,) = knowledge.sessions_of(session.workload)
    assert (past.name, past.continues) == ("aaaaaaaa", "bbbbbbbb")
    assert "nothing beat EEVDF (it confirmed the leaders of the session before)." in sentences([past])[0]


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({}, ": nothing beat EEVDF."),
        ({"interrupted": True}, ": stopped early without an answer."),
        ({"failure": "the micro-VM was lost"}, ": ended early without an answer ('the micro-VM was lost')."),
        ({"baseline": None}, ": stopped early without an answer."),
    ],
)
def test_only_a_session_that_went_to_its_end_says_that_nothing_beat_eevdf(
    knowledge: Knowledge, changed: dict[str, Any], told: str
) -> None:
    session = sessions.session(winner=None, results=(), **changed)
    knowledge.record(session)
    (sentence,) = sentences(knowledge.sessions_of(session.workload))
    assert sentence.endswith(told)
