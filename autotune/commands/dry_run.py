# SPDX-License-Identifier: MIT
"""`autotune cc --dry-run`: the plan of a session."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from autotune.session.request import SessionRequest


def show(request: SessionRequest, stream: TextIO) -> None:
    """Print the plan, and the first request to a model."""
    from autotune.report.text import printable
    from autotune.session import start
    from autotune.views import planned

    plan = start.describe(request)
    if plan.why_not:
        print(printable(f"Planner: offline ({plan.why_not})"), file=stream)
    for line in planned.lines(
        plan.where,
        request.settings,
        request.workload,
        request.candidates,
        plan.schedulers,
        claude_plans=plan.model_plans,
    ):
        print(line, file=stream)
    if plan.first_request is not None:
        print("\nWhat would be sent to the model first:\n", file=stream)
        print(planned.request_text(plan.first_request), file=stream)
