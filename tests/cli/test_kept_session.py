# SPDX-License-Identifier: MIT
"""What a session found is written whatever happens to its commands, its terminal or its output: the real program and
the real tuner as a process of their own, on a machine whose times are given."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import signal
import sqlite3
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from autotune import signals
from tests.support.scripted_program import CONTROLLING, DEAF, argv, at_terminal_until_it_goes, ended, environ, wait_for

pytestmark = pytest.mark.slow


def kept(*, whole: bool = True) -> dict[str, Any]:
    """The session as every file and the memory have it."""
    report: dict[str, Any] = json.loads(Path("r.json").read_text())
    assert (report["winner"] == "at_fifo") is whole
    assert len(report["trials"]) >= 4
    assert Path("r.md").read_text().count("|") > 10
    assert len(Path("r.csv").read_text().splitlines()) >= 2
    memory = sqlite3.connect(Path(os.environ["XDG_STATE_HOME"]) / "autotune" / "history.sqlite3")
    with contextlib.closing(memory):
        rows = memory.execute("SELECT winner, interrupted, failure FROM sessions").fetchall()
    assert rows == [(report["winner"], int(report["interrupted"]), report["failure"])]
    assert Path("given-back").exists()
    assert not [path for path in Path().iterdir() if path.name.endswith(".tmp") or path.name.startswith(".draft-")]
    return report


# --- commands that fail ---


def test_a_cleanup_that_fails_is_an_error_beside_a_whole_report() -> None:
    done = ended("--cleanup", "fail to clean")
    assert done.returncode == 1
    assert done.stderr == (
        "autotune: cleanup: the cleanup command failed: exit code 1. Try it by hand: fail to clean.\n"
    )
    assert "Use at_fifo" in done.stdout
    assert any("cleanup command failed" in warning for warning in kept()["warnings"])


def test_a_prepare_that_fails_late_is_reported_and_all_runs_are_kept() -> None:
    done = ended("--prepare", "late", "--cleanup", "fail too")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("autotune: prepare: the prepare command failed: exit code 1")
    assert "cleanup" not in done.stderr
    assert "prepare command failed" in kept(whole=False)["failure"]


def test_a_workload_that_fails_at_once_still_ends_with_its_own_code() -> None:
    done = ended("--prepare", "fail", "--cleanup", "fail too")
    assert done.returncode == 3
    assert done.stderr.startswith("autotune: prepare: the prepare command failed")
    report = json.loads(Path("r.json").read_text())
    assert report["failure"].startswith("the prepare command failed")
    assert (report["baseline"], report["trials"]) == (None, [])


def test_a_sweep_given_as_to_hyperfine_is_the_same_in_every_report() -> None:
    """All values are equal here, so each is a rival."""
    done = ended("-L", "jobs", "2,4", "-P", "n", "1", "2", "--prepare", "clean {jobs} {n}", "--export-json", "h.json")
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(Path("r.json").read_text())
    assert report["winner"] in {f"at_fifo jobs={jobs} n={n}" for jobs in (2, 4) for n in (1, 2)}
    pairs = [(one["candidate"]["scheduler"], dict(one["candidate"]["params"])["jobs"]) for one in report["results"]]
    assert [scheduler for scheduler, _ in pairs].count("eevdf") == 4
    lines = list(csv.DictReader(Path("r.csv").read_text().splitlines()))
    assert [(one["scheduler"], one["parameter_jobs"]) for one in lines] == pairs
    hyperfine = [one["parameters"] for one in json.loads(Path("h.json").read_text())["results"]]
    ran = [pair for pair, one in zip(pairs, report["results"], strict=True) if one["runs"]]
    assert [(one["scheduler"]["value"], one["jobs"]["value"]) for one in hyperfine] == ran
    assert "--param jobs=2,4 --param n=1,2" in done.stdout
    memory = sqlite3.connect(Path(os.environ["XDG_STATE_HOME"]) / "autotune" / "history.sqlite3")
    with contextlib.closing(memory):
        rows = memory.execute("SELECT winner FROM sessions").fetchall()
    assert rows == [(report["winner"],)]


# --- output that nobody reads ---


@pytest.mark.parametrize("lines", [0, 1, 4])
def test_a_reader_that_leaves_costs_no_report(lines: int) -> None:
    shell = f'"$@" | head -n {lines}; exit "${{PIPESTATUS[0]}}"'
    whole = ["bash", "-c", shell, "sh", *argv()]
    done = subprocess.run(whole, capture_output=True, text=True, timeout=120, env=environ(PAUSE_S="0.02"), check=False)
    assert (done.returncode, done.stderr) == (1, "")
    assert len(done.stdout.splitlines()) == lines
    assert kept()["failure"] is None


def test_a_full_disk_below_standard_output_is_reported_once() -> None:
    with open("/dev/full", "w") as full:
        done = ended(stdout=full)
    assert done.returncode == 1
    assert done.stderr == (
        "autotune: report: some of the output could not be printed: No space left on device. "
        "Write the report to a file with --json FILE.\n"
    )
    kept()


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed_from_the_start(closed: str) -> None:
    whole = ["bash", "-c", f'"$@" {closed}', "sh", *argv("--cleanup", "fine")]
    done = subprocess.run(whole, capture_output=True, text=True, timeout=120, env=environ(), check=False)
    assert (done.returncode, done.stderr) == (0, "")
    kept()


def test_errors_that_cannot_be_reported_change_no_exit_code() -> None:
    with open("/dev/full", "w") as full:
        assert ended("--cleanup", "fail", stdout=full, stderr=full).returncode == 1
    kept()


def test_the_document_on_standard_output_is_what_counts_there() -> None:
    where = ["--json", "-"]
    with open("/dev/full", "w") as full:
        unwritten = ended(*where, stdout=full)
        unseen = ended(*where, stderr=full)
    assert unwritten.returncode == 1
    assert "autotune: report: --json - could not be written: No space left on device" in unwritten.stderr
    assert (unseen.returncode, json.loads(unseen.stdout)["winner"]) == (0, "at_fifo")


@pytest.mark.parametrize("event", ["RunFinished", "Finished"])
def test_a_view_with_a_bug_is_switched_off_and_said(event: str) -> None:
    done = ended(env={"BROKEN_VIEW": event})
    assert done.returncode == 1
    assert done.stderr.startswith("autotune: internal: some events could not be shown: KeyError")
    assert done.stderr.count("\n") == 1
    kept()


def test_a_report_that_cannot_be_written_keeps_nothing_else_from_being_written() -> None:
    done = ended("--export-csv", "/dev/full")
    assert done.returncode == 1
    assert "--export-csv /dev/full could not be written: No space left on device" in done.stderr
    Path("r.csv").write_text("1\n2\n")
    kept()


# --- terminals that go away, and signals ---


def test_a_terminal_that_is_closed_ends_the_session_with_what_is_known() -> None:
    assert at_terminal_until_it_goes(CONTROLLING, "--cleanup", "clean") == 130
    assert kept(whole=False)["interrupted"] is True


def test_a_terminal_that_goes_without_a_word_costs_nothing() -> None:
    """As for a session that nohup started: writing fails, and the signal is ignored."""
    assert at_terminal_until_it_goes(DEAF) == 1
    kept()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_during_cleanup_leaves_the_report_whole(number: signal.Signals) -> None:
    child = subprocess.Popen(
        argv("--cleanup", "slow"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environ(),
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # these tests may run under nohup
    )
    wait_for("cleaning")
    child.send_signal(number)
    _, said = child.communicate(timeout=60)
    assert child.returncode == 130
    assert said == "autotune: session: interrupted during cleanup. The report is complete.\n"
    assert kept()["interrupted"] is False


def test_ctrl_c_in_the_race_and_again_in_cleanup() -> None:
    child = subprocess.Popen(
        argv("--cleanup", "slow"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environ(PAUSE_S="0.05"),
        text=True,
    )
    wait_for("racing")
    child.send_signal(signal.SIGINT)
    wait_for("cleaning")
    time.sleep(signals.AGAIN_S)  # one that follows at once would be the same wish
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=60)
    assert child.returncode == 130
    assert said == "autotune: session: interrupted. The report holds what is known so far.\n"
    assert kept(whole=False)["interrupted"] is True


def test_root_that_is_refused_after_the_baseline_is_a_failure_and_all_runs_are_kept() -> None:
    done = ended(env={"REFUSED": "1"})
    assert done.returncode == 1
    assert "needs root, and sudo asks for a password" in done.stderr
    assert "Traceback" not in done.stderr
    report = kept(whole=False)
    assert "needs root, and sudo asks for a password" in report["failure"]
    assert report["baseline"] is not None
    assert not report["interrupted"]
