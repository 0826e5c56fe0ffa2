# SPDX-License-Identifier: MIT
"""What a person sees of a session at a real terminal: the real program, whose machine and tuner are told what to do."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.command_line import ROOT
from tests.support.person import at_terminal

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _clean_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


PROGRAM = f"""
import contextlib, sys, time
from types import SimpleNamespace
sys.path.insert(0, {str(ROOT)!r})
from autotune import cli, events; from autotune.session import tuner
from autotune.machine import select
from tests.support import sessions as builders

@contextlib.contextmanager
def choose(kind, **choice):
    yield SimpleNamespace(info=builders.machine(), headers=None)

def tune(workload, parts, options):
    machine, listener = parts.machine, parts.listener
    listener(events.Step("boot", "booting"))
    listener(events.MachineReady(machine.info, workload))
    for one in (builders.BATCH, builders.FIFO, builders.VTIME):
        listener(events.RoundStarted("race", 1, 4, (one.key,)))
        proposal = builders.Proposal(one, "a test")
        chosen = one if options.approve is None else options.approve(one, proposal, editable=True)
        if chosen is not None:
            for event in builders.one_run(chosen, "race", 1):
                listener(event)
                time.sleep(0.3 if isinstance(event, events.RunStarted) else 0)
        listener(events.Standings(builders.results()))
        listener(events.Warned("after " + one.scheduler))
        time.sleep(0.7)
    done = builders.session(workload=workload)
    listener(events.Finished(done))
    return done

select.choose, tuner.tune = choose, tune
cli.main()
"""


@pytest.mark.parametrize(("columns", "lines"), [(100, 40), (80, 24), (66, 12)])
def test_questions_and_answers_stay_on_the_screen(columns: int, lines: int) -> None:
    with at_terminal([sys.executable, "-c", PROGRAM, "cc", "make", "-i"], columns=columns, lines=lines) as person:
        for asked, answer in (("?", "y"), ("?", "what"), ("?", "e"), ("slice_us=5000):", "slice_us=7000"), ("?", "n")):
            prompt = " [q]uit:" if asked == "?" else asked
            person.waits_for(prompt)
            person.types(f"{answer}\n")
            person.waits_for(f"{prompt} {answer}")
        assert person.leaves() == 0
        seen = person.seen()
    text = "\n".join(seen)
    for question in ("Attach at_batch:slice_us=20000,stay=true?", "Attach at_fifo:slice_us=5000?", "Attach at_vtime?"):
        assert question in text
    answers = [line.rpartition("[q]uit: ")[2] for line in seen if "[q]uit: " in line]
    assert answers == ["y", "what", "e", "n"]
    assert "slice_us=7000" in text
    for lasting in ("Command: make", "Warning: after at_batch", "Warning: after at_fifo", "To repeat it:"):
        assert lasting in text
    assert text.count("Budget ") == 0, text


@pytest.mark.parametrize(("columns", "lines"), [(100, 40), (60, 10)])
def test_what_scrolls_by_stays_and_the_moving_part_goes(columns: int, lines: int) -> None:
    with at_terminal([sys.executable, "-c", PROGRAM, "cc", "make"], columns=columns, lines=lines) as person:
        person.waits_for("Warning: after at_fifo")
        assert person.leaves() == 0
        text = "\n".join(person.seen())
    for lasting in ("Command: make", "Warning: after at_batch", "Warning: after at_vtime", "To repeat it:"):
        assert text.count(lasting) == 1
    assert "Budget " not in text
