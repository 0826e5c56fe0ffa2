# SPDX-License-Identifier: MIT
"""`autotune export`: the winner as a configuration of another tool."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autotune import reading
from autotune.commands import completion
from autotune.commands.output import write_new
from autotune.commands.workloads import current_directory
from autotune.errors import AutotuneError, UsageError
from autotune.frozen import dataclass

if TYPE_CHECKING:
    from autotune.records import Candidate, Point
    from autotune.report.export import Winner
    from autotune.schedext.catalogue.catalog import Catalog

MOST_REPORT_BYTES = 256 << 20
_NAME_ONE = "name one yourself: --scheduler NAME:knob=value"


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("export")(_export)


# --- export ---------------------------------------------------------------------------------------------


def _export(
    kind: Annotated[
        str,
        typer.Argument(
            metavar="scx-loader|systemd|tuned",
            help="Tool to write a configuration for.",
            autocompletion=completion.values("scx-loader", "systemd", "tuned"),
        ),
    ],
    scheduler: Annotated[
        str | None,
        typer.Option(
            "--scheduler",
            metavar="NAME[:knob=value,...]",
            help="Scheduler to export. Default: the last winner here.",
            autocompletion=completion.candidates,
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option("--from", metavar="FILE", help="Export the winner of this report ('autotune cc --json')."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="File to write. Default: standard output.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", metavar="", help="Overwrite FILE if it exists.")] = False,
) -> None:
    """Write the winner of the last session in this directory as a configuration of another tool.

    Nothing is installed: the text says where it goes and how to make it active.
    """
    from autotune.report import export
    from autotune.schedext.catalogue import custom

    known = next((one for one in export.KINDS if one == kind), None)
    if known is None:
        raise UsageError(f"'{kind}' is not one of {', '.join(export.KINDS)}")
    if scheduler is not None and report is not None:
        raise UsageError("--scheduler and --from exclude each other", hint="leave one out")
    catalog = custom.catalog()
    if scheduler is not None:
        choice = ExportChoice(catalog.parse_candidate(scheduler), "Chosen by the user, not measured.")
    else:
        choice = _of_report(report) if report is not None else _of_history(str(current_directory()))
    catalog.validate(choice.candidate)
    text = export.text(known, winner(choice.candidate, choice.why, catalog, needs_path=known != "scx-loader"))
    write_new(text, output, "--output", force=force)


@dataclass(frozen=True)
class ExportChoice:
    """The candidate to export, and its origin in a sentence."""

    candidate: Candidate
    why: str


def _of_report(path: Path) -> ExportChoice:
    from autotune.records import Session
    from autotune.wire import from_json

    try:
        session = reading.record(lambda found: from_json(Session, found), path, most_bytes=MOST_REPORT_BYTES)
        results = reading.shaped(lambda one: {result.candidate.key: result for result in one.results}, session)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", hint="give a report that 'autotune cc --json' wrote") from error
    except ValueError as error:
        raise UsageError(f"{path} is not a report of autotune", hint="write one: autotune cc --json FILE") from error
    if session.winner is None or session.winner not in results:
        raise AutotuneError(f"there is no winner in {path}: {session.recommendation}", hint=_NAME_ONE)
    won = results[session.winner]
    at = won.candidate.params
    return ExportChoice(won.candidate.alone, _why(session.workload.title, won.speedup, session.machine.kernel, at))


def _of_history(cwd: str) -> ExportChoice:
    from autotune.knowledge.archive import History
    from autotune.knowledge.past import finding
    from autotune.knowledge.store import Knowledge

    with Knowledge() as knowledge:
        session = knowledge.newest_in(cwd) or next(iter(History(knowledge).newest(cwd, 1)), None)
    if session is None:
        raise AutotuneError("there was no session in this directory yet", hint=f"run autotune cc, or {_NAME_ONE}")
    won = next((result for result in session.results if result.key == session.winner), None)
    if won is None:
        raise AutotuneError(f"there is no winner: the last session here: {finding(session)}", hint=_NAME_ONE)
    at = won.candidate.params
    return ExportChoice(won.candidate.alone, _why(session.command, won.speedup, session.kernel, at))


def _why(command: str, speedup: Any, kernel: str, params: Point) -> str:
    from autotune.records import point_text

    gain = f", {speedup.estimate:.3f} times EEVDF's speed [{speedup.low:.3f}, {speedup.high:.3f}]" if speedup else ""
    at = f" with {point_text(params)}" if params else ""
    return f"Won for {command[:100]!r}{at} on Linux {kernel}{gain}."


def winner(candidate: Candidate, why: str, catalog: Catalog, *, needs_path: bool = True) -> Winner:
    """Return a candidate ready to export. A program is looked up where its path is needed; ours is kept attached by
    `autotune apply`. Raises what the lookup raises."""
    from autotune import resources
    from autotune.report.export import Winner

    scheduler = catalog.get(candidate.scheduler)
    candidate = replace(candidate, profile=scheduler.profile_of(dict(candidate.knobs)))
    key = candidate.short
    if scheduler.program is None:
        places = {"XDG_CACHE_HOME": resources.cache_dir(), "XDG_STATE_HOME": resources.state_dir()}
        environment = {name: str(place.parent) for name, place in places.items()}
        argv = (*own_command(), "apply", key)
        return Winner(key, why, argv, None, environment=environment)
    argv = (scheduler.name, *scheduler.arguments(dict(candidate.knobs)))
    if needs_path:
        from autotune.schedext.resolve import CatalogResolver

        spec = CatalogResolver(None, catalog)(candidate)
        argv = spec.program.argv if spec.program is not None else argv
    return Winner(key, why, argv, scheduler.name, scheduler.program.exits_zero_when_ejected, profile=candidate.profile)


def own_command() -> tuple[str, ...]:
    """Return the command that starts this autotune, with an absolute path."""
    found = shutil.which(sys.argv[0])
    if found is not None and os.path.basename(found) == "autotune":
        return (os.path.abspath(found),)
    return (sys.executable, "-m", "autotune")
