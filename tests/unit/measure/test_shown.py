# SPDX-License-Identifier: MIT
"""What a terminal shows in the end, for the outputs that real programs write."""

from __future__ import annotations

import random
import time

import pytest

from autotune.measure.shown import LINE_CHARACTERS, ROWS, Shown


def shown(*chunks: bytes) -> list[str]:
    lines: list[str] = []
    screen = Shown(lines.extend)
    for chunk in chunks:
        screen.add(chunk)
    screen.finish()
    return lines


@pytest.mark.parametrize(
    ("output", "lines"),
    [
        (b"", []),
        (b"one\ntwo", ["one", "two"]),
        (b"one\r\n\r\ntwo\r\n", ["one", "", "two"]),
        (b" 10 %\r 50 %\r100 %\n", ["100 %"]),
        (b"progress 10 of 10\rdone 5\x1b[K\n", ["done 5"]),
        (b"progress\rdone\n", ["doneress"]),
        (b"\x1b[2K\r  7\x1b[2K\r12.5 ms\n", ["12.5 ms"]),
        (b"\x1b[1mtook\x1b[0m \x1b[38;5;12m12\x1b[39m.\x1b[31m5\x1b[m ms\n", ["took 12.5 ms"]),
        (b"spinner |\b/\b-\b done\n", ["spinner  done"]),
        (b"99\b\b42\n", ["42"]),
        (b"a\nb\n\x1b[2A\x1b[2Kx 1\n\x1b[2Kx 2\n", ["x 1", "x 2"]),
        (b"a\nb\nc\x1b[1A\x1b[1Gd\x1b[J\n", ["a", "d"]),
        (b"keep\nrate 1\n\x1b[Frate 2\n", ["keep", "rate 2"]),
        (b"\x1b]0;a title\x07text \x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\\n", ["text link"]),
        (b"\x1b(B\x1b[?25lhidden cursor\x1b[?25h\x1b=\n", ["hidden cursor"]),
        (b"\x1b[5Cindented\x1b[3DED9\n", ["     indenED9"]),
        (b"one\n\x1b[2J\x1b[Htwo\n", ["two"]),
        ("12\u00b5s \xff".encode()[:-1] + b"\xff\n", ["12\u00b5s \\xc3\\xff"]),
        (b"tab\there\x07\n", ["tab\there"]),
    ],
)  # fmt: skip
def test_what_is_shown_in_the_end(output: bytes, lines: list[str]) -> None:
    assert shown(output) == lines
    assert shown(*(output[at : at + 1] for at in range(len(output)))) == lines, "byte by byte"


def test_what_scrolled_away_is_final() -> None:
    output = b"".join(b"%d\n" % number for number in range(ROWS + 50)) + b"\x1b[4000A\x1b[2Knew\n"
    lines = shown(output)
    assert lines[:51] == [str(number) for number in range(51)]
    assert "new" in lines
    assert len(lines) == ROWS + 50


def test_a_line_is_kept_up_to_the_bound() -> None:
    assert [len(line) for line in shown(b"x" * (3 * LINE_CHARACTERS) + b"\nshort")] == [LINE_CHARACTERS, 5]
    assert [len(line) for line in shown(b"\x1b[4000C" * 16 + b"xyz")] == [64003]
    assert shown(b"\x1b[4000C" * 1000 + b"xyz\nnext") == ["", "next"]


@pytest.mark.first
@pytest.mark.parametrize(
    "piece",
    [
        b"\x1b]" + b"x" * 100,
        b"\x1b[31m.\x1b[0m",
        b"\x1b",
        b"\r\x1b[K.",
        b"\x1b[",
        b"\x1b[100B\n",
        b"\x1bP\x1b",
        b"\x1b[2J",
    ],
)
def test_time_grows_with_the_output_and_not_faster(piece: bytes) -> None:
    def seconds(size: int) -> float:
        output = (piece * (size // len(piece) + 1))[:size]
        began = time.process_time()
        shown(*(output[at : at + 65536] for at in range(0, size, 65536)))
        return time.process_time() - began

    assert seconds(1 << 20) < 100 * max(seconds(1 << 16), 0.002)  # a square would be 256 times


def test_nothing_that_comes_is_an_error() -> None:
    rng = random.Random(7)
    parts = [b"\x1b[", b"\x1b]", b"9", b";", b"A", b"J", b"H", b"K", b"\r", b"\n", b"\b", b"x", b"\xff"]
    for _ in range(300):
        pieces = rng.choices(parts, k=60)
        assert all("\n" not in line and "\r" not in line for line in shown(*pieces))
