# SPDX-License-Identifier: MIT
"""What is said of the bound: with what it compares, and what was reached of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from autotune.observe.decode import TasksSeen
from autotune.observe.profile import profile
from autotune.records import Profile, Session
from autotune.report import bound, html, markup, plain_text, sentences
from tests.support import sessions
from tests.support.watched_tasks import a_task, a_turn


def batch() -> Profile:
    """Five short tasks and a long one that starts last, on 2 CPUs: 9.5 s where 7 s would do."""
    shorts = [a_task(pid, 1, start_s=pid / 2, end_s=pid / 2 + 1.8, cpu_s=1.8) for pid in range(2, 7)]
    tasks = (a_task(1, end_s=9.5, cpu_s=0.0, sleep_s=9.5, arguments=("sh", "batch")), *shorts,
             a_task(7, 1, start_s=4.5, end_s=9.5, arguments=("xz", "big")))  # fmt: skip
    turns = tuple(a_turn(one.pid, one.start_s, one.end_s) for one in tasks[1:])
    return profile(TasksSeen(tasks, turns), wall_s=9.5, cpus=2)


def ended(**changed: Any) -> Session:
    return sessions.session(watched=batch(), **changed)


def test_the_bound_names_its_cpus_its_parts_and_the_run_that_it_compares_with() -> None:
    assert bound.bound_sentence(batch(), is_time=True) == (
        "At most 26 % less time is possible with the same work on 2 CPUs (the watched run took 9.500 s: work 14.00 s, "
        "longest chain 5.000 s)."
    )


def test_another_metric_has_no_bound() -> None:
    assert bound.bound_sentence(batch(), is_time=False).startswith("What a scheduler could win is not bounded here")
    assert bound.reached_sentence(ended(workload=sessions.workload(metric_regex="x"))) is None


@pytest.mark.parametrize(
    ("speedup", "said"),
    [
        (1.25, "At most 26 % less time is possible with the same work on 2 CPUs; 20 % was reached."),
        (1.357, "At most 26 % less time is possible with the same work on 2 CPUs; 26 % was reached."),
        (2.0, "and 50 % was reached: the work itself became less, or the watched run was quicker than most."),
    ],
)
def test_the_report_sets_what_was_reached_beside_what_was_possible(speedup: float, said: str) -> None:
    won = sessions.result(
        sessions.BATCH, "faster", speedup=sessions.interval(speedup, speedup, speedup), confirmed=True
    )
    done = ended(results=(won,), winner=sessions.BATCH.key)

    sentence = bound.reached_sentence(done)

    assert sentence is not None
    assert sentence.endswith(said)
    assert sentence in plain_text.plain_text(done)
    assert all(sentence in render(done) for render in (markup.markdown, html.page))


def test_where_nothing_won_none_of_it_was_shown() -> None:
    done = ended(results=(sessions.result(sessions.BATCH, "same"),), winner=None)

    assert str(bound.reached_sentence(done)).endswith("on 2 CPUs; none of it was shown.")


def test_what_an_earlier_session_saw_is_said_to_be_that() -> None:
    done = ended(results=(sessions.result(sessions.BATCH, "same"),), winner=None, not_watched="--no-observe")

    assert "as an earlier session saw it" in str(bound.reached_sentence(done))


@pytest.mark.parametrize("changed", [{"watched": None}, {"results": ()}])
def test_nothing_is_said_without_a_profile_and_where_nothing_was_tried(changed: dict[str, Any]) -> None:
    done = replace(ended(winner=None), **changed)

    assert bound.reached_sentence(done) is None
    assert sentences.why_lines(done) == []


def test_a_session_that_ended_early_says_how_to_try_all_the_same() -> None:
    done = ended(results=(), winner=None, recommendation="Keep EEVDF: nothing.", ended_early="Keep EEVDF: nothing.")

    text = plain_text.plain_text(done)

    assert "Next: --no-early-end tries schedulers all the same." in text


def test_advice_names_the_long_task_that_starts_late() -> None:
    first = next(bound.advice(batch()))

    assert first == "The longest task, 'xz big' (5.000 s), starts only after 4.500 s: start it first."
