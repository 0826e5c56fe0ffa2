# SPDX-License-Identifier: MIT
"""Logs of scheduler programs: one file per scheduler in the state directory, with the newest log only.

A log that cannot be written is left out; the session goes on.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from pathlib import Path

from autotune import resources
from autotune.errors import AutotuneError
from autotune.events import AttachFailed, Detached, Event, Listener, Warned
from autotune.records import Output
from autotune.schedext.holding.last_words import plain
from autotune.secrecy import redacted
from autotune.views import exports


def directory() -> Path:
    return resources.state_dir() / "logs"


class SchedulerLogs:
    """Listens to a session's events and keeps the logs in them. `report` gets a warning with the path of a log that
    explains a failure."""

    def __init__(self, report: Listener) -> None:
        self._report = report

    def __call__(self, event: Event) -> None:
        if isinstance(event, AttachFailed) and event.detail:
            self._keep(event.candidate, f"not attached: {event.reason}", event.detail, explains=True)
        elif isinstance(event, Detached) and event.detachment.log is not None:
            gone = event.detachment.exit
            ending = ", ".join(filter(None, (gone.reason, gone.message))) if gone is not None else "detached"
            failed = gone is not None and gone.is_error
            self._keep(event.candidate, ending, text_of(event.detachment.log), explains=failed)

    def _keep(self, candidate: str, ending: str, log: str, *, explains: bool) -> None:
        path = directory() / f"{file_name(candidate)}.log"
        head = f"# {candidate}, {time.strftime('%Y-%m-%d %H:%M:%S')}: {' '.join(ending.split())}\n"
        with contextlib.suppress(OSError, AutotuneError):
            directory().mkdir(mode=0o700, parents=True, exist_ok=True)
            exports.write(path, redacted(head + plain(log)), "log")
            os.chmod(path, 0o600)
            if explains:
                self._report(Warned(f"{candidate}: its log is in {path}"))


def file_name(candidate: str) -> str:
    """Return the name of the log file: the scheduler's, without settings."""
    return re.sub(r"[^a-z0-9_]+", "-", candidate.removeprefix("custom:").partition(":")[0])


def text_of(log: Output) -> str:
    """Return head and tail as one text, with a note on the gap between them."""
    between = f"\n[{log.omitted_bytes} bytes left out]\n" if log.omitted_bytes else ""
    return f"{log.head}{between}{log.tail}"
