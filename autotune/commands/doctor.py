# SPDX-License-Identifier: MIT
"""`autotune doctor`: requirements that this machine meets or lacks."""

from __future__ import annotations

import dataclasses
import os
import sys
from typing import Annotated

import typer

from autotune.commands.printing import columns, print_json, print_lines
from autotune.secrecy import redacted


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("doctor")(_doctor)


def _doctor(
    json: Annotated[bool, typer.Option("--json", metavar="", help="Print the checks as JSON.")] = False,
) -> int:
    """Check requirements and show how to fix what is missing. Exit 0 when schedulers can run."""
    from autotune.commands import requirements
    from autotune.views import listing

    checks = [
        dataclasses.replace(check, detail=redacted(check.detail), fix=redacted(check.fix))
        for check in requirements.collect()
    ]
    can_run = requirements.can_run(checks)
    if json:
        print_json({"can_run": can_run, "checks": [dataclasses.asdict(check) for check in checks]})
    else:
        coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        print_lines(listing.doctor(checks, can_run, width=columns(), coloured=coloured))
    return 0 if any(can_run.values()) else 4
