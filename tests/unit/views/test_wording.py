# SPDX-License-Identifier: MIT
"""The words for events."""

from __future__ import annotations

import typing

from autotune import events
from autotune.records import BASELINE, Candidate
from autotune.views.wording import Wording, shown_key, step_text
from tests.support import sessions


def test_every_event_has_words_or_is_known_to_need_none() -> None:
    silent = {events.RunStarted, events.OutputSeen, events.AttachFailed, events.Finished}
    silent |= {events.Notice, events.Problem, events.Unmeasured}  # the screen shows these beside every view
    values = events.ValuesKnown((sessions.result(Candidate(BASELINE, params=(("jobs", "2"),)), None),))
    spoken = {type(event) for event in (*sessions.session_events(), values) if Wording().lines(event)}
    assert spoken | silent == set(typing.get_args(events.Event))


def test_a_command_around_the_runs_is_shown_with_its_stage() -> None:
    for stage in ("setup", "prepare", "conclude", "cleanup"):
        assert step_text(events.Step(stage, "rm x")) == f"Running the {stage} command: rm x"


def test_keys_of_eevdf_are_shown_with_their_values() -> None:
    shown = {key: shown_key(key) for key in ("eevdf", "eevdf jobs=2", "eevdf_like", "at_fifo jobs=2")}
    assert shown == {
        "eevdf": "EEVDF",
        "eevdf jobs=2": "EEVDF jobs=2",
        "eevdf_like": "eevdf_like",
        "at_fifo jobs=2": "at_fifo jobs=2",
    }


def test_a_run_of_the_baseline_names_its_value() -> None:
    run = events.RunFinished(sessions.trial("eevdf jobs=2", "baseline", 3))
    assert Wording().lines(run)[0].text.startswith("  Baseline run 3, EEVDF jobs=2: 2.41")
