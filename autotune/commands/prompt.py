# SPDX-License-Identifier: MIT
"""`autotune prompt`: the first request to the model, without sending it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import typer

from autotune import signals
from autotune.commands.arguments import CcArguments, CcCommand, takes
from autotune.commands.printing import encode_anything, say
from autotune.commands.workloads import current_directory, flags, workload_from


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("prompt", cls=CcCommand)(_prompt)


@takes(CcArguments)
def _prompt(**given: Any) -> int:
    """Run COMMAND under EEVDF only and print what would be sent to the model. Nothing is sent.

    Takes the options of 'autotune cc'. --json - prints the request as it goes over the wire.
    """
    with signals.as_interrupts():
        return _run(CcArguments(**given))


def _run(arguments: CcArguments) -> int:
    import json

    from autotune import config
    from autotune.session import start
    from autotune.session.request import SessionRequest
    from autotune.views import planned
    from autotune.views.plain import PlainView
    from autotune.views.screen import ProgressOnly

    settings = config.load(flags(arguments), cwd=current_directory(), environ=os.environ)
    request = SessionRequest(
        workload_from(arguments),
        settings,
        show_output=arguments.show_output,
        output_to_model=not arguments.no_output_to_model,
        keep_writes=arguments.keep_writes,
    )
    encode_anything(sys.stdout)
    encode_anything(sys.stderr)
    with ProgressOnly(sys.stderr, PlainView(sys.stderr), say) as shown:
        first = start.first_request(request, shown)
    as_sent = arguments.json == Path("-")
    print(json.dumps(first, indent=2) if as_sent else planned.request_text(first))
    return 0
