# SPDX-License-Identifier: MIT
"""From the probe's bytes to tasks and turns; what is damaged is refused."""

from __future__ import annotations

import contextlib
from binascii import b2a_base64
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotune.observe.decode import decode
from tests.support.watched_tasks import a_task, a_turn, raw

TASKS = (a_task(10, arguments=("make", "-j2"), end_s=3.0), a_task(11, 10, start_s=1.0, end_s=2.0))


def test_tasks_and_turns_come_back_with_times_from_the_first_task_s_start() -> None:
    seen = decode(raw(TASKS, [a_turn(11, 1.25, 1.5, waited_s=0.25, slept_s=0.125, waker=10)], waits=(0, 4)))

    assert seen.tasks == TASKS
    assert seen.turns == (a_turn(11, 1.25, 1.5, waited_s=0.25, slept_s=0.125, waker=10),)
    assert seen.waits == {1: 4}


def test_a_task_that_executed_nothing_has_no_arguments() -> None:
    (thread,) = decode(raw([a_task(12, arguments=(), tgid=10)])).tasks

    assert thread.arguments == ()
    assert not thread.executed
    assert thread.is_thread


@pytest.mark.parametrize(
    ("last", "kept"),
    [("y" * 600, "..."), (f"echo {'y' * 600}", "echo ..."), (f"a b\tc\n{'y' * 600}", "a b\tc\n...")],
)
def test_of_an_argument_that_was_cut_only_whole_words_are_kept(last: str, kept: str) -> None:
    (task,) = decode(raw([a_task(12, arguments=("sh", "-c", last, "z"))])).tasks

    assert task.arguments == ("sh", "-c", kept)


def test_a_waker_that_is_not_watched_is_told_apart_from_the_kernel() -> None:
    turns = decode(raw(TASKS, [a_turn(11, 1.0, 1.1, waker=0), a_turn(11, 1.2, 1.3, waker=None)])).turns

    assert [turn.waker for turn in turns] == [0, None]


def test_what_did_not_fit_is_counted() -> None:
    seen = decode(raw(TASKS, lost=3, more_ends=4))

    assert seen.lost_tasks == 7


def test_a_workload_without_tasks_is_no_error() -> None:
    assert decode(raw(())).tasks == ()


def test_names_with_control_characters_and_bytes_that_are_no_text_are_kept_as_text() -> None:
    (task,) = decode(
        raw([a_task(9, arguments=("c\x1bc", "\udcff".encode("utf-8", "surrogatepass").decode("latin-1")))])
    ).tasks

    assert task.arguments[0] == "c\x1bc"


@pytest.mark.parametrize("part", ["counts", "ends", "execs", "turns"])
@pytest.mark.parametrize("damage", ["!", "QQ", "QUJD"])
def test_damaged_records_are_refused(part: str, damage: str) -> None:
    whole = raw(TASKS, [a_turn(11, 1.0, 1.1)])

    with pytest.raises(ValueError, match="records are"):
        decode(replace(whole, **{part: damage}))


def test_times_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="impossible times"):
        decode(raw([a_task(9, end_s=1.0, cpu_s=50.0)]))


@given(st.binary(max_size=400), st.sampled_from(["counts", "ends", "execs", "turns"]))
def test_no_bytes_whatever_end_in_another_error(data: bytes, part: str) -> None:
    damaged = replace(raw(TASKS), **{part: b2a_base64(data, newline=False).decode()})
    with contextlib.suppress(ValueError):
        assert decode(damaged).tasks is not None
