# SPDX-License-Identifier: MIT
"""The words for events."""

from __future__ import annotations

import typing

from autotune import events
from autotune.views.wording import Wording, step_text
from tests.support import sessions


def test_every_event_has_words_or_is_known_to_need_none() -> None:
    silent = {events.RunStarted, events.OutputSeen, events.AttachFailed, events.Finished}
    silent |= {events.Notice, events.Problem, events.Unmeasured}  # the screen shows these beside every view
    spoken = {type(event) for event in sessions.session_events() if Wording().lines(event)}
    assert spoken | silent == set(typing.get_args(events.Event))


def test_a_command_around_the_runs_is_shown_with_its_stage() -> None:
    for stage in ("setup", "prepare", "conclude", "cleanup"):
        assert step_text(events.Step(stage, "rm x")) == f"Running the {stage} command: rm x"
