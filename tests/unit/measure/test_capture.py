# SPDX-License-Identifier: MIT
"""What is kept of endless output, and how the metric is found in it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotune.errors import UsageError
from autotune.measure.capture import TEXT_CHARACTERS, KeptLines, KeptOutput, MetricSearch, needed_text
from autotune.measure.shown import LINE_CHARACTERS


def kept(keep_bytes: int, *chunks: bytes) -> dict[str, object]:
    keeper = KeptOutput(keep_bytes)
    for chunk in chunks:
        keeper.add(chunk)
    return keeper.output()


def found(expression: str, *chunks: bytes) -> tuple[int, list[str]]:
    search = MetricSearch(expression)
    for chunk in chunks:
        search.add("stdout", chunk)
    search.finish()
    return search.count, search.matches


def test_nothing_printed_is_empty() -> None:
    assert kept(8) == {"head": "", "tail": "", "total_bytes": 0, "omitted_bytes": 0}


def test_all_of_it_is_in_the_head_when_it_fits() -> None:
    assert kept(8, b"1234", b"5678") == {"head": "12345678", "tail": "", "total_bytes": 8, "omitted_bytes": 0}


def test_head_and_tail_share_the_bound() -> None:
    assert kept(4, b"0123456789") == {"head": "01", "tail": "89", "total_bytes": 10, "omitted_bytes": 6}


def test_keeping_nothing_still_counts() -> None:
    assert kept(0, b"abc" * 9) == {"head": "", "tail": "", "total_bytes": 27, "omitted_bytes": 27}


def test_a_character_that_the_bound_cuts_is_left_out_whole() -> None:
    output = kept(8, "aä€bcd€ä".encode())  # the head would end within €, the tail begin within it
    assert (output["head"], output["tail"]) == ("aä", "ä")
    assert output["omitted_bytes"] == 14 - 3 - 2


def test_bytes_that_are_not_utf8_are_escaped() -> None:
    assert kept(100, b"a\xff\xfeb\xc3")["head"] == "a\\xff\\xfeb\\xc3"


@given(st.lists(st.binary(max_size=70), max_size=30), st.integers(min_value=0, max_value=64))
def test_head_tail_and_omitted_make_up_the_total(chunks: list[bytes], keep_bytes: int) -> None:
    data = b"".join(chunks)
    output = kept(keep_bytes, *chunks)
    assert output["total_bytes"] == len(data)
    shown = len(data) - int(str(output["omitted_bytes"]))
    assert 0 <= shown <= keep_bytes or shown == len(data)
    if len(data) <= keep_bytes:
        assert output["head"] == data.decode("utf-8", "backslashreplace")
    else:
        assert shown > keep_bytes - 7  # at most a torn character at each side of the cut


def test_memory_stays_bounded() -> None:
    keeper = KeptOutput(1000)
    for _ in range(10_000):
        keeper.add(b"x" * 997)
    assert len(keeper._head) + len(keeper._tail) < 4000


def test_the_first_group_is_the_metric() -> None:
    assert found(r"took ([0-9.]+) ms", b"started\ntook 12.5 ms\n") == (1, ["12.5"])


def test_without_a_group_the_match_is_the_metric() -> None:
    assert found(r"\d+", b"a 42 b") == (1, ["42"])


def test_a_group_that_took_no_part_falls_back_to_the_match() -> None:
    assert found(r"(\d+)|none", b"none") == (1, ["none"])


def test_every_match_is_counted_and_the_first_three_are_kept() -> None:
    assert found(r"n=(\d)", b"n=1 n=2\nn=3\nn=4\n") == (4, ["1", "2", "3"])


def test_a_line_that_comes_in_pieces_is_one_line() -> None:
    assert found(r"^took (\d+) ms$", b"to", b"ok 1", b"23 ms", b"\r\nx") == (1, ["123"])


def test_streams_do_not_mix_within_a_line() -> None:
    search = MetricSearch(r"ab")
    search.add("stdout", b"a")
    search.add("stderr", b"b\n")
    search.finish()
    assert search.count == 0


def test_an_overlong_line_is_searched_up_to_the_bound_and_the_next_line_is_searched_again() -> None:
    chunk = b"x" * (LINE_CHARACTERS // 2)
    assert found(r"[ab]=(\d)", b"a=1", *[chunk] * 5, b"a=2", b"a=3\nb=4\n", chunk) == (2, ["1", "4"])


def test_parts_of_an_overlong_line_do_not_join_across_what_was_dropped() -> None:
    assert found("xy", b"x" * LINE_CHARACTERS, b"z" * 10, b"y\n") == (0, [])


def test_an_expression_that_is_none_is_the_users_mistake() -> None:
    with pytest.raises(UsageError, match="not a regular expression"):
        MetricSearch("(")


@pytest.mark.parametrize(
    ("expression", "output", "number"),
    [
        (r"^(\d+) %$", b" 10 %\r 50 %\r100 %\n", "100"),
        (r"took ([0-9.]+) ms", b"\x1b[1mtook\x1b[0m \x1b[32m12\x1b[0m.\x1b[32m5\x1b[0m ms\n", "12.5"),
        (r"= (\d+)$", b"working = 1\b2\b3\n", "3"),
        (r"rate (\d+)", b"rate 1\nrate 2\n\x1b[2Arate 7\n\x1b[K\x1b[2mdone\n", "7"),
        (r"rps: (\d+)", b"\rwarming up\x1b[K\rrps: 42\x1b[K", "42"),
    ],
)
def test_a_line_is_searched_as_a_terminal_shows_it_in_the_end(expression: str, output: bytes, number: str) -> None:
    assert found(expression, output) == (1, [number])
    assert found(expression, *(output[at : at + 1] for at in range(len(output)))) == (1, [number])


SCHBENCH = b"""\
Wakeup Latencies percentiles (usec) runtime 2 (s) (63 total samples)
\t  50.0th: 17         (17 samples)
\t* 99.0th: 28000      (6 samples)
\t  99.9th: 28000      (0 samples)
\t  min=2, max=28025
Request Latencies percentiles (usec) runtime 2 (s) (61 total samples)
\t  50.0th: 42432      (18 samples)
\t* 99.0th: 224512     (6 samples)
\t  min=2696, max=224598
current rps: 39.87
Wakeup Latencies percentiles (usec) runtime 4 (s) (165 total samples)
\t  50.0th: 354        (50 samples)
\t* 99.0th: 31200      (15 samples)
\t  min=2, max=40709
Request Latencies percentiles (usec) runtime 4 (s) (165 total samples)
\t* 99.0th: 206592     (15 samples)
average rps: 41.25
"""
"""As schbench 1.0 prints it: a report each interval (-i), and one at the end."""


@pytest.mark.parametrize(
    ("expression", "numbers"),
    [
        (r"(?s).*Wakeup Latencies.*?\* 99\.0th: +(\d+)", ["31200"]),
        (r"(?s).*Request Latencies.*?\* 99\.0th: +(\d+)", ["206592"]),
        (r"Wakeup Latencies[^*]*\* 99\.0th: +(\d+)", ["28000", "31200"]),
        (r"Wakeup Latencies[\s\S]*?99\.0th: +(\d+)", ["28000", "31200"]),
        (r"Wakeup Latencies.*\n(?:.*\n)?.*99\.0th: +(\d+)", ["28000", "31200"]),
        (r"Wakeup(?s:.*)Wakeup(?s:.*?)99\.0th: +(\d+)", ["31200"]),
        ("Wakeup Latencies.*4 \\(s\\).*\n.*\n.*99\\.0th: +(\\d+)", ["31200"]),
        (r"(?x) ^average \s rps: \s ([0-9.]+) $  # no newline of the output", ["41.25"]),
        ("(?x)\n average \\s rps: \\s\n ([0-9.]+)", ["41.25"]),
        (r"samples\)\s+min=(\d+)", ["2", "2696", "2"]),
        (r"^\s+min=2, max=(\d+)$", ["28025", "40709"]),
    ],
)
def test_an_expression_may_span_lines(expression: str, numbers: list[str]) -> None:
    assert found(expression, SCHBENCH) == (len(numbers), numbers)
    assert found(expression, *(SCHBENCH[at : at + 7] for at in range(0, len(SCHBENCH), 7))) == (len(numbers), numbers)


def test_one_line_that_matches_leaves_the_whole_text_alone() -> None:
    """It would also match across lines."""
    assert found(r"rate:\s+(\d+)", b"rate:\n5\nrate: 7\n") == (1, ["7"])
    assert found(r"rate:\s+(\d+)", b"rate:\n5\n") == (1, ["5"])


def test_streams_do_not_mix_across_lines_either() -> None:
    search = MetricSearch(r"(?s)a.*b")
    search.add("stdout", b"a\n")
    search.add("stderr", b"b\n")
    search.finish()
    assert search.count == 0


def test_of_a_long_text_head_and_tail_can_be_seen_and_nothing_matches_across_the_gap() -> None:
    filler = b"filler line\n" * (TEXT_CHARACTERS // 4)
    text = b"head\n1\n" + filler + b"tail\n2\n"
    assert found(r"head\n(\d)", text) == (1, ["1"])
    assert found(r"tail\n(\d)", text) == (1, ["2"])
    assert found(r"(?s)head.*tail", text) == (0, [])


# --- much output ---


@pytest.mark.parametrize(
    ("expression", "needed"),
    [
        (r"rps: ([0-9.]+)", "rps: "),
        (r"^(?:the )+time: (\d+) ms$", "time: "),
        (r"a\.b(c)", "a.b"),
        (r"took(?P<n> x){2,}", "took"),
        (r"x?(\d+)", ""),
        (r"one|two", ""),
        (r"(?i)rps: (\d+)", ""),
        (r"(?i:rps): (\d+)", ": "),
        (r"(?!not)(\d+)", ""),
    ],
)
def test_the_text_that_a_match_needs_is_known(expression: str, needed: str) -> None:
    assert needed_text(re.compile(expression)) == needed


PIECES = [
    "a",
    "b",
    "ca",
    "(a+)",
    "(?:b|c)*",
    "(?:ab)+?",
    "[ab]",
    "b?",
    "c{2}",
    r"\.",
    ".",
    "(?i:B)",
    "(?=a)",
    r"\b",
    "(?P<n>bc)",
]


@given(
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=6, unique=True).map("".join), st.text("abcB.", max_size=12)
)
def test_every_match_contains_the_text_that_it_needs(expression: str, line: str) -> None:
    pattern = re.compile(expression)
    assert all(needed_text(pattern) in match[0] for match in pattern.finditer(line))


@given(st.lists(st.lists(st.text("xy", max_size=40_000 // 8), min_size=1, max_size=8), max_size=9))
def test_head_and_tail_of_lines_are_whole_lines_and_no_more_than_half_the_bound_each(batches: list[list[str]]) -> None:
    kept_lines = KeptLines()
    for batch in batches:
        kept_lines.add("\n".join(batch))
    lines = [line for batch in batches for line in batch]
    parts = kept_lines.texts()
    if len(parts) == 1:
        assert parts[0] == "\n".join(lines)
        return
    head, tail = (part.split("\n") for part in parts)
    assert (head, tail) == (lines[: len(head)], lines[-len(tail) :])
    assert len(parts[0]) - len(head[-1]) <= TEXT_CHARACTERS // 2
    assert len(parts[1]) <= TEXT_CHARACTERS // 2 or len(tail) == 1
    assert len(head) + len(tail) < len(lines)


def test_many_short_lines_cost_about_as_much_as_to_search_each() -> None:
    """A metric among hundreds of MB of short lines took six times as long, and kept the command waiting."""
    chunk = b"12345\n" * 10_000
    pattern = re.compile(r"rps: ([0-9.]+)")

    def each() -> None:
        for line in chunk.decode().split("\n"):
            pattern.search(line)

    search = MetricSearch(pattern.pattern)
    assert cpu_s(lambda: search.add("stdout", chunk)) < 2 * cpu_s(each)
    search.add("stdout", b"rps: 7\n")
    search.finish()
    assert (search.count, search.matches) == (1, ["7"])


def cpu_s(work: Callable[[], None]) -> float:
    began = time.process_time()
    for _ in range(40):
        work()
    return time.process_time() - began
