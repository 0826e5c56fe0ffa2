# SPDX-License-Identifier: MIT
"""When two commands are the same workload, however they were typed: `make -j8` as one text for a shell, and as two
words. Imported by what must start within milliseconds."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 \t_@%+:,./-=")
"""A text of these alone is split at its blanks by every shell, and nothing in it is replaced."""
OWN = frozenset(
    (
        "alias", "bg", "bind", "break", "builtin", "caller", "case", "cd", "command", "compgen", "complete",
        "continue", "coproc", "declare", "dirs", "disown", "do", "done", "echo", "elif", "else", "enable",
        "end", "esac", "eval", "exec", "exit", "export", "false", "fc", "fg", "fi", "for", "foreach",
        "function", "getopts", "hash", "help", "history", "if", "in", "jobs", "kill", "let", "local",
        "logout", "mapfile", "newgrp", "popd", "printf", "pushd", "pwd", "read", "readarray", "readonly",
        "return", "select", "set", "shift", "shopt", "source", "suspend", "switch", "test", "then", "time",
        "times", "trap", "true", "type", "typeset", "ulimit", "umask", "unalias", "unset", "until", "wait",
        "while", ".", ":",
    )
)  # fmt: skip
"""Words of shells: what they begin is not the program of that name."""


def words_of(command: str | Sequence[str]) -> tuple[str, ...]:
    """Return the words by which two commands are compared: those that are executed. A text is for sh; where it is plain
    words, these are executed as they are, else the shell is."""
    if not isinstance(command, str):
        words = tuple(command)
        return words_of(words[2]) if len(words) == 3 and words[:2] == ("sh", "-c") else words
    words = tuple(command.split())
    is_plain = bool(words) and PLAIN.issuperset(command) and "=" not in words[0] and words[0] not in OWN
    return words if is_plain else ("sh", "-c", command)


def program_of(words: Sequence[str]) -> str:
    """Return the name of the program that runs: `make` of `/usr/bin/make -j8`. For a shell's text its first word that
    is no assignment; empty when there is none."""
    words = words[-1].split() if tuple(words[:2]) == ("sh", "-c") else words
    return next((os.path.basename(word)[:200] for word in words if "=" not in word), "")
