# SPDX-License-Identifier: MIT
"""Output of a session: the stream for people, and the document on standard output. A failed write ends no session."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from autotune.commands.printing import encode_anything, say
from autotune.errors import AutotuneError, UsageError
from autotune.views.steady import Steady, reader_left, stdout_was_closed


def shown(*, document: bool, silent: bool = False) -> Steady:
    """Return the stream for people: standard error when the document goes to standard output, nowhere when `silent`.
    Writing to it never fails, even when its reader is gone."""
    if silent:
        return Steady(open(os.devnull, "w"))
    stream = sys.stderr if document else sys.stdout
    encode_anything(stream)
    return Steady(stream)


def all_shown(stream: Steady) -> bool:
    """Return whether every line was written; otherwise print why, unless the reader left."""
    if stream.lost is not None and not reader_left(stream.lost):
        say(_unwritten("some of the output could not be printed", stream.lost))
    return stream.lost is None


def write_new(text: str, path: Path | None, option: str, *, force: bool) -> None:
    """Write a text to standard output (None) or to a file that `option` names; one that is there only with `force`.
    Raises UsageError, AutotuneError."""
    from autotune.views import exports

    if path is None:
        sys.stdout.write(text)
        sys.stdout.flush()
        return
    if path.exists() and not force:
        raise UsageError(f"{path} exists already", hint="--force writes over it")
    exports.check_writable(path, option)
    exports.write(path, text, option)


class Document:
    """Prints a report, which `option` asked for, on standard output; `lost` when its reader left early."""

    lost = False

    def __init__(self, option: str) -> None:
        self._option = option

    def __call__(self, text: str) -> None:
        """Write the text. Raises AutotuneError when it cannot be written."""
        if stdout_was_closed():
            raise AutotuneError(f"{self._option} - could not be written: standard output is closed", stage="report")
        encode_anything(sys.stdout)
        out = Steady(sys.stdout)
        out.write(text)
        out.flush()
        self.lost = out.lost is not None
        if out.lost is not None and not reader_left(out.lost):
            raise _unwritten(f"{self._option} - could not be written", out.lost, self._option)


def _unwritten(what: str, error: Exception, option: str = "--json") -> AutotuneError:
    why = getattr(error, "strerror", None) or str(error)
    return AutotuneError(f"{what}: {why}", hint=f"write the report to a file with {option} FILE", stage="report")
