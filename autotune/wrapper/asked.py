# SPDX-License-Identifier: MIT
"""What a command line of `autotune run` asks for. Imported before all else: it must start within milliseconds."""

from __future__ import annotations

USAGE = "usage: autotune run [-v] [--require] [--] COMMAND [ARGUMENT]..."


class Misused(Exception):
    """The command line cannot be understood; the text says why."""


class Asked:
    """The command with its arguments, byte for byte, and the options before it."""

    def __init__(self, argv: list[bytes], *, verbose: bool, require: bool) -> None:
        self.argv = argv
        self.verbose = verbose
        self.require = require


def is_help(words: list[str]) -> bool:
    """Return whether an option before the command asks for help."""
    for word in words:
        if word in ("-h", "--help"):
            return True
        if word == "--" or not word.startswith("-"):
            return False
    return False


def parse(words: list[bytes]) -> Asked:
    """Read the words after `run`. Raises Misused."""
    verbose = require = False
    rest = list(words)
    while rest and rest[0].startswith(b"-"):
        option = rest.pop(0)
        if option == b"--":
            break
        if option in (b"-v", b"--verbose"):
            verbose = True
        elif option == b"--require":
            require = True
        else:
            shown = option.decode(errors="replace")
            raise Misused(f"there is no option '{shown}'; put -- before a command that begins with a dash")
    if not rest:
        raise Misused("the command is missing")
    return Asked(rest, verbose=verbose, require=require)
