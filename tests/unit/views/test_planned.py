# SPDX-License-Identifier: MIT
"""What a dry run shows."""

from __future__ import annotations

from autotune.config import Settings
from autotune.views import planned
from tests.support import sessions


def test_it_names_what_is_unlike_the_default() -> None:
    workload = sessions.workload(
        argv=("bash", "--norc", "-c", "make -j8"),
        name="build",
        conclude="rm x",
        ignore_failure=True,
        ignored_exits=(1, 2),
    )
    text = "\n".join(planned.lines("x", Settings(), workload, [], ["at_fifo"], claude_plans=False))
    for line in ("Command: build: make -j8", "Shell: bash --norc", "Conclude: rm x"):
        assert line in text.splitlines()
    assert "Failures: runs with exit code 1, 2 count too" in text
    plain = "\n".join(planned.lines("x", Settings(), sessions.workload(), [], ["at_fifo"], claude_plans=False))
    assert "Shell:" not in plain
    assert "Failures:" not in plain


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
    assert "Guards: memory:max+25%, cpu:max+30%, energy:max+20%, latency:max+100%" in chosen
    assert chosen.endswith("Candidates:\n  at_fifo:slice_us=5000")
