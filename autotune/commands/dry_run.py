# SPDX-License-Identifier: MIT
"""`autotune cc --dry-run`: the plan of a session."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from autotune.commands.printing import say

if TYPE_CHECKING:
    from autotune.session.request import SessionRequest


def show(request: SessionRequest, stream: TextIO) -> int:
    """Print the plan, and the first request to a model; or, on standard error, everything that would keep the session
    from starting, a line each. Return the exit code, then that of the session."""
    from autotune.report.text import printable
    from autotune.session import start
    from autotune.views import planned

    problems = start.problems(request)
    for problem in problems:
        say(problem)
    if problems:
        return problems[0].exit_code
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
    return 0
