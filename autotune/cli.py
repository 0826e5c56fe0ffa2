# SPDX-License-Identifier: MIT
"""The command line: parse, call, render, exit code.

What always holds here:
- every command ends with an exit code: 0 finished, 1 error, 2 usage, 3 the workload fails under the baseline,
  4 no machine can run sched_ext, 5 slower than before, 130 interrupted;
- an error is one line on standard error; a traceback only with `--debug` or AUTOTUNE_DEBUG;
- nothing but typer is imported before a command needs it.
"""

from __future__ import annotations

import contextlib
import copy
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command_name
from typer.models import CommandInfo

from autotune import __version__, errors, signals
from autotune.commands import (
    apply,
    best,
    cc,
    completion,
    custom,
    daemon,
    doctor,
    export,
    help,
    history,
    mcp,
    observe,
    prompt,
    recheck,
    replay,
    repository,
    run,
    schedulers,
    status,
    submit,
    vm,
)
from autotune.commands.arguments import debug_option
from autotune.commands.printing import encode_anything, say, show_help
from autotune.errors import AutotuneError, Interrupted, UsageError
from autotune.report import program
from autotune.secrecy import redact_python, redacted
from autotune.views.steady import open_standard_streams

# --- the edge: errors become a line and an exit code -----------------------------------------------------


WIDEST = 10_000
"""Most columns that are believed."""


class _Program(TyperGroup):
    """The program. It turns whatever a command raises into one line and an exit code."""

    debug = False

    def main(self, *args: Any, **extra: Any) -> Any:
        exits = extra.pop("standalone_mode", True)
        self.debug = bool(os.environ.get("AUTOTUNE_DEBUG"))
        help.tidy(self)
        if completion.VARIABLE in os.environ:
            completion.begin()
        code = self._run(*args, **extra, standalone_mode=False)
        if exits:
            sys.exit(code)
        return code

    def invoke(self, ctx: Any) -> Any:
        try:
            with signals.interruptible():
                return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Interrupted("interrupted") from None

    def _run(self, *args: Any, **extra: Any) -> int:
        try:
            code = super().main(*args, **{"complete_var": completion.VARIABLE, "prog_name": "autotune", **extra})
        except (KeyboardInterrupt, Exception) as error:
            return self._report(error)
        return code if isinstance(code, int) else 0

    def _report(self, error: BaseException) -> int:
        try:
            return self._shown(error)
        except Exception:  # no memory or no descriptors are left to say it well
            with contextlib.suppress(OSError):
                os.write(2, b"autotune: an error cannot be shown: memory or descriptors ran out. See 'ulimit -a'.\n")
            return 1

    def _shown(self, error: BaseException) -> int:
        if self.debug:
            import traceback

            _print_to_stderr(redacted("".join(traceback.format_exception(error))))
        known = _as_ours(error)
        if known.detail and self.debug:
            _print_to_stderr(redacted(known.detail) + "\n")
        say(known)
        return known.exit_code


def _print_to_stderr(text: str) -> None:
    """Print what only --debug shows; nothing once the reader is gone."""
    with contextlib.suppress(OSError, ValueError):
        encode_anything(sys.stderr)
        print(text, file=sys.stderr, end="")


def _as_ours(error: BaseException) -> AutotuneError:
    """Return any exception as an AutotuneError; typer's own are about usage."""
    if isinstance(error, typer.Abort):
        return Interrupted("interrupted")
    if not isinstance(error, AutotuneError) and hasattr(
        error, "format_message"
    ):  # typer raises these for invalid arguments
        return UsageError(error.format_message(), hint=_usage_hint(error))
    if not isinstance(error, AutotuneError) and signals.is_interruption(error):
        return Interrupted("interrupted")
    return errors.as_ours(error)


def _usage_hint(error: Any) -> str:
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "autotune"
    if hasattr(error, "option_name") and path.endswith((" cc", " best")):
        name = path.rpartition(" ")[2]
        return f"quote a command that has options, or put -- before it; '{path} --help' lists the options of {name}"
    return f"see '{path} --help'"


# --- the program -----------------------------------------------------------------------------------------

HELP = {"help_option_names": ["-h", "--help"]}
app = typer.Typer(
    cls=_Program,
    context_settings=HELP,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,  # its own option detects shells that run scripts; `completion` has the scripts
    epilog="Start with: autotune doctor",
)
custom.register(schedulers.app)
repository.register(schedulers.app)
for command in (cc, run, observe, prompt, replay, doctor):
    command.register(app)
app.add_typer(schedulers.app, name="schedulers")
app.add_typer(schedulers.app, name="scheduler", hidden=True)  # the former name
best.register(app)
recheck.register(app)
status.register(app)
app.add_typer(history.app, name="history")
app.add_typer(vm.app, name="vm")
export.register(app)
apply.register(app)
submit.register(app)
daemon.register(app)
mcp.register(app)
completion.register(app)


def main() -> None:
    """Entry point of the `autotune` command; exits."""
    redact_python()
    with signals.program():  # after the hook above, which it puts its own before
        program.start(sys.argv[0])
        open_standard_streams()
        _ignore_impossible_width()
        begun(sys.argv[1:])()


def begun(words: Sequence[str]) -> typer.Typer:
    """Return the program with no other command than the one that the words begin with, where they begin with one: Typer
    looks at the parameters of all that it is given, which takes 50 ms of CPU time for all of ours."""
    name = next((word for word in words if word != "--debug"), "")
    commands = [one for one in app.registered_commands if _name_of(one) == name]
    groups = [one for one in app.registered_groups if one.name == name]
    if not (commands or groups) or completion.VARIABLE in os.environ:
        return app
    found = copy.copy(app)
    found.registered_commands, found.registered_groups = commands, groups
    return found


def _name_of(command: CommandInfo) -> str:
    return command.name or get_command_name(getattr(command.callback, "__name__", ""))


def _ignore_impossible_width() -> None:
    """Unset COLUMNS when no terminal is that wide: tables as wide as that take all memory."""
    width = os.environ.get("COLUMNS", "")
    if width.isdecimal() and int(width[:6]) > WIDEST:
        del os.environ["COLUMNS"]


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
    _completion: Annotated[
        bool,
        typer.Option(
            "--show-completion",
            metavar="",
            help="Print the completion script of your shell; 'autotune completion' is for any.",
            callback=completion.show,
            is_eager=True,
        ),
    ] = False,
    _debug: Annotated[bool, debug_option()] = False,
) -> None:
    """Find out which CPU scheduler makes a command faster on this machine, by how much, and with what confidence."""
    if context.invoked_subcommand is None:
        show_help(context)
        raise typer.Exit(2)
