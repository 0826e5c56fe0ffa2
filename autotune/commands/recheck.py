# SPDX-License-Identifier: MIT
"""`autotune recheck`: are the known bests still the best?"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from autotune.commands.printing import print_json, print_lines, say
from autotune.errors import AutotuneError, Interrupted

if TYPE_CHECKING:
    from autotune.config import Settings
    from autotune.knowledge.rechecks import Due
    from autotune.records import CandidateResult, Session

EXAMPLES = """Examples:

  autotune recheck --all --dry-run

  autotune recheck 'make -j8' --budget 5m
"""


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("recheck", epilog=EXAMPLES)(_recheck)


def _recheck(
    command: Annotated[
        list[str] | None,
        typer.Argument(metavar="COMMAND", help="Only this command, even where nothing has changed."),
    ] = None,
    everywhere: Annotated[
        bool, typer.Option("--all", metavar="", help="In all directories, not only this one.")
    ] = False,
    budget: Annotated[
        str | None, typer.Option("--budget", metavar="TIME", help="Time for each known best. Default: as for cc.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", metavar="", help="List what would be measured again, and why; run nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", metavar="", help="Print JSON.")] = False,
) -> int:
    """Measure the known bests again whose kernel, machine or build has changed, in as few runs as can tell.

    Only what was measured on this machine is run again. Exit 1 when one is not the best any more, or it could not be
    told.
    """
    from autotune import signals

    with signals.as_interrupts():
        return _run(command or (), everywhere, budget, dry_run=dry_run, as_json=as_json)


def _run(command: Sequence[str], everywhere: bool, budget: str | None, *, dry_run: bool, as_json: bool) -> int:
    from autotune import config
    from autotune.commands.workloads import current_directory
    from autotune.knowledge import rechecks
    from autotune.knowledge.archive import History
    from autotune.knowledge.store import Knowledge
    from autotune.machine import select

    flags = {} if budget is None else {"budget": budget}
    settings = config.load(flags, cwd=current_directory(), environ=os.environ)
    words = command[0] if len(command) == 1 else list(command) or None
    with Knowledge() as knowledge:
        history = History(knowledge)
        found = rechecks.due(history, select.whereabouts(), None if everywhere else str(current_directory()), words)
        workloads = [history.whole(one.won_in) for one in found]
    if not found and not as_json:
        print_lines([_nothing(words)])
    outcomes: list[dict[str, Any]] = []
    with _printed(outcomes) if as_json else contextlib.nullcontext():
        for one, before in zip(found, workloads, strict=True):
            outcomes.append(_planned(one) if dry_run else _measured(one, before, settings, quiet=as_json))
            if not as_json:
                print_lines([outcomes[-1]["said"]])
    return int(any(one["outcome"] not in ("confirmed", "planned") for one in outcomes))


@contextlib.contextmanager
def _printed(outcomes: list[dict[str, Any]]) -> Iterator[None]:
    """Print the outcomes as JSON at the end, also of an interrupted measurement, whose error is the one that counts."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            print_json(outcomes)
        raise
    print_json(outcomes)


def _nothing(words: str | list[str] | None) -> str:
    if words is not None:
        return "No scheduler is known to beat EEVDF for this command."
    return "Nothing is stale: there is no known best that was measured under other conditions."


def _planned(due: Due) -> dict[str, Any]:
    changed = "; ".join(due.known.stale) or "nothing has changed"
    key = due.known.candidate.key
    return _told(due, "planned", f"{key} for {due.won_in.command!r} in {due.won_in.cwd}: {changed}")


def _told(due: Due, outcome: str, said: str, result: CandidateResult | None = None, name: str = "") -> dict[str, Any]:
    from autotune.wire import to_json

    return {
        "command": due.won_in.command,
        "directory": due.won_in.cwd,
        "scheduler": due.known.candidate.key,
        "stale": list(due.known.stale),
        "won_in": due.won_in.name,
        "outcome": outcome,
        "said": said,
        "speedup": to_json(result.speedup) if result is not None else None,
        "session": name or None,
    }


def _measured(due: Due, before: Session, settings: Settings, *, quiet: bool) -> dict[str, Any]:
    """Measure one again, in its own directory. One that cannot be measured keeps no other from it."""
    key = due.known.candidate.key
    try:
        session = _session(due, before, settings, quiet=quiet)
    except Interrupted:
        raise
    except AutotuneError as error:
        say(error)
        return _told(due, "open", f"{key} for {due.won_in.command!r}: it could not be measured again")
    from autotune.knowledge import rechecks
    from autotune.report.table import interval_text
    from autotune.session import start

    ended = start.ending(session, None)
    if isinstance(ended, Interrupted):
        raise ended
    outcome, result = rechecks.outcome(session, key)
    gain = f", speedup {interval_text(result.speedup)}" if result is not None and result.speedup is not None else ""
    verdict = {"confirmed": "still the best", "refuted": "not the best any more", "open": "not told"}[outcome]
    said = f"{key} for {due.won_in.command!r}: {verdict} ({len(session.trials)} runs{gain})"
    return _told(due, outcome, said, result, session.id)


def _session(due: Due, before: Session, settings: Settings, *, quiet: bool) -> Session:
    from autotune.commands import output
    from autotune.machine.local import invoking_environment
    from autotune.session import start
    from autotune.session.request import SessionRequest
    from autotune.views import screen

    workload = dataclasses.replace(before.workload, env=invoking_environment(os.environ))
    if not Path(workload.cwd).is_dir():
        raise AutotuneError(
            f"{workload.cwd} is not there any more", hint="autotune history forget, or go on without it"
        )
    request = SessionRequest(workload, settings, candidates=(due.known.candidate,), brief=True)
    stream: TextIO = output.shown(document=False, silent=quiet or settings.style == "none").as_stream()
    view = screen.view(stream, budget_s=settings.budget, given=(), verbose=False, style=settings.style)
    with screen.Screen(stream, view, say) as shown:
        return start.run(request, shown)
