# SPDX-License-Identifier: MIT
"""`autotune observe`: run a command once with a probe beside it, and print what it did and what could be won."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from autotune import signals
from autotune.commands.arguments import CcArguments, CcCommand, takes
from autotune.commands.printing import columns, print_json, print_lines, say
from autotune.commands.workloads import current_directory, flags, workload_from
from autotune.errors import AutotuneError, Interrupted
from autotune.frozen import dataclass

SHARED = (
    "command", "prepare", "conclude", "setup", "cleanup", "input", "timeout", "shell", "no_shell", "warmup", "pristine",
    "ignore_failure", "budget", "machine", "cpus", "memory", "kernel", "show_output", "debug",
)  # fmt: skip
"""Options that mean the same as for `cc`."""
TRACE = "--trace"

EXAMPLES = """Examples:

  autotune observe 'make -j8' --prepare 'make clean'

  autotune observe 'make -j8' --trace build.json    # open it in Perfetto
"""


@dataclass(frozen=True)
class ObserveOptions:
    """The options of `autotune observe` that `cc` does not have."""

    json: Annotated[bool, typer.Option("--json", metavar="", help="Print the profile as JSON.")] = False
    trace: Annotated[
        Path | None,
        typer.Option(TRACE, metavar="FILE", help="Write a trace that Perfetto and chrome://tracing open."),
    ] = None
    top: Annotated[int, typer.Option("--top", metavar="N", min=1, help="Show N rows.")] = 10


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("observe", epilog=EXAMPLES, cls=CcCommand)(_observe)


@takes(CcArguments, only=SHARED, more=ObserveOptions)
def _observe(json: bool, trace: Path | None, top: int, **given: Any) -> int:
    """Run COMMAND under EEVDF while a probe watches its tasks; show what bounds it and where its time goes.

    The probe costs time, so the run is compared with nothing. Tracing needs root, as attaching does; in the micro-VM
    autotune is root.
    """
    with signals.as_interrupts():
        return _run(CcArguments(**given), ObserveOptions(json, trace, top))


def _run(arguments: CcArguments, options: ObserveOptions) -> int:
    from autotune import config
    from autotune.observe import chrome_trace
    from autotune.session import watching
    from autotune.session.request import SessionRequest
    from autotune.views import exports
    from autotune.views import profile as view
    from autotune.views.plain import PlainView

    settings = config.load(flags(arguments), cwd=current_directory(), environ=os.environ)
    request = SessionRequest(workload_from(arguments), settings, show_output=arguments.show_output)
    if options.trace is not None:
        exports.check_writable(options.trace, TRACE)
    found = watching.look(request, PlainView(sys.stderr))
    failures = [found.failure] if found.failure is not None else []
    if options.trace is not None:
        try:
            exports.write(options.trace, chrome_trace.text(found.seen, cwd=request.workload.cwd), TRACE)
        except AutotuneError as error:  # the rest is shown all the same
            failures.append(error)
    if options.json:
        print_json(found.as_json())
    else:
        print_lines(view.lines(found.profile, found.plain_s, found.counted, width=columns(), top=options.top))
    for failure in failures:
        say(failure)
    interrupted = any(isinstance(failure, Interrupted) for failure in failures)
    return Interrupted.exit_code if interrupted else int(bool(failures))
