# SPDX-License-Identifier: MIT
"""`autotune recheck` as a user types it, or a timer."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from autotune.knowledge import experience, versions
from autotune.knowledge.store import Knowledge
from autotune.machine import select
from autotune.records import MachineInfo, MeasuredScheduler, Workload
from autotune.session import start, tuner
from tests.support import sessions
from tests.support.command_line import Story, error_of, run
from tests.support.scripted_machine import ScriptedMachine
from tests.support.scripted_sessions import resolve

WHOLE_SESSION = tuner.tune
KEY = sessions.FIFO.key
WON = replace(sessions.results()[0], candidate=sessions.FIFO)
"""Of a candidate that the catalogue has."""


def a_build(file: Path) -> MeasuredScheduler:
    status, digest = file.stat(), versions.of_file(str(file))
    return MeasuredScheduler("binary", "x", "1", digest, str(file), status.st_size, status.st_mtime_ns)


@pytest.fixture(autouse=True)
def _a_known_best(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that won in this directory on an older kernel; a session would run in a micro-VM."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(select, "host_problem", lambda: "the host kernel has no sched_ext")
    (tmp_path / "scheduler").write_text("one")
    remember("0a1b2c3d", sessions.workload(cwd=os.getcwd()), tmp_path)


def remember(name: str, work: Workload, directory: Path) -> None:
    results = (replace(WON, attached=a_build(directory / "scheduler")), *sessions.results()[1:2])
    old = sessions.machine(kernel="6.12.1")
    with Knowledge() as memory:
        memory.record(sessions.session(id=name, machine=old, workload=work, results=results, winner=KEY))


def test_what_would_be_measured_is_listed_with_what_has_changed() -> None:
    listed = run("recheck", "--dry-run")
    assert listed.exit_code == 0
    assert f"{KEY} for 'make -j8' in {os.getcwd()}: the kernel was 6.12.1 and is" in " ".join(listed.stdout.split())
    (one,) = json.loads(run("recheck", "--dry-run", "--json").stdout)
    assert (one["outcome"], one["scheduler"], one["won_in"]) == ("planned", KEY, "0a1b2c3d")


def test_nothing_is_stale_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert run("recheck").stdout.startswith("Nothing is stale")
    assert "make -j8" in run("recheck", "--all", "--dry-run").stdout
    assert "No scheduler is known to beat EEVDF" in run("recheck", "ninja").stdout


def test_one_that_still_wins_is_still_the_best(story: Story) -> None:
    story.session = sessions.session(results=(WON,), winner=KEY)
    done = run("recheck")
    assert done.exit_code == 0, done.stderr
    assert f"{KEY} for 'make -j8': still the best (2 runs, speedup 1.084 [1.051, 1.118])" in done.stdout
    assert [one.key for one in story.options.user_candidates] == [KEY]
    assert (story.options.tail_runs, story.options.max_rounds) == (0, 2)
    assert story.workload.cwd == os.getcwd()
    assert story.workload.env != {}


@pytest.mark.parametrize(("verdict", "said"), [("slower", "not the best any more"), ("undecided", "not told")])
def test_one_that_does_not_is_told_and_the_exit_code_says_so(story: Story, verdict: Any, said: str) -> None:
    story.session = sessions.session(winner=None, results=(replace(WON, verdict=verdict),))
    done = run("recheck", "make -j8")
    assert done.exit_code == 1
    assert f"{KEY} for 'make -j8': {said}" in done.stdout
    assert json.loads(run("recheck", "--json").stdout)[0]["outcome"] == ("refuted" if verdict == "slower" else "open")


def test_one_that_cannot_be_measured_is_an_error_line_and_costs_no_other(story: Story, tmp_path: Path) -> None:
    story.session = sessions.session(results=(WON,), winner=KEY)
    remember("0a1b2c3e", sessions.workload(cwd=str(tmp_path / "gone")), tmp_path)
    done = run("recheck", "--all")
    assert done.exit_code == 1
    assert "is not there any more" in error_of(done)
    assert "still the best" in done.stdout
    assert "could not be measured again" in done.stdout


def test_what_was_measured_before_ctrl_c_is_in_the_document(
    story: Story, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    story.session = sessions.session(results=(WON,), winner=KEY)
    remember("0a1b2c3e", sessions.workload(cwd=str(tmp_path)), tmp_path)
    tune, calls = tuner.tune, []

    def once(*given: Any) -> Any:
        calls.append(given)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return tune(*given)

    monkeypatch.setattr(tuner, "tune", once)
    done = run("recheck", "--all", "--json")
    assert done.exit_code == 130
    assert [one["outcome"] for one in json.loads(done.stdout)] == ["confirmed"]
    assert "interrupted" in error_of(done)


# --- whole sessions on a scripted machine ---


class Upgraded(ScriptedMachine):
    """A scripted machine with another kernel."""

    @property
    def info(self) -> MachineInfo:
        return replace(super().info, kernel="6.19")


@pytest.mark.usefixtures("story")
@pytest.mark.parametrize(
    ("then", "code", "said", "known"),
    [
        (0.8, 0, "still the best", "at_fifo is the best known"),
        (1.3, 1, "not the best any more", "No scheduler is known"),
    ],
)
def test_after_a_new_kernel_a_whole_session_tells_whether_the_winner_of_the_last_one_is_still_the_best(
    monkeypatch: pytest.MonkeyPatch, then: float, code: int, said: str, known: str
) -> None:
    machines: list[ScriptedMachine] = []

    def machine(*_: Any) -> Any:
        return contextlib.nullcontext(machines[-1])

    monkeypatch.setattr(tuner, "tune", WHOLE_SESSION)
    monkeypatch.setattr(start.Engine, "machine", machine)
    monkeypatch.setattr(start.Engine, "resolver", lambda *_: resolve)
    monkeypatch.setattr(select, "whereabouts", lambda: experience.here_of(machines[-1].info))
    machines.append(ScriptedMachine({"eevdf": 1.0, "at_fifo": 0.8}))
    tuned = run("cc", "--machine", "vm", "--scheduler", "at_fifo", "--no-observe", "--", "ninja")
    assert tuned.exit_code == 0, tuned.stderr
    machines.append(Upgraded({"eevdf": 1.0, "at_fifo": then}))
    assert "the kernel was 6.18 and is 6.19" in " ".join(run("best", "ninja").stdout.split())
    assert machines[-1].log == []
    done = run("recheck", "ninja")
    assert (done.exit_code, f"at_fifo for 'ninja': {said}" in done.stdout) == (code, True), done.stdout + done.stderr
    runs = [len(one.log) for one in machines]
    assert runs[1] <= runs[0] / 2
    assert run("best", "ninja").stdout.startswith(known)
    assert run("recheck", "--dry-run").stdout.count("ninja") == 0, "nothing about it is stale any more"
