# SPDX-License-Identifier: MIT
"""Processes are known by number, start and words, and matched with what the kernel shows."""

from __future__ import annotations

import os

import pytest

from autotune.lease import owners
from tests.support.other_schedulers import BPFLAND, process, running


def test_a_process_is_known_by_number_start_and_words() -> None:
    words = ("scx_rusty", "-c", "read line", "")
    with running(*words, executable="/bin/sh") as child:
        found = process(child.pid)
        assert found.argv == words
        assert found.parent == os.getpid()
        assert found.started > 0
        assert os.getpid() in [above.pid for above in owners.ancestors(found)]
        assert owners.program_of(found) == "scx_rusty"
    assert owners.process(child.pid) is None


@pytest.mark.parametrize(
    ("program", "ops", "fits"),
    [
        ("scx_rusty", "rusty", True),
        ("scx_bpfland", BPFLAND, True),
        ("scx_rusty", "rustland", False),
        ("scx_rust", "rusty", False),
        ("scx_flatcg", "flatcg", True),
    ],
)
def test_a_program_and_what_the_kernel_shows_are_matched_by_name(program: str, ops: str, fits: bool) -> None:
    assert owners.fits(program, ops) is fits


def test_version_and_build_are_no_part_of_the_name() -> None:
    assert owners.base_name(BPFLAND) == "bpfland"
    assert owners.base_name("at_fifo") == "at_fifo"


def test_one_process_of_that_name_is_taken_and_of_two_none() -> None:
    with running("scx_bpfland", "100") as child:
        assert owners.find_by_name(BPFLAND) == child.pid
        with running("scx_bpfland", "101"):
            assert owners.find_by_name(BPFLAND) is None
