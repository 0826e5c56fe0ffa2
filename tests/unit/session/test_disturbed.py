# SPDX-License-Identifier: MIT
"""Disturbed runs are marked wherever people look, and count all the same."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from autotune.machine.base import OutputHandler
from autotune.records import BASELINE, Measurement, RunSpec, Session, Surroundings, Trial, Workload
from autotune.report import html, json_document, markup, plain_text, sentences, session_table
from autotune.session import disturbed
from autotune.session.options import SessionOptions
from autotune.session.parts import SessionParts
from autotune.session.tuner import tune
from autotune.views import plot
from tests.support import sessions
from tests.support.list_planner import ListPlanner, resolve
from tests.support.scripted_machine import ScriptedMachine

QUIET = Surroundings(2.0, 2, 0.01, 0.0, 0, 1.0)
LOUD = replace(QUIET, others_s=2.4)


@dataclass
class Neighbours(ScriptedMachine):
    """A machine on which others work during some runs, counted from 1."""

    loud: Sequence[int] = ()
    runs: int = field(default=0)

    def measure(self, spec: RunSpec, ops: str | None, on_output: OutputHandler | None = None) -> Measurement:
        self.runs += 1
        measured = super().measure(spec, ops, on_output)
        return replace(measured, surroundings=LOUD if self.runs in self.loud else QUIET)


def session(loud: Sequence[int] = (), **options: float) -> Session:
    machine = Neighbours({BASELINE: 1.0, "a": 0.8, "b": 1.0}, loud=loud)
    given = SessionOptions(seed=3, **options)  # type: ignore[arg-type]
    workload = Workload("true", ("true",), "/")
    return tune(workload, SessionParts(machine, ListPlanner([["a", "b"]]), lambda _event: None, resolve), given)


SOME = (2, 6, 7)
"""A run of the baseline and two of the race; the first of all is a warm-up."""


def test_disturbed_runs_are_marked_counted_and_kept() -> None:
    done, quiet = session(SOME), session()
    hit = [one for one in done.trials if one.disturbed]
    assert [done.trials.index(one) + 1 for one in hit] == list(SOME)
    assert {one.disturbed for one in hit} == {"others used 1.2 of 2 CPUs"}
    assert sum(one.disturbed_runs for one in done.results) == 3
    unmarked = [replace(one, disturbed_runs=0) for one in done.results]
    assert unmarked == list(quiet.results), "the marks decide nothing"
    assert done.winner == quiet.winner == "a"
    assert not any(one.disturbed for one in quiet.trials)
    assert not any(sentences.DISTURBED in one for one in quiet.warnings)


def test_a_disturbed_warm_up_is_no_run_of_the_table() -> None:
    done = session((1,))
    assert sum(one.disturbed_runs for one in done.results) == 0
    assert not any(sentences.DISTURBED in one for one in done.warnings)


def test_every_report_shows_the_marks() -> None:
    done = session(SOME)
    notes = [row.note for row in session_table.session_table(done).rows]
    assert any("disturbed run" in note for note in notes)
    (said,) = sentences.cautions(done)
    total = sum(one.runs for one in done.results)
    assert said.startswith(f"{sentences.DISTURBED}: 3 of {total} runs, such as ")
    assert "(others used 1.2 of 2 CPUs)" in said
    assert said in plain_text.plain_text(done)
    assert sentences.DISTURBED in markup.markdown(done)
    page = html.page(done)
    assert page.count('class="disturbed"') == 3
    assert "; others used 1.2 of 2 CPUs</title>" in page
    assert sentences.DISTURBED in page
    document = json.loads(json_document.json_text(done))
    assert sum(bool(one["disturbed"]) for one in document["trials"]) == 3
    assert document["trials"][1]["surroundings"]["others_s"] == 2.4


def test_the_plot_marks_them_below_the_runs() -> None:
    text = plot.text(session(SOME), 80)
    assert "  !  at the lower edge: 3 runs disturbed from outside" in text
    drawn = [line for line in text.splitlines() if "\u2502" in line or "\u2524" in line]
    marks = [number for number, line in enumerate(drawn) if "!" in line]
    assert marks == [len(drawn) - 1]
    assert "!" not in plot.text(session(), 80)


def test_a_machine_that_was_loud_before_and_stays_so_disturbs_all_runs() -> None:
    every = range(1, 200)
    assert not any(one.disturbed for one in session(every).trials), "it may be the command's own"
    assert all(one.disturbed for one in session(every, others_before=1.2).trials)


def a_trial(key: str, surroundings: Surroundings | None, **more: Any) -> Trial:
    return sessions.trial(key, surroundings=surroundings, **more)


@pytest.mark.parametrize("seen", [None, Surroundings(2.0, 2)])
def test_a_machine_that_shows_nothing_marks_nothing(seen: Surroundings | None) -> None:
    trials = [a_trial(BASELINE, seen), a_trial("a", seen)]
    assert disturbed.marked(trials, 5.0) == tuple(trials)
    assert disturbed.warning(trials) is None


def test_runs_that_do_not_count_are_marked_but_not_counted() -> None:
    trials = disturbed.marked([*[a_trial(BASELINE, QUIET)] * 4, a_trial("a", LOUD, value=None, invalid="timeout")], 0.0)
    assert trials[-1].disturbed
    assert disturbed.warning(trials) is None
    one_more = disturbed.marked([*trials, a_trial("a", LOUD, round=7)], 0.0)
    assert "1 of 5 runs, such as a in race round 7 (" in str(disturbed.warning(one_more))
