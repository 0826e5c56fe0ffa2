# SPDX-License-Identifier: MIT
"""The workload's output, as lines."""

from __future__ import annotations

from autotune import events
from autotune.views.output import LONGEST_LINE, OutputLines


def test_output_in_pieces_becomes_whole_lines() -> None:
    lines = OutputLines()
    assert lines.feed(events.OutputSeen("stdout", b"one\ntw")) == ["one"]
    assert lines.feed(events.OutputSeen("stderr", b"error\n")) == ["error"]
    assert lines.feed(events.OutputSeen("stdout", b"o\n\n")) == ["two", ""]
    assert lines.finish() == []


def test_a_character_cut_in_two_is_put_together_and_what_is_not_utf8_is_marked() -> None:
    lines = OutputLines()
    assert lines.feed(events.OutputSeen("stdout", b"caf\xc3")) == []
    assert lines.feed(events.OutputSeen("stdout", b"\xa9 \xff\n")) == ["caf\u00e9 \ufffd"]


def test_of_a_line_that_rewrites_itself_the_last_state_is_shown() -> None:
    lines = OutputLines()
    assert lines.feed(events.OutputSeen("stdout", b"10%\r50%\r100%\r\n")) == ["100%"]


def test_a_line_without_end_is_shown_in_parts_and_at_the_end() -> None:
    lines = OutputLines()
    shown = lines.feed(events.OutputSeen("stdout", b"x" * (2 * LONGEST_LINE + 5)))
    assert [len(line) for line in shown] == [LONGEST_LINE, LONGEST_LINE]
    assert lines.finish() == ["xxxxx"]
    assert lines.finish() == []
