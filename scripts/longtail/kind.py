# SPDX-License-Identifier: MIT
"""A kind of batch: the files that its jobs read, and the command of a job."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import ClassVar

WORK = "work"
"""Directory of what the jobs write, inside the batch's own; each run starts with it empty."""
NICENESS = "niceness"
"""Shell variable of the start script: the niceness of the long job, empty for none of its own."""


@dataclass(frozen=True)
class Job:
    """One process of a batch. `units` is the length of its input: 1 for a short one."""

    name: str
    units: float
    is_long: bool


class Kind:
    """What the eight have in common. All paths are relative to the batch's directory, where it is run."""

    name: ClassVar[str]
    summary: ClassVar[str]
    tools: ClassVar[tuple[str, ...]]
    """Programs that must be there to make and to run it."""
    start_up: ClassVar[float]
    """Share of a short job's CPU time that does not grow with its input, in the micro-VM: starting the program."""

    def short_name(self, number: int) -> str:
        """Return the name of a short job, of the `number`th from 1."""
        raise NotImplementedError

    long_name: ClassVar[str]
    has_output: ClassVar[bool] = True
    """Its standard output is its result, and goes into a file."""

    def shared(self, directory: Path) -> None:
        """Write what all jobs need: a program, a query."""

    def write(self, directory: Path, job: Job, rng: Random) -> None:
        """Write the input of a job."""
        raise NotImplementedError

    def argv(self, job: Job) -> list[str]:
        """Return the command of a job."""
        raise NotImplementedError

    def ready(self, jobs: Sequence[Job]) -> str:
        """Return a shell command that makes what a run needs in the empty work directory, or ''."""
        del jobs
        return ""

    def start(self, jobs: Sequence[Job]) -> str:
        """Return the shell script that starts all jobs in this order and waits for them. It fails when one does."""
        lines = [f'{self._line(job)} & pids="$pids $!"' for job in jobs]
        return "\n".join(["trap 'kill $pids 2>/dev/null; exit 143' HUP INT TERM", "pids=", *lines, WAIT])

    def _line(self, job: Job) -> str:
        nicer = f'${{{NICENESS}:+nice -n "${NICENESS}"}} ' if job.is_long else ""
        to = f" > {WORK}/{shlex.quote(job.name)}.out" if self.has_output else ""
        return nicer + shlex.join(self.argv(job)) + to


WAIT = """failed=0
for one in $pids; do wait "$one" || failed=1; done
exit $failed"""
