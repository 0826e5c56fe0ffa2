# SPDX-License-Identifier: MIT
"""The command line of `autotune run`: the first word that is no option begins the command."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotune.wrapper import asked

OPTIONS = {b"-v": "verbose", b"--verbose": "verbose", b"--require": "require"}


@given(
    options=st.lists(st.sampled_from(sorted(OPTIONS)), max_size=3),
    command=st.lists(st.binary(min_size=0, max_size=5).filter(lambda word: b"\0" not in word), min_size=1, max_size=4),
)
def test_what_follows_the_dashes_is_the_command_whatever_it_is(options: list[bytes], command: list[bytes]) -> None:
    found = asked.parse([*options, b"--", *command])
    assert found.argv == command
    assert (found.verbose, found.require) == tuple(
        any(OPTIONS[one] == name for one in options) for name in ("verbose", "require")
    )


@pytest.mark.parametrize("words", [[b"make", b"-v", b"--require"], [b"make", b"--", b"--help"], [b"", b"x"]])
def test_options_of_the_command_are_its_own(words: list[bytes]) -> None:
    found = asked.parse(words)
    assert (found.argv, found.verbose, found.require) == (words, False, False)


@pytest.mark.parametrize("words", [[], [b"--"], [b"-v"], [b"--no-such-option", b"make"], [b"-vv", b"make"]])
def test_without_a_command_or_with_another_option_it_is_refused(words: list[bytes]) -> None:
    with pytest.raises(asked.Misused):
        asked.parse(words)


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["--help"], True),
        (["-v", "-h", "make"], True),
        (["--", "--help"], False),
        (["make", "--help"], False),
        ([], False),
    ],
)
def test_help_is_asked_for_before_the_command(words: list[str], wanted: bool) -> None:
    assert asked.is_help(words) is wanted
