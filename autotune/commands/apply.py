# SPDX-License-Identifier: MIT
"""`autotune apply`, `autotune stop`: keep a scheduler attached on this host, and stop it."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from autotune.commands import asking, completion
from autotune.errors import NoMachineError, UsageError
from autotune.secrecy import redacted

_BACK = "'autotune stop' detaches what 'autotune apply' keeps attached, and the kernel is back on EEVDF"


def register(app: typer.Typer) -> None:
    """Add the two commands to the program."""
    app.command("apply")(_apply)
    app.command("stop")(_stop)


def _apply(
    scheduler: Annotated[
        str,
        typer.Argument(
            metavar="NAME[:knob=value,...]",
            help="Scheduler to attach, as for 'autotune cc --scheduler'.",
            autocompletion=completion.candidates,
        ),
    ],
    replace_current: Annotated[
        bool,
        typer.Option(
            "--replace-current", metavar="", help="Stop the scheduler that is attached, and restore it at the end."
        ),
    ] = False,
) -> None:
    """Attach a scheduler on this host and keep it until Ctrl-C or 'autotune stop'.

    Exit 1 when the kernel ejects it.
    """
    from autotune import config
    from autotune.commands.workloads import current_directory
    from autotune.lease import applied, handover, others, replacing
    from autotune.machine import select
    from autotune.records import BASELINE
    from autotune.schedext.catalogue import custom

    settings = config.load({}, cwd=current_directory(), environ=os.environ, only=("lease",))
    catalog = custom.catalog()
    if scheduler.strip().lower() == BASELINE:
        raise UsageError("EEVDF is the kernel's own scheduler: there is nothing to attach", hint=_BACK)
    candidate = catalog.parse_candidate(scheduler)
    problem = select.host_problem()
    if problem is not None:
        raise NoMachineError(
            f"a scheduler can only be kept on the host: {problem}",
            hint="'autotune doctor' shows what the host lacks; 'autotune cc --machine vm' only measures",
        )
    applied.refuse_second()
    other = others.look()
    if other is not None:
        replacing.consent(other, replace_current=replace_current, ask=asking.asker(sys.stdout))
    with handover.host(settings.lease, notify) as machine:
        from autotune.schedext.resolve import CatalogResolver

        spec = CatalogResolver(machine.headers, catalog)(candidate)
        with replacing.replaced(other, notify):
            applied.keep(machine, spec, candidate, notify)


def notify(text: str) -> None:
    """Print one line at once, also into a pipe."""
    from autotune.report.text import printable

    print(printable(redacted(text)), flush=True)


def _stop() -> None:
    """Detach the scheduler that 'autotune apply' or 'autotune cc --apply' keeps attached."""
    from autotune.lease import applied

    notify(applied.stop())
