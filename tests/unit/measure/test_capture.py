# SPDX-License-Identifier: MIT
"""What is kept of endless output, and how the metric is found in it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotune.errors import UsageError
from autotune.measure.capture import LINE_BYTES, KeptOutput, MetricSearch


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
    chunk = b"x" * (LINE_BYTES // 2)
    assert found(r"[ab]=(\d)", b"a=1", *[chunk] * 5, b"a=2", b"a=3\nb=4\n", chunk) == (2, ["1", "4"])


def test_parts_of_an_overlong_line_do_not_join_across_what_was_dropped() -> None:
    assert found("xy", b"x" * LINE_BYTES, b"z" * 10, b"y\n") == (0, [])


def test_an_expression_that_is_none_is_the_users_mistake() -> None:
    with pytest.raises(UsageError, match="not a regular expression"):
        MetricSearch("(")
