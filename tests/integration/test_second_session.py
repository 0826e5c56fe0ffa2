# SPDX-License-Identifier: MIT
"""A second session on the same command reaches the verdict of the first with at most half of its runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from autotune.records import BASELINE
from autotune.schedext.programs.binaries import Places
from tests.support.scripted_sessions import SessionsInTurn

FASTER = {BASELINE: 1.0, "at_batch": 0.8, "at_fifo": 1.2, "at_vtime": 1.0, "at_interactive": 1.3}
NOTHING = {BASELINE: 1.0, "at_batch": 1.001, "at_fifo": 1.2, "at_vtime": 1.3, "at_interactive": 1.3}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SessionsInTurn:
    monkeypatch.setattr("autotune.tools.reasons.here", Places)  # no program is installed
    return SessionsInTurn(tmp_path)


@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_a_known_winner_is_confirmed_with_half_the_runs(place: SessionsInTurn, noise: float) -> None:
    first = place.run(FASTER, seed=1, noise=noise)
    second = place.run(FASTER, seed=2, noise=noise)
    assert first.winner is not None
    assert second.winner == first.winner
    assert place.sets == [[first.winner]]
    assert len(second.trials) <= len(first.trials) / 2
    assert "is known from an earlier session and is ahead again, so nothing else is tried" in place.warned


@pytest.mark.slow
def test_where_nothing_wins_that_is_checked_with_half_the_runs(place: SessionsInTurn) -> None:
    first = place.run(NOTHING, seed=1)
    second = place.run(NOTHING, seed=2)
    assert (first.winner, second.winner) == (None, None)
    assert len(second.trials) <= len(first.trials) / 2


def test_a_winner_that_wins_no_more_is_found_out_and_others_are_tried(place: SessionsInTurn) -> None:
    first = place.run(FASTER, seed=1)
    assert str(first.winner).startswith("at_batch")
    second = place.run({**FASTER, "at_batch": 1.2, "at_vtime": 0.8}, seed=2)
    assert str(second.winner).startswith("at_vtime")
    assert place.sets[0] == [first.winner]


@pytest.mark.slow
def test_what_was_slower_here_is_not_tried_again_and_that_is_said(place: SessionsInTurn) -> None:
    place.run(FASTER, seed=1)
    place.run({**FASTER, "at_batch": 1.2}, seed=2)
    tried = [key for one_set in place.sets for key in one_set]
    assert "at_fifo" not in tried
    assert "at_fifo is not tried again: it was shown slower" in place.warned


def test_all_is_tried_anew_where_the_user_wants_that(place: SessionsInTurn) -> None:
    place.run(FASTER, seed=1)
    known = list(place.sets)
    place.run(FASTER, seed=1, recall=False)
    assert place.sets[0] == known[0]


def test_another_command_of_the_same_program_begins_with_its_winner(place: SessionsInTurn) -> None:
    first = place.run(FASTER, seed=1)
    assert first.winner is not None
    place.run(FASTER, seed=3, command="make -C b -j4")
    assert place.sets[0][0] == first.winner
    assert len(place.sets[0]) > 1
    assert "the same program in the same shape, make, with -j: 'make -j8'" in place.reasons[first.winner]
