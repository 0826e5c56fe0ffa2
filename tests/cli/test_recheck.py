# SPDX-License-Identifier: MIT
"""`autotune recheck` as a user types it, or a timer."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from autotune.knowledge import versions
from autotune.knowledge.store import Knowledge
from autotune.machine import select
from autotune.records import MeasuredScheduler, Workload
from tests.support import sessions
from tests.support.command_line import Story, error_of, run

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
