# SPDX-License-Identifier: MIT
"""The report as plain text."""

from __future__ import annotations

from autotune.report import plain_text
from tests.support import sessions


def test_how_to_keep_a_winner_is_shown_where_it_can_be_kept() -> None:
    on_host = sessions.session(machine=sessions.machine(kind="host"))
    assert f"To keep it: autotune apply {sessions.BATCH.key}" in plain_text.plain_text(on_host)
    assert "To keep it" not in plain_text.plain_text(sessions.session()), "a micro-VM ends with its session"
    assert "To keep it" not in plain_text.plain_text(sessions.session(machine=on_host.machine, winner=None))
