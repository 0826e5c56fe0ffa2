# SPDX-License-Identifier: MIT
"""The line that an expression was probably meant for."""

from __future__ import annotations

import time

import pytest

from autotune.records import Output
from autotune.session.nearest import LINE_CHARACTERS, nearest_line, words_of
from tests.support import sessions

TEXT = "starting 3 threads\nLatency 99%: \x1b[1m12.5\x1b[0m ms\n10 %\r100 % done\ntotal time 7 s\nbye\n"


def printed(text: str, errors: str = "") -> object:
    return sessions.run(stdout=Output(text, "", len(text), 0), stderr=Output(errors, "", len(errors), 0))


@pytest.mark.parametrize(
    ("expression", "line"),
    [
        (r"latency 99%: ([0-9.]+)us", "Latency 99%: 12.5 ms"),
        (r"Latency 99\.0%: (\d+)", "Latency 99%: 12.5 ms"),
        (r"^(\d+)% +done", "100 % done"),
        (r"Total\s+time:\s+(\d+)", "total time 7 s"),
        (r"rps: (?P<n>\d{1,9})", "total time 7 s"),
        (r"(?i)[a-z]+ (\d+) threads?\b", "starting 3 threads"),
    ],
)
def test_it_has_most_of_the_expressions_words_or_else_is_the_last_with_a_number(expression: str, line: str) -> None:
    assert nearest_line(expression, printed(TEXT)) == line  # type: ignore[arg-type]
    assert nearest_line(expression, printed("", TEXT)) == line  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["", "\n\n", "no number here\n"])
def test_there_may_be_none(text: str) -> None:
    assert nearest_line(r"rps: (\d+)", printed(text)) is None  # type: ignore[arg-type]


def test_words_are_what_is_no_operator() -> None:
    assert words_of(r"^(?:rps|req/s)\s*[=:]\s*(\d+\.\d+){1,3} \(per second\)$") == {"rps", "req/s", "(per", "second)"}


def test_what_is_quoted_is_bounded_and_cannot_write_to_the_terminal() -> None:
    line = nearest_line("rate", printed("rate \x07\x1b]0;title\x07\u202e" + "x" * 1000))  # type: ignore[arg-type]
    assert line is not None
    assert len(line) <= LINE_CHARACTERS
    assert line.isprintable()


def test_an_expression_of_exponential_time_costs_none() -> None:
    began = time.process_time()
    nearest_line("(a+)+$" * 50 + "[" + "x" * 5000, printed("a" * 30000))  # type: ignore[arg-type]
    assert time.process_time() - began < 10
