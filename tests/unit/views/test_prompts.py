# SPDX-License-Identifier: MIT
"""What people are asked, and what their answers do."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from autotune.errors import Interrupted
from autotune.records import Candidate, Proposal
from autotune.schedext.catalogue.catalog import Catalog
from autotune.views.prompts import Approver
from tests.support import sessions


class Asked:
    """Answers from a list; keeps what was asked, and whether the view stood still meanwhile."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.texts: list[str] = []
        self.paused = False

    @contextlib.contextmanager
    def pause(self) -> Iterator[None]:
        self.paused = True
        yield
        self.paused = False

    def __call__(self, text: str) -> str:
        assert self.paused
        self.texts.append(text)
        if not self.answers:
            raise EOFError
        return self.answers.pop(0)

    def approver(self) -> Approver:
        return Approver(self, self.pause, Catalog.load().parse_candidate)


FIFO_FOR_A_REASON = Proposal(sessions.FIFO, "a reason")


@pytest.mark.parametrize(("answer", "approved"), [("y", True), ("YES\n", True), ("n", False), (" no ", False)])
def test_yes_and_no_decide_one_switch(answer: str, approved: bool) -> None:
    asked = Asked(answer, "n")
    approve = asked.approver()
    assert approve(sessions.FIFO, FIFO_FOR_A_REASON, editable=True) == (sessions.FIFO if approved else None)
    assert approve(sessions.FIFO, FIFO_FOR_A_REASON, editable=True) is None


def test_knobs_can_be_edited_until_they_are_right() -> None:
    asked = Asked("e", "slice_us=lots", "slice_us=7000")
    chosen = asked.approver()(sessions.FIFO, FIFO_FOR_A_REASON, editable=True)
    assert chosen == Candidate("at_fifo", (("slice_us", 7000),))
    assert "now: slice_us=5000" in asked.texts[1]
    assert "a whole number" in asked.texts[2]


def test_an_empty_edit_keeps_the_candidate_as_it_is() -> None:
    assert Asked("edit", "").approver()(sessions.FIFO, FIFO_FOR_A_REASON, editable=True) == sessions.FIFO


def test_what_has_run_already_cannot_be_edited() -> None:
    asked = Asked("e", "y")
    asked.approver()(sessions.FIFO, FIFO_FOR_A_REASON, editable=False)
    assert len(asked.texts) == 2
    assert "edit" not in asked.texts[0]


def test_all_asks_no_more() -> None:
    asked = Asked("all")
    approve = asked.approver()
    answers = [approve(one, FIFO_FOR_A_REASON, editable=True) for one in (sessions.FIFO, sessions.BATCH)]
    assert answers == [sessions.FIFO, sessions.BATCH]
    assert len(asked.texts) == 1


@pytest.mark.parametrize("answers", [("q",), ("quit\n",), ()])
def test_quitting_and_the_end_of_the_input_interrupt(answers: tuple[str, ...]) -> None:
    asked = Asked(*answers)
    with pytest.raises(Interrupted):
        asked.approver()(sessions.FIFO, FIFO_FOR_A_REASON, editable=True)


def test_an_answer_that_is_none_is_asked_again() -> None:
    asked = Asked("", "maybe", "y")
    assert asked.approver()(sessions.FIFO, FIFO_FOR_A_REASON, editable=True) == sessions.FIFO
    assert len(asked.texts) == 3


def test_the_question_names_the_scheduler_the_reason_and_the_choices() -> None:
    asked = Asked("y")
    asked.approver()(sessions.FIFO, Proposal(sessions.FIFO, "short \x1b[2Jtasks"), editable=True)
    assert "Attach at_fifo:slice_us=5000?" in asked.texts[0]
    assert "short [2Jtasks" in asked.texts[0]
    assert "[y]es, [n]o, [e]dit the knobs, [a]ll from here on, [q]uit" in asked.texts[0]
