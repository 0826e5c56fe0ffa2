# SPDX-License-Identifier: MIT
"""`autotune cc`: parse, start the session, show it, return the exit code."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import typer

from autotune import signals
from autotune.commands import asking, ci, continuing, dry_run, output
from autotune.commands.arguments import CcArguments, CcCommand, takes
from autotune.commands.printing import columns, say
from autotune.commands.workloads import current_directory, flags, workload_from
from autotune.errors import AutotuneError, UsageError

if TYPE_CHECKING:
    from autotune.config import Settings
    from autotune.records import Session
    from autotune.report.formats import ReportKind
    from autotune.session.continuation import TakenUp
    from autotune.session.request import SessionRequest, Sink
    from autotune.views.live import LiveView
    from autotune.views.plain import PlainView

EXAMPLES = """Examples:

  autotune cc 'make -j8' --prepare 'make clean'

  autotune cc --metric 'rps: ([0-9.]+)' --goal max -- ./load --seconds 5

  autotune cc --scheduler at_fifo:slice_us=5000 --scheduler at_batch 'make -j8'

  autotune cc --continue --budget 30m

  autotune cc --ci --fail-if-slower 5% 'make -j8'
"""


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("cc", epilog=EXAMPLES, cls=CcCommand)(_cc)


@takes(CcArguments)
def _cc(**given: Any) -> int:
    """Run COMMAND under EEVDF and under sched_ext schedulers, and rank them.

    Exit codes: 0 finished, 1 error, 2 usage, 3 COMMAND fails under EEVDF, 4 no machine, 5 slower (--fail-if-slower),
    130 interrupted.

    Defaults can be set in AUTOTUNE_* variables, .env or autotune.toml: see docs/SETTINGS.md.
    """
    with signals.as_interrupts():
        return _run(CcArguments(**given))


def _run(arguments: CcArguments) -> int:
    from autotune import config

    taken = continuing.taken_up(arguments) if arguments.continue_ else None
    if taken is not None:
        settings = continuing.settings_of(taken, arguments)
    else:
        settings = config.load(flags(arguments), cwd=current_directory(), environ=os.environ)
    targets = _targets(arguments)
    document = _document(targets)
    stream = output.shown(document=document is not None, silent=settings.style == "none")
    allowed = ci.share_of(arguments.fail_if_slower)
    request = _request(arguments, settings, stream.as_stream(), _reports(targets, document), taken)
    if arguments.dry_run:
        refused = dry_run.show(request, stream.as_stream())
        if refused:
            return refused
        complete = True
    else:
        with asking.other_i_explained(interactive=arguments.interactive):
            complete = _session(arguments, request, stream.as_stream(), allowed)
    if document is not None:  # then only the document counts
        return int(document.lost or not complete)
    return int(not (complete and output.all_shown(stream)))  # an incomplete one has reported what is missing


def _session(arguments: CcArguments, request: SessionRequest, stream: TextIO, allowed: float | None) -> bool:
    """Run the session. Return whether all requested output was written. Raises what ended the session early, and
    SlowerError where the command became slower than is `allowed`."""
    from autotune import config
    from autotune.schedext.catalogue import custom
    from autotune.session import start
    from autotune.views import screen

    given = config.as_flags(request.settings)
    view = _view(arguments, request.settings, stream, given)
    if arguments.interactive:
        request = replace(request, approve=asking.approver(stream, view.paused, custom.catalog().parse_candidate))
    with screen.Screen(stream, view, say) as shown:
        session = start.run(request, shown)
    plotted = not arguments.plot or _plotted(session, stream)
    summarised = not arguments.ci or ci.summarise(session, given, os.environ)
    ended = start.ending(session, shown.finished.error if shown.finished else None)
    if ended is not None:
        raise ended
    if allowed is not None:
        ci.refuse_slower(session, allowed, stream)
    return shown.complete and plotted and summarised


def _view(arguments: CcArguments, settings: Settings, stream: TextIO, given: Sequence[str]) -> LiveView | PlainView:
    if arguments.ci:
        from autotune.views.ci import CiView

        return CiView(stream, ci.service(os.environ), given=given, verbose=arguments.verbose)
    from autotune.views import screen

    return screen.view(stream, budget_s=settings.budget, given=given, verbose=arguments.verbose, style=settings.style)


def _plotted(session: Session, stream: TextIO) -> bool:
    """Plot the runs; return whether that worked, after an error line otherwise."""
    from autotune.views import plot

    try:
        plot.show(session, stream, columns())
    except AutotuneError as error:
        say(error)
        return False
    return True


def _request(
    arguments: CcArguments,
    settings: Settings,
    stream: TextIO,
    reports: dict[ReportKind, Path | Sink],
    taken: TakenUp | None,
) -> SessionRequest:
    """Return the request that the arguments describe, or the session that they continue. Raises UsageError."""
    from autotune.schedext.catalogue import custom
    from autotune.session.request import SessionRequest

    workload = workload_from(arguments) if taken is None else continuing.workload_of(taken)
    if arguments.interactive and arguments.ci:
        raise UsageError("--ci asks no questions, and --interactive asks before each switch", hint="leave out one")
    if arguments.interactive and not asking.at_terminal(stream):
        raise UsageError("--interactive needs a terminal", hint=asking.OTHER_I)
    if settings.style == "none" and (arguments.show_output or arguments.plot):
        shows = "--show-output" if arguments.show_output else "--plot"
        raise UsageError(f"{shows} shows nothing with --style none", hint="leave out one of the two")
    if arguments.plot:
        from autotune.views import plot

        plot.require()
    catalog = custom.catalog()
    return SessionRequest(
        workload=workload,
        settings=settings,
        candidates=tuple(catalog.parse_candidate(text) for text in arguments.scheduler or ())
        if taken is None
        else tuple(proposal.candidate for proposal in taken.proposals()),
        consent=asking.consent(stream, replace_current=arguments.replace_current, asks=not arguments.ci),
        apply=arguments.apply,
        show_output=arguments.show_output,
        output_to_model=not arguments.no_output_to_model,
        reports=reports,
        keep_writes=arguments.keep_writes,
        continues=taken,
    )


def _targets(arguments: CcArguments) -> dict[ReportKind, Path]:
    wanted: dict[ReportKind, Path | None] = {
        "json": arguments.json,
        "markdown": arguments.export_markdown,
        "csv": arguments.export_csv,
        "asciidoc": arguments.export_asciidoc,
        "orgmode": arguments.export_orgmode,
        "hyperfine": arguments.export_json,
        "html": arguments.export_html,
    }
    return {kind: target for kind, target in wanted.items() if target is not None}


_STDOUT = Path("-")


def _document(targets: dict[ReportKind, Path]) -> output.Document | None:
    """Return the report for standard output; None when there is none. Raises UsageError for more than one."""
    from autotune.report.formats import OPTIONS

    wanted = [OPTIONS[kind] for kind, target in targets.items() if target == _STDOUT]
    if len(wanted) > 1:
        what = f"{' and '.join(wanted)} cannot both go to standard output"
        raise UsageError(what, hint="name a file for all but one")
    return output.Document(wanted[0]) if wanted else None


def _reports(targets: dict[ReportKind, Path], document: Sink | None) -> dict[ReportKind, Path | Sink]:
    """Return where each report goes; - is standard output."""
    return {kind: document if document and target == _STDOUT else target for kind, target in targets.items()}
