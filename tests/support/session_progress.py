# SPDX-License-Identifier: MIT
"""The progress of a session after given events."""

from __future__ import annotations

from autotune import events
from autotune.records import BASELINE
from autotune.views.progress import SessionProgress, advance


def fold(*heard: events.Event, second: float = 1.0) -> SessionProgress:
    """The progress after these events, one every `second`."""
    progress = SessionProgress(started_s=0.0)
    for number, event in enumerate(heard, start=1):
        progress = advance(progress, event, number * second)
    return progress


ROUND = events.RoundStarted("race", 2, 4, ("a", BASELINE))
