# SPDX-License-Identifier: MIT
"""What people see in plain lines, through a pipe."""

from __future__ import annotations

import io
import unicodedata
from dataclasses import replace

from autotune import events
from autotune.records import BASELINE, Candidate, Proposal
from autotune.views.plain import PlainView
from tests.support import sessions


def plain(*heard: events.Event) -> str:
    stream = io.StringIO()
    with PlainView(stream, given=["--machine", "vm"]) as view:
        for event in heard:
            view(event)
    return stream.getvalue()


# --- plain lines ---


def test_a_session_in_plain_lines_says_everything_in_order() -> None:
    text = plain(*sessions.session_events())
    wanted = [
        "Booting a micro-VM under emulation",
        "Runs on a micro-VM under emulation",
        "Command: make -j8",
        "Running the setup command: make configure",
        "Baseline run 1: 2.410 s",
        "gains from about 2.1 % on are found 8 times of 10",
        "Warning: The first run took 1.4 times",
        "4 candidates from the offline planner:",
        "    The command keeps both CPUs busy and rarely sleeps, so long slices should save switches. Expected: 2 to",
        "Race, round 1 of 4: at_batch:slice_us=20000,stay=true, EEVDF",
        "at_batch:slice_us=20000,stay=true: attached in 72.0 ms",
        "at_vtime: ejected by the kernel: runnable task stall",
        "at_vtime: run of race round 1 does not count: ejected: runnable task stall",
        "speedups so far: at_batch:slice_us=20000,stay=true 1.084 [1.051, 1.118]",
        "at_vtime is dropped: 2 invalid runs",
        "Confirmation, round 1 of 5",
        "#  scheduler",
        "Use at_batch:slice_us=20000,stay=true",
        "To repeat it: autotune cc --machine vm --scheduler at_batch:slice_us=20000,stay=true --seed 7 -- 'make -j8'",
    ]
    position = 0
    for piece in wanted:
        position = text.find(piece, position)
        assert position >= 0, piece


def test_a_reason_begins_with_a_capital_unless_it_begins_with_a_name() -> None:
    heard = plain(
        events.Proposed(
            "offline",
            (
                Proposal(Candidate("at_fifo"), "at_fifo leads", "better than its neighbour"),
                Proposal(Candidate("at_vtime"), "tasks wait long", ""),
            ),
        )
    )
    assert "    at_fifo leads. Expected: better than its neighbour.\n" in heard
    assert "    Tasks wait long.\n" in heard


def test_plain_lines_hold_no_control_characters_whatever_happens() -> None:
    hostile = "\x1b[2J\r\x07evil\u202e\x9b31m [bold]x[/bold]"
    workload = sessions.workload(command=hostile)
    spoiled = sessions.trial("at_x", value=None, invalid=hostile)
    done = sessions.session(
        workload=workload, results=(sessions.result(Candidate("at_x"), "invalid", note=hostile),), winner=None
    )
    text = plain(
        events.MachineReady(sessions.machine(why=hostile), workload),
        events.Step("prepare", hostile),
        events.Warned(hostile),
        events.Dropped("at_x", hostile),
        events.OutputSeen("stdout", hostile.encode() + b"\n"),
        events.RunFinished(spoiled),
        sessions.detached(Candidate("at_x"), replace(sessions.STALL, reason=hostile)),
        events.Proposed("offline", (Proposal(Candidate("at_x"), hostile, hostile),)),
        events.Finished(done),
    )
    assert {c for c in text if unicodedata.category(c) in ("Cc", "Cf")} == {"\n"}
    assert "[bold]x[/bold]" in text


def test_each_plain_line_is_flushed_as_it_is_said() -> None:
    class Stream(io.StringIO):
        flushed = ""

        def flush(self) -> None:
            self.flushed = self.getvalue()

    stream = Stream()
    view = PlainView(stream)
    view(events.Warned("soon"))
    assert stream.flushed == "Warning: soon\n"


def test_a_metric_of_the_users_own_is_shown_without_a_unit() -> None:
    workload = sessions.workload(metric_regex=r"rps: (\d+)", goal="max")
    text = plain(events.MachineReady(sessions.machine(), workload), events.RunFinished(sessions.trial(value=1234.5)))
    assert "Metric: rps: (\\d+), larger is better" in text
    assert "EEVDF: 1234.5 (" in text


def test_an_interrupted_session_without_a_baseline_still_ends_in_a_sentence() -> None:
    done = sessions.session(baseline=None, observation=None, results=(), winner=None, interrupted=True, trials=())
    assert plain(events.Finished(done)).strip().startswith("Nothing can be said")


# --- the workload's output ---


def test_output_is_set_apart_from_our_own_lines() -> None:
    text = plain(
        events.RunStarted("race", 1, BASELINE),
        events.OutputSeen("stdout", b"compiling\nlink"),
        events.RunFinished(sessions.trial()),
    )
    assert text.splitlines()[:2] == ["  | compiling", "  | link"]
