# SPDX-License-Identifier: MIT
"""Requirements of a command line of autotune, in words that setup.sh understands: `packages`, `kernel`.

Used only on a first start. The command line is parsed by autotune's own parser, since only that knows whether `-h` or
`vm` belongs to autotune or to the user's command. Help and invalid command lines need nothing.
"""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Sequence
from typing import Any

from typer.main import get_command

from autotune import cli

ALL = "packages kernel"
WITHOUT = ["doctor", "stop", "export", "replay", "completion", "history", "best", "status", "watch", "cancel"]
NEEDS = dict.fromkeys(WITHOUT, "")
NEEDS |= {"schedulers": "packages", "vm": "packages", "schedulers verify": ALL, "schedulers import": ALL}
"""By command; what is said of a group holds for its commands, unless they are named too."""
HELP = ("-h", "--help")
STAND_IN = "help-was-here"


def needs(argv: Sequence[str]) -> str:
    """Return what must be installed before `autotune ARGV...` starts."""
    reached = _reached(argv)
    if reached is None and _has_help_behind_its_command(argv):
        reached = _reached([word for word in argv if word not in HELP])
    return "" if reached is None else _needs_of(reached[0])


def _needs_of(name: str) -> str:
    group, space, rest = name.partition(" ")
    group = "schedulers" if group == "scheduler" else group  # its former name
    return NEEDS.get(f"{group}{space}{rest}", NEEDS.get(group, ALL))


def _has_help_behind_its_command(argv: Sequence[str]) -> bool:
    """Return whether `-h` is a word of the user's command, as in `cc du -h .`."""
    reached = _reached([STAND_IN if word in HELP else word for word in argv])
    return reached is not None and reached[1][:1] not in ([], [STAND_IN])


def _reached(argv: Sequence[str]) -> tuple[str, list[str]] | None:
    """Return the command that would run, by its name, with the user's command; None when none would."""
    found: list[tuple[str, list[str]]] = []
    program = get_command(cli.app)
    for name, command in program.commands.items():  # type: ignore[attr-defined]
        _watch(command, name, found)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        program.main(list(argv), prog_name="autotune", standalone_mode=False)
    return found[0] if found else None


def _watch(command: Any, name: str, found: list[tuple[str, list[str]]]) -> None:
    """Record that a command, or a group without a subcommand, was reached, instead of running it."""
    invoke, contexts = command.invoke, []

    def invoked(context: Any) -> Any:
        contexts.append(context)
        return invoke(context)

    def called(**given: Any) -> None:
        if contexts[-1].invoked_subcommand is None:
            found.append((name, list(given.get("command") or ())))

    command.invoke, command.callback = invoked, called
    for one_name, one in getattr(command, "commands", {}).items():
        _watch(one, f"{name} {one_name}", found)


if __name__ == "__main__":
    print(needs(sys.argv[1:]))
