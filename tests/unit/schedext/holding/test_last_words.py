# SPDX-License-Identifier: MIT
"""What is read out of the output of a scheduler that ended."""

from __future__ import annotations

import pytest

from autotune.schedext.holding.last_words import LONGEST, exit_line, last_words

STALL = (
    "DEBUG DUMP\n====\nCPU 0 ...\n====\n"
    "EXIT: runnable task stall (watchdog failed to check in for 5.120s)\n"
    "Error: EXIT: runnable task stall (watchdog failed to check in for 5.120s)\n"
)


def test_the_exit_line_gives_reason_and_message() -> None:
    assert exit_line(STALL) == ("runnable task stall", "watchdog failed to check in for 5.120s")
    assert exit_line("EXIT: unregistered from user space\n") == ("unregistered from user space", "")
    assert exit_line("nothing of the kind") is None


@pytest.mark.parametrize(
    ("log", "said"),
    [
        (STALL, "runnable task stall (watchdog failed to check in for 5.120s)"),
        (
            "12:00 \x1b[34m[INFO]\x1b[0m scx_x 1.0\nError: Failed to load BPF program\n\nCaused by:\n"
            "    Invalid argument (os error 22)\n\nStack backtrace:\n   0: anyhow::context\n",
            "Failed to load BPF program: Invalid argument (os error 22)",
        ),
        (
            "\nthread 'main' (157) panicked at src/compat.rs:682:72:\ncalled `unwrap()` on an `Err`: No debugfs\n"
            "note: run with `RUST_BACKTRACE=1`\n",
            "it panicked: called `unwrap()` on an `Err`: No debugfs",
        ),
        ("error: unexpected argument '--no' found\n\nUsage: x\n", "unexpected argument '--no' found"),
        ("starting\nstill starting\n   0: frame\nnote: more\n", "still starting"),
        ("", ""),
        ("\x1b]0;title\x07 \x1b[2J\x07plain\x00 end\n", "plain end"),
    ],
)
def test_what_it_says_most_is_found(log: str, said: str) -> None:
    assert last_words(log) == said


def test_it_is_one_line_within_a_bound() -> None:
    words = last_words("Error: " + "x" * 10_000 + "\nmore")
    assert len(words) == LONGEST
    assert "\n" not in words
