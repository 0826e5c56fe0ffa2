# SPDX-License-Identifier: MIT
"""What a client may send: lines of a size, at a rate, with fields that are what they are said to be."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotune.errors import AutotuneError, UsageError
from autotune.service import protocol
from autotune.service.protocol import Rate, RequestLines

LINES = st.lists(st.binary(max_size=40).filter(lambda line: b"\n" not in line), max_size=8)


@given(lines=LINES, cuts=st.lists(st.integers(0, 400), max_size=10), rest=st.binary(max_size=20))
def test_lines_are_the_same_however_they_arrive(lines: list[bytes], cuts: list[int], rest: bytes) -> None:
    rest = rest.replace(b"\n", b"")
    whole = b"".join(line + b"\n" for line in lines) + rest
    found, splitter, start = [], RequestLines(), 0
    for end in [*sorted(min(cut, len(whole)) for cut in cuts), len(whole)]:
        found += list(splitter.add(whole[start:end]))
        start = end
    assert found == lines
    assert splitter.is_half == bool(rest)


@given(size=st.integers(0, 50), ends=st.booleans())
def test_no_line_is_longer_than_the_bound_with_or_without_its_end(size: int, ends: bool) -> None:
    splitter = RequestLines(most_bytes=20)
    data = b"x" * size + (b"\n" if ends else b"")
    if size <= 20:
        assert list(splitter.add(data)) == ([b"x" * size] if ends else [])
    else:
        with pytest.raises(ValueError, match="at most"):
            list(splitter.add(data))


@given(steps=st.lists(st.tuples(st.floats(0, 3), st.integers(0, 30)), max_size=30))
def test_no_more_requests_than_the_rate_allows_are_taken_in_any_time(steps: list[tuple[float, int]]) -> None:
    clock = [0.0]
    rate = Rate(per_s=5, burst=10, now=lambda: clock[0])
    taken = 0
    for pause_s, asked in steps:
        clock[0] += pause_s
        taken += sum(rate.take() for _ in range(asked))
        assert taken <= 10 + 5 * clock[0] + 1e-6


def test_whoever_waits_may_ask_again() -> None:
    clock = [0.0]
    rate = Rate(per_s=1, burst=1, now=lambda: clock[0])
    assert (rate.take(), rate.take()) == (True, False)
    clock[0] = 1.1
    assert rate.take()


@given(line=st.binary(max_size=200))
def test_any_bytes_are_a_request_or_refused(line: bytes) -> None:
    try:
        found = protocol.request_of(line)
    except ValueError:
        return
    assert isinstance(found, dict)


@pytest.mark.parametrize(
    "line", [b"", b"[]", b"7", b"{" * 5000, b'{"id":true}', b'{"id":-1}', b'{"id":"1"}', b'{"id":1e3}', b"\xff"]
)
def test_what_is_no_request_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        protocol.request_of(line)


@pytest.mark.parametrize("version", [None, 0, 2, "1", 1.0, True, [1]])
def test_another_version_is_named_with_what_to_do(version: Any) -> None:
    with pytest.raises(AutotuneError, match="speaks version 1") as caught:
        protocol.require_version({"v": version})
    assert "restart the daemon" in caught.value.hint


def test_this_version_is_spoken() -> None:
    protocol.require_version({"v": protocol.VERSION})


GOOD = ["at_fifo", "at_fifo:slice_us=5000", "custom:mine", "custom:mine:a=1,b=true", "scx_x:cpus=0-3,5", "at_x:v=-1"]
BAD = [
    "", "/tmp/x", "../x", "at fifo", "at_fifo\n", "at_fifo:x=/tmp/y", "at_fifo:x=a b", "at_fifo:", "AT", "-x", "a;b",
    "custom:", "custom:a/b", "at_fifo:x=$(id)", "at_fifo:x=\u0430", "x" * 100, "a:" + "b" * 401, None, 7, ["at_fifo"],
]  # fmt: skip


@pytest.mark.parametrize("text", GOOD)
def test_a_scheduler_with_settings_is_taken(text: str) -> None:
    assert protocol.candidate({"scheduler": text}) == text


@pytest.mark.parametrize("text", BAD, ids=repr)
def test_what_is_no_scheduler_with_settings_is_refused(text: Any) -> None:
    with pytest.raises(UsageError):
        protocol.candidate({"scheduler": text})


@given(text=st.text(alphabet=st.characters(), max_size=60))
def test_no_scheduler_has_a_path_a_blank_or_a_control_character_in_it(text: str) -> None:
    try:
        found = protocol.candidate({"scheduler": text})
    except UsageError:
        return
    assert found.isascii()
    assert found.isprintable()
    assert not set(found) & set("/ \\'\"$`;&|<>()")


@pytest.mark.parametrize("value", [None, "a" * 64])
def test_a_hash_may_be_given(value: Any) -> None:
    assert protocol.content_hash({"sha256": value}) == value


@pytest.mark.parametrize("value", ["a" * 63, "A" * 64, "../" + "a" * 61, 7, "a" * 64 + "\n"])
def test_what_is_no_hash_is_refused(value: Any) -> None:
    with pytest.raises(UsageError):
        protocol.content_hash({"sha256": value})


@given(env=st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=5))
def test_an_environment_that_is_taken_is_one_that_a_program_can_be_given(env: dict[str, str]) -> None:
    try:
        found = protocol.variables(json.loads(json.dumps({"env": env})), "env")
    except UsageError:
        return
    for name, value in found.items():
        assert name
        assert "=" not in name
        assert "\0" not in name + value
        (name + value).encode("utf-8", "surrogateescape")


def test_names_and_values_that_are_no_utf8_are_kept() -> None:
    env = {"caf\udce9": "\udcff"}
    assert protocol.variables({"env": env}, "env") == env


@pytest.mark.parametrize("env", [None, [], {"a=b": "c"}, {"": "c"}, {"a": "b\0c"}, {"a": 7}, {"a": "\ud800"}])
def test_what_is_no_environment_is_refused(env: Any) -> None:
    with pytest.raises(UsageError):
        protocol.variables({"env": env}, "env")


@pytest.mark.parametrize("words", [None, [], "true", ["a", 7], ["a\0"], ["x"] * 1001, [["a"]]])
def test_what_is_no_list_of_words_is_refused(words: Any) -> None:
    with pytest.raises(UsageError):
        protocol.words({"words": words}, "words")


@pytest.mark.parametrize(("asked", "given_s"), [(0, 1.0), (5, 5.0), (1e9, 9.0)])
def test_a_time_is_moved_into_its_range(asked: float, given_s: float) -> None:
    assert protocol.seconds({"t": asked}, "t", least_s=1, most_s=9, default_s=3) == given_s


@pytest.mark.parametrize("asked", ["1", True, float("nan"), float("inf"), []])
def test_what_is_no_time_is_refused(asked: Any) -> None:
    with pytest.raises(UsageError):
        protocol.seconds({"t": asked}, "t", least_s=1, most_s=9, default_s=3)


@pytest.mark.parametrize("path", ["relative", "", None, 7, "/a\0b"])
def test_a_directory_is_an_absolute_path(path: Any) -> None:
    with pytest.raises(UsageError):
        protocol.directory({"cwd": path}, "cwd")
