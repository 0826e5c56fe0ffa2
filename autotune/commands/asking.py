# SPDX-License-Identifier: MIT
"""Questions at the terminal: about somebody else's scheduler, and before each switch."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, TextIO

from autotune.errors import WorkloadError

if TYPE_CHECKING:
    from autotune.lease.other import Other
    from autotune.records import Candidate
    from autotune.session.request import Consent
    from autotune.views.prompts import Approver

Ask = Callable[[str], str]
OTHER_I = "-i asks before each scheduler is attached; to count runs that fail (hyperfine's -i), give --ignore-failure"
"""What a user of hyperfine has to know about `-i`."""


@contextlib.contextmanager
def other_i_explained(*, interactive: bool) -> Iterator[None]:
    """When the command fails under `-i`, advise what `-i` means here: hyperfine's would count such a run."""
    try:
        yield
    except WorkloadError as error:
        if not interactive or "--ignore-failure" not in error.hint:
            raise
        error.hint += " (not -i, which asks before each scheduler is attached)"
        raise


def at_terminal(stream: TextIO) -> bool:
    """Return whether somebody can read the stream and answer."""
    return sys.stdin.isatty() and stream.isatty()


def asker(stream: TextIO) -> Ask | None:
    """Return a function that asks at the terminal; None when there is none."""
    if not at_terminal(stream):
        return None

    def ask(text: str) -> str:
        from autotune.report.text import printable

        return _answer(stream, printable(text))

    return ask


def consent(stream: TextIO, *, replace_current: bool, asks: bool = True) -> Consent:
    """Return the user's consent: `--replace-current`, or a yes at the terminal where that `asks`."""

    def consents(other: Other) -> bool:
        from autotune.lease import replacing

        return replacing.consent(other, replace_current=replace_current, ask=asker(stream) if asks else None)

    return consents


def approver(
    stream: TextIO, paused: Callable[[], AbstractContextManager[None]], parse: Callable[[str], Candidate]
) -> Approver:
    """Return the approver of `-i`; `paused` hides the moving view during a question, `parse` reads changed knobs."""
    from autotune.views.prompts import Approver

    def ask(text: str) -> str:
        try:
            return _answer(stream, text)
        except OSError as error:  # the terminal is gone
            raise EOFError from error

    return Approver(ask, paused, parse)


def _answer(stream: TextIO, text: str) -> str:
    stream.write(text)
    stream.flush()
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line
