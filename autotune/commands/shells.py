# SPDX-License-Identifier: MIT
"""The options of `autotune cc` that say how COMMAND is executed: by a shell, or word by word."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from autotune.errors import UsageError


def command_of(words: Sequence[str], shell: tuple[str, ...] | None) -> tuple[str, tuple[str, ...]]:
    """Return the command for people, and the arguments to execute. An empty `shell` is none, None the default."""
    if not words or not words[0].strip():
        raise UsageError("the command is empty", hint="name one, such as autotune cc 'make -j8'")
    if len(words) > 1:
        if shell:
            hint = "quote the command, so that it is one argument"
            raise UsageError("--shell is for a command of one argument; several are executed as they are", hint=hint)
        return shlex.join(words), tuple(words)
    if shell is None or shell:
        return words[0], (*(shell or ("sh",)), "-c", words[0])
    return words[0], _split("the command", words[0])


def shell_of(text: str | None, *, none: bool) -> tuple[str, ...] | None:
    """Return the words of `--shell`; none of them for no shell (`none`: -N), None for the default."""
    if none and text not in (None, "none"):
        raise UsageError(f"-N is --shell=none, beside --shell={text}", hint="leave out one of the two")
    if none or text == "none":
        return ()
    return None if text in (None, "default") else _split("--shell", text)


def _split(what: str, text: str) -> tuple[str, ...]:
    """Split a line into words as a shell would. Raises UsageError."""
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        raise UsageError(f"{what} cannot be split into words: {error}", hint="close its quotes") from None
    if not words or not words[0]:
        raise UsageError(f"{what} is empty", hint="name a program")
    return words
