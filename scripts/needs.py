# SPDX-License-Identifier: MIT
"""Prints what a command line of autotune needs before it can start, in words of setup.sh: `packages`, `kernel`.

Run only on a first start. autotune's own parser decides, because only it knows whether `-h` or `vm` is a word of
autotune or of the user's command. Help, and a command line that it refuses, need nothing.
"""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Sequence
from typing import Any

from typer.main import get_command

from autotune import cli

NEEDS = {"doctor": "", "stop": "", "export": "", "replay": "", "schedulers": "packages", "vm": "packages"}
ALL = "packages kernel"
HELP = ("-h", "--help")
STAND_IN = "help-was-requested-here"


def needs(argv: Sequence[str]) -> str:
    """Return what must be installed before `autotune ARGV...` starts."""
    reached = _reached(argv)
    if reached is None and _has_help_behind_its_command(argv):
        reached = _reached([word for word in argv if word not in HELP])
    return "" if reached is None else NEEDS.get(reached[0], ALL)


def _has_help_behind_its_command(argv: Sequence[str]) -> bool:
    """Return whether `-h` is a word of the user's command, as in `cc du -h .`: it is to be run."""
    reached = _reached([STAND_IN if word in HELP else word for word in argv])
    return reached is not None and reached[1][:1] not in ([], [STAND_IN])


def _reached(argv: Sequence[str]) -> tuple[str, list[str]] | None:
    """Return the command that would run, by its first word, and the user's command in it; None when none would."""
    found: list[tuple[str, list[str]]] = []
    program = get_command(cli.app)
    for name, command in program.commands.items():  # type: ignore[attr-defined]
        _watch(command, name, found)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        program.main(list(argv), prog_name="autotune", standalone_mode=False)
    return found[0] if found else None


def _watch(command: Any, name: str, found: list[tuple[str, list[str]]]) -> None:
    """Note that a command was reached, instead of running it; of a group, that it was reached without a sub-command."""
    invoke, contexts = command.invoke, []

    def invoked(context: Any) -> Any:
        contexts.append(context)
        return invoke(context)

    def called(**given: Any) -> None:
        if contexts[-1].invoked_subcommand is None:
            found.append((name, list(given.get("command") or ())))

    command.invoke, command.callback = invoked, called
    for one in getattr(command, "commands", {}).values():
        _watch(one, name, found)


if __name__ == "__main__":
    print(needs(sys.argv[1:]))
