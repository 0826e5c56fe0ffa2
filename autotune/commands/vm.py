# SPDX-License-Identifier: MIT
"""`autotune vm ...`: the kernel of the micro-VM."""

from __future__ import annotations

from typing import Annotated

import typer

from autotune import signals
from autotune.commands.printing import print_lines, show_help
from autotune.errors import AutotuneError
from autotune.secrecy import redacted

app = typer.Typer(context_settings={"help_option_names": ["-h", "--help"]}, help="Manage the kernel of the micro-VM.")


@app.callback(invoke_without_command=True)
def _vm(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        show_help(context)
        raise typer.Exit(2)


@app.command("setup")
def _setup(
    version: Annotated[
        str | None,
        typer.Option("--version", metavar="VERSION", help="Kernel version to fetch. Default: the best known."),
    ] = None,
) -> None:
    """Fetch a kernel with sched_ext and the files to build and load schedulers. Changes nothing on the system."""
    from autotune.machine.vm import kernels

    with signals.as_interrupts():
        kernel = kernels.fetch(lambda text: print(redacted(text), flush=True), version)
    print(f"Ready: Linux {kernel.version}")


@app.command("status")
def _status() -> int:
    """List the kernels a micro-VM can boot."""
    from autotune.machine.vm import healing, kernels
    from autotune.views import listing

    try:
        chosen = kernels.find(None)
    except AutotuneError:
        chosen = None
    print_lines(listing.kernels(kernels.installed(), chosen))
    print_lines(healing.damages())
    return 0 if chosen is not None else 4
