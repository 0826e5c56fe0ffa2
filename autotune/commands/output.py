# SPDX-License-Identifier: MIT
"""Where a session is shown, and its document on standard output; neither ends a session when it cannot be written."""

from __future__ import annotations

import os
import sys

from autotune.commands.printing import encode_anything, say
from autotune.errors import AutotuneError
from autotune.views.steady import Steady, reader_left


def shown(*, document: bool) -> Steady:
    """The stream for people: standard error when standard output takes the document. Takes every line, also when
    nobody reads any more."""
    stream = sys.stderr if document else sys.stdout
    if stream is None:  # it was closed before we were started
        stream = open(os.devnull, "w")  # noqa: SIM115 - for as long as the process lives
    encode_anything(stream)
    return Steady(stream)


def all_shown(stream: Steady) -> bool:
    """Whether every line could be written; says why not. A reader that left knows."""
    if stream.lost is not None and not reader_left(stream.lost):
        say(_unwritten("what happened could not all be printed", stream.lost))
    return stream.lost is None


class Document:
    """Takes the JSON report and prints it on standard output; `lost` when its reader left early."""

    lost = False

    def __call__(self, text: str) -> None:
        """Raises AutotuneError when it cannot be written."""
        if sys.stdout is None:  # it was closed before we were started
            raise AutotuneError("--json - could not be written: standard output is closed", stage="report")
        encode_anything(sys.stdout)
        out = Steady(sys.stdout)
        out.write(text)
        out.flush()
        self.lost = out.lost is not None
        if out.lost is not None and not reader_left(out.lost):
            raise _unwritten("--json - could not be written", out.lost)


def _unwritten(what: str, error: Exception) -> AutotuneError:
    why = getattr(error, "strerror", None) or str(error)
    return AutotuneError(f"{what}: {why}", hint="write the report to a file with --json FILE", stage="report")
