# SPDX-License-Identifier: MIT
"""`autotune observe`: run a command once with a probe beside it, and print what it did and what could be won."""

from __future__ import annotations

import dataclasses
import os
import sys
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autotune import signals
from autotune.commands.arguments import CcArguments, CcCommand, current_directory, flags, takes, workload_from
from autotune.commands.printing import columns, print_json, print_lines
from autotune.errors import UsageError
from autotune.secrecy import redacted

if TYPE_CHECKING:
    from autotune.session.watching import Observed

SHARED = (
    "command", "prepare", "conclude", "setup", "cleanup", "input", "timeout", "shell", "no_shell", "warmup", "pristine",
    "ignore_failure", "budget", "machine", "cpus", "memory", "kernel", "show_output",
)  # fmt: skip
"""Options that mean the same as for `cc`."""

EXAMPLES = """Examples:

  autotune observe 'make -j8' --prepare 'make clean'

  autotune observe 'make -j8' --trace build.json    # open it in Perfetto
"""


def _arguments() -> type[Any]:
    """Return the dataclass of the arguments: those that `cc` has too, and three more."""
    hints = typing.get_type_hints(CcArguments, include_extras=True)
    known = {field.name: field for field in dataclasses.fields(CcArguments)}
    shared = [(name, hints[name], known[name]) for name in SHARED if name in known]
    own: list[Any] = [
        ("json", Annotated[bool, typer.Option("--json", metavar="", help="Print the profile as JSON.")], False),
        (
            "trace",
            Annotated[
                Path | None,
                typer.Option("--trace", metavar="FILE", help="Write a trace that Perfetto and chrome://tracing open."),
            ],
            None,
        ),
        ("top", Annotated[int, typer.Option("--top", metavar="N", min=1, help="Show N rows. Default 10.")], 10),
    ]
    fields = [
        (
            name,
            hint,
            dataclasses.field(default=field.default)
            if field.default is not dataclasses.MISSING
            else dataclasses.field(),
        )
        for name, hint, field in shared
    ]
    return dataclasses.make_dataclass("ObserveArguments", [*fields, *own])


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("observe", epilog=EXAMPLES, cls=CcCommand)(_observe)


@takes(_arguments())
def _observe(**given: Any) -> int:
    """Run COMMAND under EEVDF while a probe watches its tasks; show what bounds it and where its time goes.

    The probe costs time, so the run is compared with nothing. Tracing needs root, as attaching does; in the micro-VM it
    is there.
    """
    with signals.as_interrupts():
        return _run(given)


def _run(given: dict[str, Any]) -> int:
    from autotune import config, durable
    from autotune.observe import chrome_trace
    from autotune.session import watching
    from autotune.session.request import SessionRequest
    from autotune.views import profile as view
    from autotune.views.plain import PlainView

    arguments = CcArguments(**{name: given[name] for name in SHARED if name in given})
    settings = config.load(flags(arguments), cwd=current_directory(), environ=os.environ)
    request = SessionRequest(workload_from(arguments), settings, show_output=arguments.show_output)
    target: Path | None = given["trace"]
    if target is not None and not target.absolute().parent.is_dir():
        raise UsageError(f"--trace: {target.parent} is no directory", hint="make it first")
    seen = watching.look(request, PlainView(sys.stderr))
    if target is not None:
        with durable.explained(f"{target} cannot be written", target):
            durable.replace(
                target, redacted(chrome_trace.text(seen.seen, cwd=request.workload.cwd)).encode(), mode=durable.SHARED
            )
    if given["json"]:
        print_json(_json(seen))
    else:
        print_lines(map(redacted, view.lines(seen.profile, seen.plain_s, width=columns(), top=given["top"])))
    return 0


def _json(seen: Observed) -> Any:
    """Return the profile as JSON, with secrets in command lines redacted."""
    import json

    from autotune.wire import to_json

    document = {"version": 1, "kernel": seen.kernel, "plain_s": seen.plain_s, "profile": to_json(seen.profile)}
    return json.loads(redacted(json.dumps(document)))
