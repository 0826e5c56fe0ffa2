# SPDX-License-Identifier: MIT
"""The lines of -v: what is known is named, and what comes from elsewhere cannot play tricks on a terminal."""

from __future__ import annotations

import os

import pytest

from autotune.knowledge.uses import Times
from autotune.wrapper import telling


def said(text: str) -> str:
    reading, writing = os.pipe()
    telling.say(text, writing)
    os.close(writing)
    with open(reading, encoding="utf-8") as file:
        return file.read()


def test_a_line_is_one_line_without_escapes() -> None:
    assert said("a\nb\x1b[31m") == "autotune: a?b?[31m\n"
    assert len(said("x" * 10_000)) < 500


def test_what_cannot_be_printed_is_not() -> None:
    telling.say("nobody reads it", 999)


@pytest.mark.parametrize(
    ("under", "status", "times", "line"),
    [
        ("x", 0, Times("x", 7.4, 9.1), "7.93 s under x; known are 7.40 s under x and 9.10 s under EEVDF"),
        (None, 0, Times("at_fifo", None, 123.4), "7.93 s; known is 123 s under EEVDF"),
        (None, 2, None, "7.93 s, exit code 2"),
        ("at_fifo", -9, Times("at_fifo", None, None), "7.93 s under at_fifo, ended by signal 9"),
        (None, None, None, "7.93 s"),
    ],
)  # fmt: skip
def test_the_end_is_told_with_what_is_known(
    under: str | None, status: int | None, times: Times | None, line: str
) -> None:
    assert telling.ended(7.93, under, status, times) == line
