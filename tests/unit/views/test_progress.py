# SPDX-License-Identifier: MIT
"""Where a session stands, folded from its events."""

from __future__ import annotations

from dataclasses import replace

import pytest

from autotune import events
from autotune.records import BASELINE, Candidate
from autotune.views.progress import advance
from tests.support import sessions
from tests.support.session_progress import ROUND, fold


def test_progress_knows_what_runs_and_what_is_attached() -> None:
    progress = fold(ROUND, sessions.attached(sessions.FIFO), events.RunStarted("race", 2, sessions.FIFO.key))
    assert (progress.phase, progress.round, progress.at_most) == ("race", 2, 4)
    assert (progress.running, progress.run_started_s) == (sessions.FIFO.key, 3.0)
    assert progress.attached == "at_fifo"
    after = advance(progress, sessions.detached(sessions.FIFO), 4.0)
    assert after.attached is None


def test_runs_are_counted_within_the_round_and_the_phase() -> None:
    run = (events.RunStarted("race", 2, "a"), events.RunFinished(sessions.trial("a")))
    progress = fold(ROUND, *run, *run)
    assert (progress.round_runs, progress.phase_runs, progress.running) == (2, 2, None)
    progress = advance(progress, replace(ROUND, round=3), 9.0)
    assert (progress.round_runs, progress.phase_runs) == (0, 2)
    progress = advance(progress, replace(ROUND, phase="confirm", round=1), 9.0)
    assert progress.phase_runs == 0


def test_what_is_left_of_a_phase_follows_the_pace_of_its_runs() -> None:
    run = (events.RunStarted("race", 2, "a"), events.RunFinished(sessions.trial("a")))
    assert fold(ROUND).phase_left_s(5.0) is None
    progress = fold(ROUND, *run)  # one run in 2 s; 1 left of this round, 2 rounds of 2 after it
    assert progress.phase_left_s(3.0) == pytest.approx(5 * 2.0)
    running = advance(progress, events.RunStarted("race", 2, BASELINE), 3.0)
    assert running.phase_left_s(4.0) == pytest.approx(5 * 2.0 - 1.0)
    assert running.phase_left_s(99.0) == 0.0


def test_runs_of_the_baseline_are_a_phase_without_rounds() -> None:
    progress = fold(events.RunStarted("warmup", 1, BASELINE), events.RunStarted("baseline", 2, BASELINE))
    assert (progress.phase, progress.round, progress.order) == ("baseline", 2, ())
    assert progress.phase_left_s(9.0) is None


def test_what_runs_showed_is_known_from_the_first_on() -> None:
    """Not only from the end of a round on."""
    first = fold(*sessions.one_run(Candidate(BASELINE), "warmup", 1))
    assert first.last is not None
    assert first.values_of(BASELINE) == []
    more = fold(
        *sessions.one_run(Candidate(BASELINE), "baseline", 1),
        *sessions.one_run(Candidate(BASELINE), "baseline", 2),
        *sessions.one_run(sessions.FIFO, "race", 1, value=None, invalid="exit code 2"),
    )
    assert more.values_of(BASELINE) == [2.41, 2.41]
    assert more.values_of(sessions.FIFO.key) == []
    assert more.last is not None
    assert more.last.invalid == "exit code 2"


def test_the_time_left_is_that_of_the_whole_session_and_never_more_than_the_budget() -> None:
    before = fold(events.RunStarted("warmup", 1, BASELINE))
    assert before.left_s(10.0, 60.0) == 50.0
    assert before.left_s(99.0, 60.0) == 0.0
    planned = advance(before, replace(ROUND, left_s=30.0), 10.0)
    assert planned.left_s(15.0, 600.0) == 25.0
    assert planned.left_s(15.0, 20.0) == 5.0
    confirming = advance(planned, events.RunStarted("confirm", 1, BASELINE), 20.0)
    assert confirming.left_s(21.0, 600.0) == 19.0, "a phase does not forget it"
