# SPDX-License-Identifier: MIT
"""Record of a conversation: requests, replies, tool calls and their cost, as JSON lines in a file that only the user
can read. Secrets are redacted before anything is written."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import autotune
from autotune import reading, resources
from autotune.errors import UsageError
from autotune.redact import Redactor

FORMAT = 1
MOST_BYTES = 256 << 20
"""Most bytes of a transcript that is read."""


class Transcript:
    """Appends to one file. A full disk or an unwritable directory ends the transcript, not the session; `problem` then
    says why."""

    def __init__(self, redactor: Redactor, directory: Path | None = None) -> None:
        self._redactor = redactor
        self._directory = directory or resources.state_dir() / "transcripts"
        self._fd: int | None = None
        self.path: Path | None = None
        self.problem: str | None = None

    def write(self, kind: str, **fields: Any) -> None:
        """Write one line: kind, time and the fields, redacted."""
        if self.problem is not None:
            return
        try:
            if self._fd is None:
                self._begin()
            self._line({"kind": kind, "at": time.time(), **self._redactor.data(fields)})
        except OSError as error:
            self.problem = f"the transcript cannot be written: {error.strerror}"

    def _begin(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        name = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.jsonl"
        self.path = self._directory / name
        self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._line({"kind": "session", "format": FORMAT, "autotune": autotune.__version__, "at": time.time()})

    def _line(self, entry: dict[str, Any]) -> None:
        assert self._fd is not None
        os.write(self._fd, json.dumps(entry, ensure_ascii=True, default=str).encode() + b"\n")

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def read(path: Path) -> Iterator[dict[str, Any]]:
    """Read the entries of a transcript, without a torn last line. Raises UsageError for a file that is not a
    transcript."""
    try:
        lines = reading.text(path, most_bytes=MOST_BYTES).splitlines()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"{path}: {reason}", hint="give a transcript that a session has written") from None
    for number, line in enumerate(lines, 1):
        try:
            entry = reading.parsed_json(line)
            known = isinstance(entry, dict) and isinstance(entry.get("kind"), str)
        except ValueError:
            known = False
        if not known and number == len(lines):
            return
        if not known or (number == 1 and (entry["kind"], entry.get("format")) != ("session", FORMAT)):
            raise UsageError(
                f"{path} is not a transcript (line {number})", hint="give a transcript that a session has written"
            )
        yield entry
