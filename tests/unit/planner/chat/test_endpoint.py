# SPDX-License-Identifier: MIT
"""The key for the user's server comes from one variable of the environment only."""

from __future__ import annotations

import pytest

from autotune.errors import PlannerError
from autotune.planner.chat import endpoint
from autotune.planner.chat.endpoint import KEY, Endpoint

URL = "http://localhost:11434/v1"


def test_no_key_is_needed_and_keys_of_other_services_are_not_taken() -> None:
    others = {"OPENAI_API_KEY": "sk-other", "ANTHROPIC_API_KEY": "sk-ant-other"}
    assert endpoint.require(URL, others) == Endpoint(URL, None)


def test_white_space_and_quotes_around_a_key_are_stripped() -> None:
    found = endpoint.require(URL, {KEY: ' "sesame-1234" \n'})
    assert found.key == "sesame-1234"
    assert "sesame" not in repr(found) + found.origin
    assert KEY in found.origin


@pytest.mark.parametrize("key", ["two words", "s\u00e9same-key", "line\nline", "nul\0nul"])
def test_a_key_that_cannot_be_sent_is_refused_without_being_shown(key: str) -> None:
    with pytest.raises(PlannerError) as caught:
        endpoint.require(URL, {KEY: key})
    assert KEY in caught.value.message
    assert key not in f"{caught.value.message} {caught.value.hint}"
