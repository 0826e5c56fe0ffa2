# SPDX-License-Identifier: MIT
"""What is handed in to be verified, and what a source says about itself where nobody wrote an entry."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotune.errors import UsageError
from autotune.verify import comments
from autotune.verify.submission import submission

GOOD = (Path(__file__).parents[2] / "bpf" / "good" / "two_levels.bpf.c").read_text()


def test_a_source_describes_itself_and_its_knobs() -> None:
    said = comments.description(GOOD, "two_levels")
    assert said == "tasks that wake wait in a queue of their own, which is looked at first"
    assert comments.knob_descriptions(GOOD) == {
        "slice_us": "How long a task may run.",
        "turns": "After so many times the second queue goes first once.",
    }


@given(st.text(max_size=2000), st.text(max_size=10))
def test_whatever_the_text_what_it_says_is_bounded(text: str, name: str) -> None:
    assert len(comments.description(text, name)) <= comments.DESCRIPTION_CHARACTERS
    assert all(len(one) <= comments.KNOB_CHARACTERS for one in comments.knob_descriptions(text).values())


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": "../x"}, "cannot be a scheduler's name"),
        ({"name": "x;y"}, "cannot be a scheduler's name"),
        ({"description": "x" * 101}, "description"),
        ({"knobs": [{"name": "a", "type": "integer", "description": "x"}] * 17}, "knobs"),
        ({"knobs": [{"name": "a", "type": "colour", "description": "x"}]}, "knobs.0.type"),
        ({"colour": "red"}, "colour"),
        ({"source": 3}, "source"),
    ],
)
def test_what_cannot_be_is_refused_and_named(fields: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        submission(**{"name": "x", "source": "", **fields})


def test_a_name_may_come_with_its_prefix() -> None:
    assert submission(name="custom:x", source="").name == "x"
