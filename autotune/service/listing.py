# SPDX-License-Identifier: MIT
"""What clients see of a job: its owner all of it, others who waits since when. Standard library only."""

from __future__ import annotations

from typing import Any

from autotune.records import Identity
from autotune.service.jobs import Job

_OWN = ("id", "user", "command", "cwd", "report", "state", "submitted_at", "started_at", "ended_at", "exit_code", "why")
_ALL = ("id", "user", "state", "submitted_at", "started_at", "ended_at")
"""A command line may say what others must not read."""


def details(job: Job, ahead: int) -> dict[str, Any]:
    """Return what its owner sees. `ahead`: how many run or wait before it."""
    return {**{name: getattr(job, name) for name in _OWN}, "ahead": 0 if job.is_over else ahead}


def line(job: Job, to: Identity) -> dict[str, Any]:
    """Return what somebody sees of it in the list."""
    names = _OWN if to.uid in (0, job.owner.uid) else _ALL
    return {name: getattr(job, name) for name in names}
