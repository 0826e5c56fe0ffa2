# SPDX-License-Identifier: MIT
"""What a dry run shows."""

from __future__ import annotations

from autotune.config import Settings
from autotune.views import planned
from tests.support import sessions


def test_the_plan_of_a_dry_run_names_machine_command_runs_and_candidates() -> None:
    settings = Settings(warmup=0, budget=90.0)
    text = "\n".join(
        planned.lines(
            "host: why", settings, sessions.workload(prepare="make clean"), [], ["at_fifo"], claude_plans=False
        )
    )
    for piece in ("Machine: host: why", "Command: make -j8", "Prepare: make clean", "0 warm-up runs", "1m30s"):
        assert piece in text
    assert "the offline planner chooses after the baseline, among at_fifo" in text
    searched = planned.lines("x", Settings(planner="search"), sessions.workload(), [], ["at_fifo"], claude_plans=False)
    assert "the search planner chooses after the baseline, among at_fifo" in "\n".join(searched)
    chosen = "\n".join(planned.lines("x", settings, sessions.workload(), [sessions.FIFO], [], claude_plans=False))
    assert chosen.endswith("Candidates:\n  at_fifo:slice_us=5000")
