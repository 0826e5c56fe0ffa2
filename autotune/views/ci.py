# SPDX-License-Identifier: MIT
"""The view for CI jobs: plain lines, the runs folded away where the service can do that, and annotations.

What services read of a job's output: GitHub lines that begin with `::`, GitLab marks of sections. What comes from the
command, the kernel or a model never begins such a line.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import Literal, TextIO, TypeAlias

from autotune import events
from autotune.records import Session
from autotune.report.sentences import cautions, conclusion
from autotune.views.plain import PlainView

Service: TypeAlias = Literal["github", "gitlab", ""]
"""The CI service whose job this is; empty for any other."""

TITLE = "autotune"
SECTION = "autotune_runs"
_COMMAND = re.compile(r"\s*(::|##\[)")
"""Begins a command to GitHub's runner."""


class CiView(PlainView):
    """Writes a session for the log of a job."""

    def __init__(self, stream: TextIO, service: Service, *, given: Sequence[str] = (), verbose: bool = False) -> None:
        super().__init__(stream, given=given, verbose=verbose)
        self._service = service
        self._folded = False

    def __call__(self, event: events.Event) -> None:
        if isinstance(event, events.Finished):
            self._mark(opens=False)
            super().__call__(event)
            self._annotate(event.session)
            return
        if not self._folded:
            self._mark(opens=True)
        super().__call__(event)

    def _mark(self, *, opens: bool) -> None:
        """Begin or end the part of the log that is folded."""
        if opens == self._folded:
            return
        self._folded = opens
        if self._service == "github":
            self._write_raw(f"::group::{TITLE}: the runs" if opens else "::endgroup::")
        elif self._service == "gitlab":
            start = "start" if opens else "end"
            options, header = ("[collapsed=true]", f"{TITLE}: the runs") if opens else ("", "")
            self._write_raw(f"\x1b[0Ksection_{start}:{int(time.time())}:{SECTION}{options}\r\x1b[0K{header}")

    def _annotate(self, session: Session) -> None:
        """Say the result, and what to read beside it, where GitHub shows it at the top of the job."""
        if self._service != "github":
            return
        self._write_raw(annotation("notice", conclusion(session)))
        for text in cautions(session):
            self._write_raw(annotation("warning", text))

    def _write_all(self, lines: list[str]) -> None:
        super()._write_all([harmless(part) for line in lines for part in line.split("\n")])

    def _write_raw(self, line: str) -> None:
        super()._write_all([line])


def harmless(line: str) -> str:
    """Return a line that GitHub's runner takes for no command."""
    return f"| {line}" if _COMMAND.match(line) else line


def annotation(kind: Literal["notice", "warning", "error"], text: str) -> str:
    """Return the line by which GitHub shows a text at the top of a job. It decodes these three escapes only."""
    escaped = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return f"::{kind} title={TITLE}::{escaped}"
