# SPDX-License-Identifier: MIT
"""Waiting for what another process or thread does when it comes to it."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE_S = 60.0
"""So long that only what never happens is missed, on a busy machine too."""


def wait_until(wanted: Callable[[], bool]) -> None:
    """Return once something is so. Fails when it does not become so."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not wanted():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
