# SPDX-License-Identifier: MIT
"""The text of `--dry-run`: the plan of a session, from its arguments alone. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from autotune.config import Settings
from autotune.parameters import points
from autotune.quantities import duration_flag
from autotune.records import Candidate, Workload
from autotune.report.commands import shell_flag
from autotune.report.sentences import named_command
from autotune.report.sweep import parameter_lines
from autotune.report.text import counted, printable
from autotune.verdict import guards


def lines(
    where: str,
    settings: Settings,
    workload: Workload,
    candidates: Sequence[Candidate],
    catalogue: Sequence[str],
    *,
    claude_plans: bool,
) -> Iterator[str]:
    """Describe the plan. `where` describes the machine; `catalogue` names the schedulers to choose from."""
    yield "Dry run: nothing is started, attached or written."
    yield f"Machine: {printable(where)}"
    yield f"Command: {named_command(workload)}"
    yield from parameter_lines(workload)
    shell = shell_flag(workload)
    if shell is not None:
        yield f"Shell: {printable(shell)}"
    yield f"Directory: {printable(workload.cwd)}{' (every run sees it as it is now)' if workload.pristine else ''}"
    yield from _around(workload)
    yield f"Metric: {_metric(workload)}"
    for metric in workload.metrics:
        yield f"Reported too: {printable(metric.regex)}"
    if settings.statistic != "typical":
        yield f"Judged: the {settings.statistic} of the runs"
    yield f"Guards: {', '.join(printable(guards.flag_text(one)) for one in workload.guards) or 'none'}"
    yield f"Runs: {_runs(settings, workload)}"
    yield f"Budget: {duration_flag(settings.budget)}"
    without = "search" if settings.planner == "search" else "offline"
    at_own = settings.model_url is not None and settings.planner != "claude"
    asked = f"the model {settings.model} at {settings.model_url}" if at_own else f"Claude ({settings.model})"
    who = asked if claude_plans else f"the {without} planner"
    yield from _candidates(candidates, catalogue, who)


def _around(workload: Workload) -> Iterator[str]:
    """Name the commands that run around the runs, and which failures count."""
    around = {
        "Setup": workload.setup,
        "Prepare": workload.prepare,
        "Conclude": workload.conclude,
        "Cleanup": workload.cleanup,
    }
    yield from (f"{name}: {printable(command)}" for name, command in around.items() if command is not None)
    if workload.ignore_failure:
        codes = ", ".join(map(str, workload.ignored_exits))
        yield f"Failures: runs {f'with exit code {codes}' if codes else 'that fail'} count too"


def _metric(workload: Workload) -> str:
    if workload.metric_regex is None:
        return "wall time, less is better"
    return f"{printable(workload.metric_regex)}, {'less' if workload.goal == 'min' else 'more'} is better"


def _runs(settings: Settings, workload: Workload) -> str:
    warmup = counted(settings.warmup, "warm-up run")
    several = len(points(workload.parameters))
    if several > 1:
        return _runs_of_values(settings, warmup, several)
    least, most = settings.least_rounds, settings.most_rounds
    number = f"{least} to {most}" if least < most else f"{most}"
    rounds = f"{number} rounds of EEVDF and each candidate in random order"
    fresh = "" if settings.runs is None else f"at most {settings.runs} "
    return f"{warmup}, the baseline, {rounds}, then {fresh}fresh rounds to confirm the best"


def _runs_of_values(settings: Settings, warmup: str, several: int) -> str:
    fresh = "" if settings.runs is None else f"at most {settings.runs} "
    return (
        f"{warmup} with each of {several} sets of values, EEVDF with each to find its best ones, then up to "
        f"{settings.most_rounds} rounds of EEVDF at its best and each candidate with each, in random order, then "
        f"{fresh}fresh rounds to confirm the best against EEVDF at every value that may be its best"
    )


def request_text(request: dict[str, Any]) -> str:
    """Show a whole request to a model, in the order in which the model reads it."""
    rest = {key: value for key, value in request.items() if key not in ("system", "tools", "messages")}
    parts = ["=== request", json.dumps(rest), "=== tools"]
    parts += [json.dumps(tool) for tool in request["tools"]]
    parts += ["=== system", *(block["text"] for block in request["system"])]
    for message in request["messages"]:
        parts += [f"=== {message['role']}", *(block.get("text", json.dumps(block)) for block in message["content"])]
    return "\n".join("\n".join(printable(line) for line in part.splitlines()) for part in parts)


def _candidates(candidates: Sequence[Candidate], catalogue: Sequence[str], who: str) -> Iterator[str]:
    if not candidates:
        yield f"Candidates: {who} chooses after the baseline, among {', '.join(catalogue)}"
        return
    yield "Candidates:"
    for candidate in candidates:
        yield f"  {printable(candidate.short)}"
