# SPDX-License-Identifier: MIT
"""What users see of a model: what would be sent, what was said, and a question that other knobs may answer."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, get_args

import pytest

from autotune import config
from autotune.machine import select
from tests.support.command_line import at_terminal, error_of, run
from tests.support.messages_server import Answer, serving, tool
from tests.support.planning_room import GOOD, Room

KEY = "sk-ant-api03-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"


@pytest.fixture(autouse=True)
def _with_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)


def test_a_dry_run_with_a_key_shows_what_would_be_sent(story: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(select, "describe", lambda *_args, **_choice: "micro-VM, kernel 6.18")
    result = run("cc", "make -j8 TOKEN=hunter2hunter2", "--dry-run", "--model", "claude-sonnet-5")
    assert result.exit_code == 0, result.stderr
    said, _, sent = result.stdout.partition("What would be sent to the model first:")
    assert "Machine: micro-VM, kernel 6.18" in said
    for piece in ("claude-sonnet-5", "make -j8", "submit_candidates", "read_workload_file"):
        assert piece in sent, piece
    assert KEY not in result.stdout
    assert "hunter2" not in sent
    assert story.choice == {}


@pytest.mark.usefixtures("story")
@pytest.mark.parametrize("arguments", [("--planner", "offline"), ("--planner", "search"), ("--scheduler", "at_fifo")])
def test_a_dry_run_that_needs_no_model_shows_no_request(
    monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, str]
) -> None:
    monkeypatch.setattr(select, "describe", lambda *_args, **_choice: "micro-VM, kernel 6.18")
    result = run("cc", "make -j8", "--dry-run", *arguments)
    assert result.exit_code == 0
    assert "would be sent" not in result.stdout


@pytest.fixture
def transcript(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Of a session that was planned against a local server."""
    with serving() as script:
        session = Room(script, monkeypatch, tmp_path).run(Answer([tool("list_schedulers")]), *GOOD)
    assert session.transcript is not None
    return Path(session.transcript)


def test_a_transcript_is_played_back_and_says_that_all_is_as_it_was(transcript: Path) -> None:
    result = run("replay", str(transcript))
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines()[-1].endswith("all as recorded.")


def test_a_difference_in_a_transcript_is_exit_code_1(transcript: Path) -> None:
    transcript.write_text(transcript.read_text().replace("First come, first served", "First come, last served"))
    result = run("replay", str(transcript))
    assert result.exit_code == 1
    assert "differs: the result of list_schedulers" in result.stdout


def test_what_is_no_transcript_is_one_line() -> None:
    Path("r.jsonl").write_text('{"a": 1}\n')
    result = run("replay", "r.jsonl")
    assert result.exit_code == 2
    assert "r.jsonl" in error_of(result)


@pytest.mark.slow
def test_knobs_can_be_changed_at_the_question() -> None:
    """`e`, a knob that there is not, then one that there is; then `q` at the next question."""
    code, seen = at_terminal(
        "cc", "make", "--interactive", answers=b"e\nslice=1\nslice_us=7000\nq\n", until=b"[q]uit: "
    )
    assert code == 130
    assert b"now: slice_us=5000" in seen
    assert b"no knob 'slice'" in seen
    assert b"chosen: at_fifo:slice_us=7000" in seen


def test_the_help_names_every_planner() -> None:
    said = " ".join(run("cc", "--help").stdout.replace("│", " ").split())
    _, _, said = said.partition("--planner")
    assert all(name in said[:300] for name in get_args(config.PlannerKind))


@pytest.mark.parametrize("more", [(), ("--dry-run",)])
def test_a_search_without_its_extra_is_one_line_before_anything_starts(
    story: Any, monkeypatch: pytest.MonkeyPatch, more: tuple[str, ...]
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    result = run("cc", "true", "--planner", "search", *more)
    assert result.exit_code == 1
    assert "pip install 'autotune-sched[search]'" in error_of(result)
    assert story.choice == {}


@pytest.mark.usefixtures("story")
@pytest.mark.parametrize("arguments", [("--planner", "offline"), ("--planner", "search", "--scheduler", "at_fifo")])
def test_what_needs_no_search_needs_no_extra(monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.setattr(select, "describe", lambda *_args, **_choice: "micro-VM, kernel 6.18")
    result = run("cc", "true", "--dry-run", *arguments)
    assert result.exit_code == 0, result.stderr
