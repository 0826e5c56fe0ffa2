# SPDX-License-Identifier: MIT
"""What the transcript of a conversation holds, and who can read it."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

from autotune.planner.claude.transcript import read
from tests.support.claude_conversation import FAKE_KEY, noisy
from tests.support.messages_server import Answer, submit, tool


def test_the_transcript_holds_everything_and_only_the_user_can_read_it(planning: Any) -> None:
    session = planning(Answer([tool("describe_scheduler", name=FAKE_KEY)]), Answer([submit("at_fifo")]))
    session.propose(noisy(f"key {FAKE_KEY}"))
    path = Path(session.planner.transcript)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    kinds = [entry["kind"] for entry in read(path)]
    assert kinds == ["session", "turn", "request", "reply", "tool", "request", "reply", "tool", "proposals"]
    assert FAKE_KEY not in path.read_text()


def test_a_transcript_that_cannot_be_written_costs_no_session(planning: Any, directory: Path) -> None:
    (directory / "transcripts").write_text("a file where the directory should be")
    session = planning(Answer([submit("at_fifo")]))
    assert session.propose() == ["at_fifo"]
    assert "transcript cannot be written" in session.planner.remarks()[0]
