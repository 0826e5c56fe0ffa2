# SPDX-License-Identifier: MIT
"""The words for events."""

from __future__ import annotations

import typing

from autotune import events
from autotune.records import BASELINE, Candidate
from autotune.views.wording import Wording, shown_key, step_text
from tests.support import sessions


def test_every_event_has_words_or_is_known_to_need_none() -> None:
    silent = {events.RunStarted, events.OutputSeen, events.AttachFailed, events.Finished, events.Left}
    silent |= {events.Notice, events.Problem, events.Unmeasured}  # the screen shows these beside every view
    values = events.ValuesKnown((sessions.result(Candidate(BASELINE, params=(("jobs", "2"),)), None),))
    spoken = {type(event) for event in (*sessions.session_events(), values) if Wording().lines(event)}
    assert spoken | silent == set(typing.get_args(events.Event))


def test_a_continuation_says_what_it_continues() -> None:
    ready = events.MachineReady(sessions.machine(), sessions.workload(), continues="3f9a1c2e")
    lines = [line.text for line in Wording().lines(ready)]
    assert lines[-1] == "Continues session 3f9a1c2e: its leaders run fresh pairs, and only those decide."


def test_the_bound_is_among_the_first_lines_and_says_where_it_comes_from() -> None:
    def said(event: events.Event, *, is_time: bool = True) -> list[str]:
        wording = Wording()
        wording.is_time = is_time
        return [line.text for line in wording.lines(event)]

    bound = (
        "At most 31 % less time is possible with the same work on 2 CPUs (the watched run took 2.400 s: work 3.300 s, "
        "longest chain 300.0 ms)."
    )
    seen = sessions.profile(chain=())
    assert said(events.WorkloadSeen(seen)) == [bound]
    assert said(events.WorkloadSeen(seen, "--no-observe")) == [
        "No run was watched (--no-observe); what an earlier session saw:",
        bound,
    ]
    assert said(events.WorkloadSeen(None, "tasks.o was refused by the kernel: no BTF")) == [
        "No run was watched: tasks.o was refused by the kernel: no BTF."
    ]
    (other,) = said(events.WorkloadSeen(seen), is_time=False)
    assert "not bounded here" in other


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
