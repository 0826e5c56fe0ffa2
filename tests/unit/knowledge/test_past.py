# SPDX-License-Identifier: MIT
"""Past sessions as sentences."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
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
    ("changed", "heard"),
    [
        ({}, ": nothing beat EEVDF."),
        ({"interrupted": True}, ": stopped early without an answer."),
        ({"failure": "the micro-VM was lost"}, ": ended early without an answer ('the micro-VM was lost')."),
        ({"baseline": None}, ": stopped early without an answer."),
    ],
)
def test_only_a_session_that_went_to_its_end_says_that_nothing_beat_eevdf(
    knowledge: Knowledge, changed: dict[str, Any], heard: str
) -> None:
    session = sessions.session(winner=None, results=(), **changed)
    knowledge.record(session)
    (sentence,) = sentences(knowledge.sessions_of(session.workload))
    assert sentence.endswith(heard)


def test_a_model_hears_why_the_winner_of_a_past_session_won_in_under_300_tokens(knowledge: Knowledge) -> None:
    long = sessions.profile(migrations=10**6, wait_s=1e5, serial_s=1e5, work_s=1e5)
    knowledge.record(sessions.session(watched=sessions.profile(), watched_winner=long, id="aaaaaaaa"))

    (sentence,) = sentences(knowledge.sessions_of(sessions.workload()))

    said = sentence[sentence.index("Why ") :]
    assert "by a watched run under it and one under EEVDF: one CPU would have done for" in said
    assert len(said) <= 300 * 3


def test_a_document_of_another_version_says_nothing_of_it_and_is_no_error(knowledge: Knowledge, path: Path) -> None:
    knowledge.record(sessions.session(watched=sessions.profile(), watched_winner=sessions.profile(), id="aaaaaaaa"))
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE sessions SET document = '{}'")

    (past,) = knowledge.sessions_of(sessions.workload())

    assert past.why == ()
