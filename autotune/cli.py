# SPDX-License-Identifier: MIT
"""The command line: parse, call, render, exit code. Nothing else prints or exits.

What always holds here:
- the end of every command is an exit code: 0 finished, 1 error, 2 usage, 3 the workload fails under the baseline,
  4 no machine can run sched_ext, 130 interrupted;
- an error is one line on standard error; a traceback only with `--debug` or AUTOTUNE_DEBUG;
- nothing but typer is imported before a command needs it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from autotune import __version__
from autotune.commands import apply, cc, export, schedulers
from autotune.commands import custom as custom_commands
from autotune.commands.arguments import CcArguments, debug_option, takes
from autotune.commands.printing import columns, encode_anything, ended_gently, print_json, print_lines, say
from autotune.errors import AutotuneError, Interrupted, UsageError
from autotune.secrecy import redacted
from autotune.views.steady import open_standard_streams

INTERNAL_HINT = "this is a bug in autotune; --debug shows where"

_FULL = ("the disk is full", "make room where temporary files go (TMPDIR, else /tmp) and in your home directory")
_CLOSED = ("a file cannot be used", "change its permissions or those of its directory, or name another")
_NO_BUGS = {errno.ENOSPC: _FULL, errno.EDQUOT: _FULL, errno.EACCES: _CLOSED, errno.EROFS: _CLOSED}
"""What the machine may refuse at any moment, wherever it happens: what it is called, and what to do."""


# --- the edge: errors become a line and an exit code -----------------------------------------------------


class _Program(TyperGroup):
    """The whole program. It turns whatever a command raises into one line and the exit code."""

    debug = False

    def main(self, *args: Any, **extra: Any) -> Any:
        exits = extra.pop("standalone_mode", True)
        self.debug = bool(os.environ.get("AUTOTUNE_DEBUG"))
        code = self._run(*args, **extra, standalone_mode=False)
        if exits:
            sys.exit(code)
        return code

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Interrupted("interrupted") from None

    def _run(self, *args: Any, **extra: Any) -> int:
        try:
            code = super().main(*args, **extra)
        except Exception as error:
            return self._report(error)
        return code if isinstance(code, int) else 0

    def _report(self, error: Exception) -> int:
        if self.debug:
            import traceback

            _print_to_stderr(redacted("".join(traceback.format_exception(error))))
        known = _as_ours(error)
        if known.detail and self.debug:
            _print_to_stderr(redacted(known.detail) + "\n")
        say(known)
        return known.exit_code


def _print_to_stderr(text: str) -> None:
    """What only --debug shows; nothing where nobody reads it any more."""
    with contextlib.suppress(OSError, ValueError):
        encode_anything(sys.stderr)
        print(text, file=sys.stderr, end="")


def _as_ours(error: Exception) -> AutotuneError:
    """Any exception as one of the family: typer's own are about usage, some are the machine's, all others bugs."""
    if isinstance(error, AutotuneError):
        return error
    if isinstance(error, typer.Abort):
        return Interrupted("interrupted")
    if hasattr(error, "format_message"):  # what typer raises for arguments it cannot take
        return UsageError(error.format_message(), hint=_usage_hint(error))
    if isinstance(error, OSError) and error.errno in _NO_BUGS:
        what, hint = _NO_BUGS[error.errno]
        where = f"{error.filename}: " if error.filename else ""
        return AutotuneError(f"{what}: {where}{error.strerror}", hint=hint)
    return AutotuneError(f"{type(error).__name__}: {error}", hint=INTERNAL_HINT, stage="internal")


def _usage_hint(error: Any) -> str:
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "autotune"
    if hasattr(error, "option_name") and path.endswith(" cc"):
        return f"quote a command that has options, or put -- before it; '{path} --help' lists the options of cc"
    return f"see '{path} --help'"


# --- the program -----------------------------------------------------------------------------------------

HELP = {"help_option_names": ["-h", "--help"]}
app = typer.Typer(
    cls=_Program,
    context_settings=HELP,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    epilog="Start with: autotune doctor",
)
vm_app = typer.Typer(context_settings=HELP, help="Manage the kernel of the micro-VM.")
custom_commands.register(schedulers.app)
app.add_typer(schedulers.app, name="schedulers")
app.add_typer(schedulers.app, name="scheduler", hidden=True)  # the noun of before
app.add_typer(vm_app, name="vm")


def main() -> None:
    """Entry point of the `autotune` command; exits."""
    open_standard_streams()
    app()


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"autotune {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", metavar="", help="Print the version and exit.", callback=_print_version, is_eager=True
        ),
    ] = False,
    _debug: Annotated[bool, debug_option()] = False,
) -> None:
    """Find out which CPU scheduler makes a command faster on this machine, by how much, and with what confidence."""
    if context.invoked_subcommand is None:
        _show_help(context)
        raise typer.Exit(2)


def _show_help(context: typer.Context) -> None:
    text = context.get_help()
    if text:  # typer prints it by itself when rich is there
        print(text)


# --- autotune cc: the command ----------------------------------------------------------------------------


EXAMPLES = """Examples:

  autotune cc 'make -j8' --prepare 'make clean'

  autotune cc --metric 'rps: ([0-9.]+)' --goal max -- ./load --seconds 5

  autotune cc --scheduler at_fifo:slice_us=5000 --scheduler at_batch 'make -j8'
"""


@app.command(
    "cc",
    epilog=EXAMPLES,
)
@takes(CcArguments)
def _cc(**given: Any) -> int:
    """Run COMMAND under EEVDF and under sched_ext schedulers, and rank them.

    Exit codes: 0 finished, 1 error, 2 usage, 3 COMMAND fails under EEVDF, 4 no machine, 130 interrupted.

    Defaults can be set in AUTOTUNE_* variables, .env or autotune.toml: see docs/SETTINGS.md.
    """
    with ended_gently():
        return cc.run_cc(CcArguments(**given))


# --- autotune prompt, autotune replay ---


@app.command("prompt")
@takes(CcArguments)
def _prompt(**given: Any) -> int:
    """Run COMMAND under EEVDF only and print what would be sent to the model. Nothing is sent.

    Takes the options of 'autotune cc'. --json - prints the request as it goes over the wire.
    """
    with ended_gently():
        return cc.run_prompt(CcArguments(**given))


@app.command("replay")
def _replay(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A transcript; a session prints its path at the end.")],
) -> int:
    """Replay a recorded conversation with the model, without the network. Exit 0 when the result is the same."""
    from autotune.planner.claude.replay import replay
    from autotune.schedext.catalogue import custom

    encode_anything(sys.stdout)
    return 0 if replay(file, custom.catalog(), print) else 1


# --- the other commands ----------------------------------------------------------------------------------


@app.command("doctor")
def _doctor(
    json: Annotated[bool, typer.Option("--json", metavar="", help="Print the checks as JSON.")] = False,
) -> int:
    """Check requirements and show how to fix what is missing. Exit 0 when schedulers can run."""
    from autotune.commands import doctor
    from autotune.views import listing

    checks = [dataclasses.replace(check, detail=redacted(check.detail)) for check in doctor.collect()]
    can_run = doctor.can_run(checks)
    if json:
        print_json({"can_run": can_run, "checks": [dataclasses.asdict(check) for check in checks]})
    else:
        print_lines(listing.doctor(checks, can_run, width=columns(), coloured=_coloured()))
    return 0 if any(can_run.values()) else 4


@vm_app.callback(invoke_without_command=True)
def _vm(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        _show_help(context)
        raise typer.Exit(2)


@vm_app.command("setup")
def _vm_setup(
    version: Annotated[
        str | None, typer.Option("--version", metavar="VERSION", help="Kernel to fetch. Default: the best known.")
    ] = None,
) -> None:
    """Fetch a kernel with sched_ext and the files to build and load schedulers. Changes nothing on the system."""
    from autotune.machine.vm import kernels

    kernel = kernels.fetch(lambda text: print(text, flush=True), version)
    print(f"Ready: Linux {kernel.version}")


@vm_app.command("status")
def _vm_status() -> int:
    """List the kernels a micro-VM can boot."""
    from autotune.machine.vm import kernels
    from autotune.views import listing

    try:
        chosen = kernels.find(None)
    except AutotuneError:
        chosen = None
    print_lines(listing.kernels(kernels.installed(), chosen))
    return 0 if chosen is not None else 4


def _coloured() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


export.register(app)
apply.register(app)
