# SPDX-License-Identifier: MIT
"""`autotune run -- COMMAND`: help and completion. What it does is in `wrapper`, which the program turns to before this
is imported."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

_PLAIN = {"allow_interspersed_args": False}


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("run", context_settings=_PLAIN)(_run)


def _run(
    command: Annotated[
        list[str], typer.Argument(metavar="COMMAND [ARGUMENT]", help="The command, as it is typed without autotune.")
    ],
    verbose: Annotated[
        bool,
        typer.Option(
            "-v",
            "--verbose",
            metavar="",
            help="Say on standard error what is applied, or why not, and how long it took.",
        ),
    ] = False,
    require: Annotated[
        bool,
        typer.Option(
            "--require",
            metavar="",
            help="Attach first, and do not start the command when that is not possible (exit 1).",
        ),
    ] = False,
) -> None:
    """Run a command under the best scheduler that is known for it here, and as it is otherwise.

    For aliases: alias make='autotune run -- make'. Nothing about the command changes, and nothing that autotune does
    can make it fail.
    """
    from autotune.wrapper import front

    options = ["-v"] * verbose + ["--require"] * require
    sys.stdout.flush()
    raise typer.Exit(front.main([*options, "--", *command]))
