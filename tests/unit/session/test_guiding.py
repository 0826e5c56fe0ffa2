# SPDX-License-Identifier: MIT
"""What schedulers of a session are told to expect of tasks."""

from __future__ import annotations

from dataclasses import replace

from autotune.errors import BuildError
from autotune.observe.decode import Identities, TasksSeen
from autotune.records import AttachSpec, Candidate, Expectations, GuideSpec, ProgramSpec
from autotune.session.guiding import Guiding
from tests.support.watched_tasks import a_task

OURS = AttachSpec("at_guided", "at_guided.o")
PROGRAM = AttachSpec("rusty", program=ProgramSpec(("scx_rusty",), 1, 1))
SEEN = TasksSeen((replace(a_task(1, end_s=2.0), identity=Identities(7, 8, 9)),), ())


def guide(expected: Expectations) -> GuideSpec:
    return GuideSpec("guide.o", "0" * 64, expected)


def test_nothing_is_expected_before_a_run_was_watched() -> None:
    guiding = Guiding(guide)

    assert guiding.expectations is None
    assert guiding.applied(OURS) == OURS


def test_what_was_seen_is_told_to_objects_and_not_to_programs() -> None:
    guiding = Guiding(guide)

    assert guiding.learn(SEEN) is None

    expected = guiding.applied(OURS).guide
    assert expected is not None
    assert expected.expectations.chains_ns == {"7": 2_000_000_000}
    assert guiding.applied(PROGRAM) == PROGRAM


def test_whoever_resolved_before_the_run_gets_the_guide_from_then_on() -> None:
    guiding = Guiding(guide)
    resolve = guiding.resolver(lambda _candidate: OURS)

    before = resolve(Candidate("at_guided"))
    guiding.learn(SEEN)

    assert (before.guide is None, resolve(Candidate("at_guided")).guide is None) == (True, False)


def test_a_run_of_which_nothing_can_be_expected_guides_nobody() -> None:
    guiding = Guiding(guide)

    assert guiding.learn(TasksSeen((), ())) is None
    assert guiding.expectations is None


def test_a_guide_that_cannot_be_built_is_a_reason_and_no_error() -> None:
    def fails(_expected: Expectations) -> GuideSpec:
        raise BuildError("clang is not there", hint="install it")

    guiding = Guiding(fails)

    assert "clang is not there" in (guiding.learn(SEEN) or "")
    assert guiding.applied(OURS) == OURS
