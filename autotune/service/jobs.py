# SPDX-License-Identifier: MIT
"""The queue on disk: one file a job, written whole, so that it survives SIGKILL of the service at any moment.

What always holds here:
- a job that was accepted is there after a restart, in its place;
- a job that ran when the service died is not run again: it may be the reason;
- what a finished job leaves is small: its environment and its arguments, which may have secrets, are removed as it
  ends. What it printed was redacted by its own session.

Standard library only.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import field, replace
from pathlib import Path
from typing import Literal, TypeAlias

from autotune import durable, reading
from autotune.errors import BusyError, UsageError
from autotune.frozen import dataclass
from autotune.records import Identity
from autotune.wire import from_json, to_json

JobState: TypeAlias = Literal["queued", "running", "finished", "failed", "cancelled", "interrupted"]
MOST_WAITING = 256
"""Jobs that wait, of all users together."""
MOST_WAITING_OF_ONE = 32
MOST_ENDED = 200
"""Ended jobs that are remembered; the oldest are forgotten first."""
MOST_LOG_BYTES = 256 << 10
RESTARTED = "the daemon ended while it ran"
_CUT = b"\n[the rest is not kept]\n"
_MOST_FILE_BYTES = 8 << 20


@dataclass(frozen=True)
class Job:
    """One session that somebody submitted. Times are Unix times."""

    id: int
    owner: Identity
    """The user it runs as."""
    user: str
    """Name of the owner, for people."""
    command: str
    """The command that is tuned, for people: redacted by who submitted it."""
    words: tuple[str, ...]
    """Arguments of `autotune cc`."""
    cwd: str
    report: str
    """Where the session writes its report, as its owner."""
    env: dict[str, str] = field(default_factory=dict)
    state: JobState = "queued"
    submitted_at: float = 0.0
    started_at: float | None = None
    ended_at: float | None = None
    exit_code: int | None = None
    why: str = ""
    """Why it did not finish."""

    @property
    def is_over(self) -> bool:
        return self.state not in ("queued", "running")


class JobQueue:
    """All jobs, in memory and on disk. Whatever changes is on disk before the method returns; it raises OSError when
    that fails, and nothing has changed then."""

    def __init__(self, directory: Path, now: Callable[[], float] = time.time) -> None:
        self._directory = directory
        self._now = now
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        durable.sweep(directory)
        self.damaged: list[str] = []
        """Files that could not be read; they are left as they are."""
        self._jobs = {job.id: job for job in self._read()}
        for job in self.all():
            if job.state == "running":
                self.end(job.id, "interrupted", why=RESTARTED)

    # --- reading ---

    def all(self) -> list[Job]:
        """Return every job, in the order of submission."""
        return [self._jobs[number] for number in sorted(self._jobs)]

    def get(self, number: int) -> Job:
        """Return a job. Raises UsageError when there is none of this number."""
        if number not in self._jobs:
            raise UsageError(f"there is no job {number}", hint="'autotune status' lists them", stage="daemon")
        return self._jobs[number]

    def waiting(self) -> list[Job]:
        return [job for job in self.all() if job.state == "queued"]

    # --- changing ---

    def submit(self, job: Job) -> Job:
        """Add a job with the next number. Raises BusyError when there are too many."""
        waiting = self.waiting()
        if len(waiting) >= MOST_WAITING:
            raise BusyError(f"{MOST_WAITING} jobs wait already", hint="submit it later", stage="daemon")
        if sum(one.owner.uid == job.owner.uid for one in waiting) >= MOST_WAITING_OF_ONE:
            raise BusyError(
                f"{MOST_WAITING_OF_ONE} of your jobs wait already",
                hint="'autotune cancel ID' removes one",
                stage="daemon",
            )
        number = max([self._last(), *self._jobs]) + 1
        return self._put(replace(job, id=number, state="queued", submitted_at=self._now()))

    def start(self, number: int) -> Job:
        return self._put(replace(self.get(number), state="running", started_at=self._now()))

    def end(self, number: int, state: JobState, *, exit_code: int | None = None, why: str = "") -> Job:
        """Note how a job ended, and forget the oldest that ended."""
        job = replace(_ended(self.get(number)), state=state, ended_at=self._now(), exit_code=exit_code, why=why)
        self._put(job)
        self._forget_oldest()
        return job

    def forget(self, number: int) -> None:
        """Note in memory alone that a job ended, where the disk takes nothing: it must not begin again."""
        self._jobs[number] = replace(_ended(self.get(number)), state="failed", ended_at=self._now())

    def _forget_oldest(self) -> None:
        over = [job for job in self.all() if job.is_over]
        for job in over[: max(0, len(over) - MOST_ENDED)]:
            del self._jobs[job.id]
            for path in (self._file(job.id), self.log_path(job.id)):
                with contextlib.suppress(OSError):
                    path.unlink()

    # --- logs ---

    def log_path(self, number: int) -> Path:
        return self._directory / f"{number}.log"

    def log(self, number: int) -> bytes:
        """Return what a job has printed, as far as it is kept."""
        try:
            return reading.data(self.log_path(number), follow=False)
        except OSError:
            return b""

    def add_to_log(self, number: int, data: bytes) -> None:
        """Keep what a job prints, up to a bound. A full disk costs the rest of the log and nothing else."""
        path = self.log_path(number)
        with contextlib.suppress(OSError), open(path, "ab", opener=_private) as file:
            left = MOST_LOG_BYTES - file.tell()
            if left > 0:
                file.write(data if len(data) <= left else data[:left] + _CUT)

    # --- files ---

    def _file(self, number: int) -> Path:
        return self._directory / f"{number}.json"

    def _put(self, job: Job) -> Job:
        durable.replace(self._file(job.id), json.dumps(to_json(job)).encode())
        self._jobs[job.id] = job
        return job

    def _last(self) -> int:
        """Return the highest number of any file, also of one that could not be read."""
        return max((int(path.stem) for path in self._numbered()), default=0)

    def _read(self) -> Iterator[Job]:
        for path in self._numbered():
            try:
                job = reading.record(lambda data: from_json(Job, data), path, most_bytes=_MOST_FILE_BYTES, follow=False)
                if job.id != int(path.stem):
                    raise ValueError("it has the number of another job")
            except (OSError, ValueError) as error:
                self.damaged.append(f"{path}: {error}")
            else:
                yield job

    def _numbered(self) -> list[Path]:
        found = [path for path in self._directory.glob("*.json") if path.stem.isdecimal()]
        return sorted(found, key=lambda path: int(path.stem))


def _ended(job: Job) -> Job:
    """Return a job without what only its start needed."""
    return replace(job, env={}, words=())


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
