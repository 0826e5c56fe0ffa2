# SPDX-License-Identifier: MIT
"""A client of a model's service that meets a fault."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import pytest

from autotune.errors import PlannerError
from autotune.planner.remote import RemoteService
from tests.support.messages_server import Script, Step, text

REQUEST = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": [text("hello")]}]}
VERY_LATE_S = 60.0
"""Keeps a test that hangs from hanging for ever; what is asked for is a fraction of a second."""


def failure_of(
    service: RemoteService[Any], script: Script, steps: Sequence[Step], within_s: float = 30.0
) -> PlannerError:
    """Send a request to a server that answers with these steps, again and again, and return the error. It comes in
    time, and says what to do."""
    script.steps[:] = [*steps] * 9
    began = time.monotonic()
    try:
        with pytest.raises(PlannerError) as caught:
            service.send(REQUEST, within_s)
    finally:
        service.close()
    assert time.monotonic() - began < VERY_LATE_S
    assert "offline" in caught.value.hint or "check" in caught.value.hint
    return caught.value
