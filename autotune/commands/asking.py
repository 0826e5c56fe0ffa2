# SPDX-License-Identifier: MIT
"""Questions at the terminal: about somebody else's scheduler, and before each switch."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from autotune.lease.other import Other
    from autotune.records import Candidate
    from autotune.session.request import Consent
    from autotune.views.prompts import Approver

Ask = Callable[[str], str]


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


def consent(stream: TextIO, *, replace_current: bool) -> Consent:
    """Return the user's consent: `--replace-current`, or a yes at the terminal."""

    def consents(other: Other) -> bool:
        from autotune.lease import replacing

        return replacing.consent(other, replace_current=replace_current, ask=asker(stream))

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
