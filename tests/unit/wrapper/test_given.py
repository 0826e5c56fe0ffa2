# SPDX-License-Identifier: MIT
"""What the launcher hands on is what the command finds; what it does not hand on is what this process was given."""

from __future__ import annotations

import base64
import os

import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from autotune.wrapper import given

NAME = st.binary(min_size=1, max_size=8).filter(lambda text: not {0, ord("=")} & set(text))
VALUE = st.binary(max_size=12).filter(lambda text: 0 not in text)


@drawn(environ=st.dictionaries(NAME, VALUE), masks=st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1)))
def test_environment_and_signals_come_through_byte_for_byte(
    environ: dict[bytes, bytes], masks: tuple[int, int]
) -> None:
    text = b"".join(name + b"=" + value + b"\0" for name, value in environ.items())
    found = given.read(f"{masks[0]:016x}:{masks[1]:016x}:{base64.b64encode(text).decode()}")
    assert found.environ == {name: value for name, value in environ.items() if not name.startswith(b"AUTOTUNE_")}
    assert (found.blocked, found.ignored) == masks


@pytest.mark.parametrize("handed", [None, "", "garbage", "0:0:-", "::", "0:0", "x:y:z"])
def test_without_that_it_is_what_this_process_was_given(handed: str | None) -> None:
    found = given.read(handed)
    assert found.environ[b"PATH"] == os.environb[b"PATH"]


def test_what_the_launcher_sets_is_not_the_commands() -> None:
    text = base64.b64encode(b"AUTOTUNE_GIVEN=x\0AUTOTUNE_LAUNCHER=y\0A=1\0").decode()
    assert given.read(f"0:0:{text}").environ == {b"A": b"1"}
