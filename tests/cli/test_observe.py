# SPDX-License-Identifier: MIT
"""`autotune observe` as people type it."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from autotune import durable
from autotune.records import BASELINE
from autotune.session import preflight, watching
from tests.support.command_line import error_of, run
from tests.support.scripted_engine import ScriptedEngine
from tests.support.scripted_machine import ScriptedMachine
from tests.support.watched_tasks import a_task, a_turn, raw

BUILD = raw(
    [a_task(7, arguments=("make", "-j2"), end_s=2.0, cpu_s=0.1), a_task(8, 7, arguments=("cc", "x.c"), end_s=1.0)],
    [a_turn(8, 0.0, 1.0)],
)


@pytest.fixture(autouse=True)
def scripted(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedEngine]:
    engine = ScriptedEngine(ScriptedMachine({BASELINE: 2.0}, tasks=BUILD))
    monkeypatch.setattr(watching, "Engine", lambda: engine)
    monkeypatch.setattr(preflight, "CHECKS", ())
    return iter([engine])


def test_it_prints_the_bound_the_cpus_and_the_tasks() -> None:
    result = run("observe", "make -j2")

    assert result.exit_code == 0
    assert "No schedule ends it before" in result.stdout
    assert "CPUs busy, of 2" in result.stdout
    assert "cc x.c" in result.stdout


def test_progress_goes_to_standard_error_so_that_the_result_can_be_piped() -> None:
    result = run("observe", "--json", "make -j2")

    document = json.loads(result.stdout)
    assert document["version"] == 1
    assert document["profile"]["groups"][0]["key"] == "cc x.c"
    assert "Watching a run" in result.stderr


def test_a_trace_is_written_whole(tmp_path: Path) -> None:
    target = tmp_path / "trace.json"

    assert run("observe", "--trace", str(target), "make -j2").exit_code == 0
    assert json.loads(target.read_text())["traceEvents"]


@pytest.mark.parametrize("target", ["missing/trace.json", "/dev/null/x"])
def test_a_trace_that_cannot_be_written_is_said_before_anything_runs(
    target: str, scripted: Iterator[ScriptedEngine]
) -> None:
    result = run("observe", "--trace", target, "make -j2")

    assert result.exit_code == 2
    assert "--trace" in error_of(result)
    assert next(scripted).started == 0


def test_more_rows_can_be_shown() -> None:
    assert "1 more" in run("observe", "--top", "1", "make -j2").stdout
    assert "more;" not in run("observe", "--top", "2", "make -j2").stdout


@pytest.mark.parametrize(
    "wrong", [("--top", "0"), ("--warmup", "-1"), ("--machine", "moon"), ("--scheduler", "at_fifo")]
)
def test_wrong_options_are_usage_errors(wrong: tuple[str, str]) -> None:
    result = run("observe", *wrong, "make -j2")

    assert result.exit_code == 2
    assert "Traceback" not in result.stderr


def test_what_was_seen_is_shown_whatever_fails_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_given: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(durable, "write_named", full)
    result = run("observe", "--cleanup", "fail", "--trace", str(tmp_path / "trace.json"), "make -j2")

    assert result.exit_code == 1
    assert "CPUs busy, of 2" in result.stdout
    cleanup, trace = [line for line in result.stderr.splitlines() if line.startswith("autotune: ")]
    assert "the cleanup command failed" in cleanup
    assert "No space left on device" in trace
