# SPDX-License-Identifier: MIT
"""Nothing of another is replaced without consent, or when it could not be restored."""

from __future__ import annotations

from typing import Any

import pytest

from autotune.errors import BusyError
from autotune.lease import replacing
from autotune.lease.other import Other
from tests.support.other_schedulers import HAND


def test_consent_is_a_flag_or_a_yes() -> None:
    assert replacing.consent(HAND, replace_current=True, ask=None)
    asked: list[str] = []

    def yes(text: str) -> str:
        asked.append(text)
        return "Yes\n"

    assert replacing.consent(HAND, replace_current=False, ask=yes)
    assert "process 1234 (scx_rusty -k), started by hand" in asked[0]


def end_of_input(_text: str) -> str:
    raise EOFError


@pytest.mark.parametrize("ask", [None, lambda _text: "n\n", lambda _text: "\n", end_of_input])
def test_without_consent_it_is_named_with_how_to_go_on(ask: Any) -> None:
    with pytest.raises(BusyError) as refused:
        replacing.consent(HAND, replace_current=False, ask=ask)
    assert "process 1234" in refused.value.message
    assert "--replace-current" in refused.value.hint
    assert "--machine vm" in refused.value.hint


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (Other("at_fifo", 77, (), "autotune", None, None, ()), "autotune stop"),
        (Other("simple", None, (), "unknown", None, None, ()), "/sys/fs/bpf"),
        (Other("rusty", 5, ("scx_rusty",), "scx_loader", "scx_rusty", None, ()), "scx_loader"),
    ],
)
@pytest.mark.usefixtures("say")
def test_what_could_not_be_restored_is_never_replaced(other: Other, why: str) -> None:
    with pytest.raises(BusyError) as refused:
        replacing.consent(other, replace_current=True, ask=None)
    assert why in refused.value.hint
