# SPDX-License-Identifier: MIT
"""What a client may read without calling a tool: the catalogue, a scheduler, a workload's history, the last report, the
guide to writing a scheduler; and prompts that a person may pick."""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from autotune import resources
from autotune.errors import UsageError
from autotune.frozen import dataclass
from autotune.knowledge.archive import History
from autotune.knowledge.past import PastSession, finding
from autotune.knowledge.store import Knowledge
from autotune.mcp.bench import ClientBench
from autotune.mcp.offers import ListSchedulersHere
from autotune.report.plain_text import plain_text
from autotune.tools import toolbox

MOST_SESSIONS = 50


@dataclass(frozen=True)
class Page:
    """A page of the shelf; `uri` may end with a part in braces, which `read` gets."""

    uri: str
    name: str
    description: str
    kind: str
    read: Callable[[ClientBench, str], str]

    @property
    def is_template(self) -> bool:
        return self.uri.endswith("}")


def _catalogue(bench: ClientBench, _rest: str) -> str:
    listed = bench.call("list_schedulers", ListSchedulersHere())  # type: ignore[call-arg]
    return "\n".join(
        f"{one['name']}: {one['description']}" + (f" (not here: {why})" if (why := one.get("cannot_run_here")) else "")
        for one in listed["schedulers"]
    )


def _scheduler(bench: ClientBench, name: str) -> str:
    return json.dumps(bench.call("describe_scheduler", toolbox.DescribeScheduler(name=name)), indent=1)


def _history(bench: ClientBench, command: str) -> str:
    with Knowledge() as knowledge:
        found = History(knowledge).of_command(command, str(bench.directory))[:MOST_SESSIONS]
    return "\n".join(finding(one) for one in found) or "No session of this command in this directory is known."


def _last_report(bench: ClientBench, _rest: str) -> str:
    with Knowledge() as knowledge:
        archive = History(knowledge)
        newest = archive.newest(str(bench.directory), 1)
        return plain_text(archive.whole(newest[0])) if newest else "There was no session in this directory yet."


def _guide(_bench: ClientBench, _rest: str) -> str:
    return resources.writing_guide()


PAGES = (
    Page("autotune://schedulers", "schedulers", "All schedulers, a line on each.", "text/plain", _catalogue),
    Page(
        "autotune://schedulers/{name}",
        "scheduler",
        "Everything about one scheduler, with its knobs.",
        "application/json",
        _scheduler,
    ),
    Page(
        "autotune://history/{command}",
        "history",
        "What past sessions of a command (percent-encoded) found in the server's directory.",
        "text/plain",
        _history,
    ),
    Page("autotune://reports/last", "last-report", "The last report of this directory.", "text/plain", _last_report),
    Page("autotune://writing-guide", "writing-guide", "How to write a scheduler in BPF C.", "text/markdown", _guide),
)


def read(bench: ClientBench, uri: str) -> tuple[str, str]:
    """Return the text of a page and its kind. Raises UsageError for one that is not there."""
    for page in PAGES:
        start, _, rest = page.uri.partition("{")
        if uri == page.uri or (rest and uri.startswith(start) and len(uri) > len(start)):
            return page.read(bench, urllib.parse.unquote(uri[len(start) :])), page.kind
    raise UsageError("there is no such resource", hint="resources/list names them")


def session_line(one: PastSession) -> dict[str, Any]:
    """Return what a client is told of a past session."""
    return {
        "session": one.name,
        "command": one.command,
        "cwd": one.cwd,
        "started_at": one.started_at,
        "finding": finding(one),
        "winner": one.winner,
    }


# --- prompts ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Suggestion:
    """A prompt that a person may pick; it has one argument, the command."""

    name: str
    title: str
    text: str

    def filled(self, arguments: Mapping[str, str], directory: Path) -> str:
        """Return the text for the model. Raises UsageError without a command."""
        command = arguments.get("command", "").strip()
        if not command or len(command) > MOST_COMMAND:
            raise UsageError(f"give a command of at most {MOST_COMMAND} characters")
        return self.text.format(command=json.dumps(command), directory=json.dumps(str(directory)))


MOST_COMMAND = 2000
SUGGESTIONS = (
    Suggestion(
        "tune-command",
        "Tune this command",
        "Find out which Linux CPU scheduler makes {command} (in {directory}) faster on this machine.\n"
        "1. best_known tells whether that is known already.\n"
        "2. list_schedulers, and observe_workload where the command was watched before, show what could help.\n"
        "3. tuning_start with the command; if each run must begin afresh, give a prepare command. Name candidates only "
        "if you have a reason for them.\n"
        "4. tuning_status with wait_s=25 until it is finished. Do not judge by the times yourself: the verdict is in "
        "the result.\n"
        "5. Report the winner with its interval, or that nothing beats EEVDF. Offer to apply a winner; apply asks.",
    ),
    Suggestion(
        "write-scheduler",
        "Write a scheduler for this workload",
        "Write a sched_ext scheduler in BPF C that suits {command} (in {directory}).\n"
        "1. Read the resource autotune://writing-guide, and observe_workload for what the command does.\n"
        "2. create_and_verify_scheduler with the source; get_execution_status tells what to mend, if anything.\n"
        "3. tuning_start with candidates [custom:NAME]; only its verdict says whether it is better than EEVDF.",
    ),
)
