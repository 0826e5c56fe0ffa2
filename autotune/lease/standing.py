# SPDX-License-Identifier: MIT
"""What is attached on this host now, by whom, and since when."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from autotune.frozen import dataclass
from autotune.lease import applied, others, owners
from autotune.schedext import kernel

_STAT = Path("/proc/stat")


@dataclass(frozen=True)
class HostScheduler:
    """The scheduler of this host's kernel."""

    state: str
    """As the kernel says; `unsupported` where it has no sched_ext."""
    ops: str | None = None
    """Name of what is attached; None for the kernel's own scheduler."""
    candidate: str | None = None
    """What 'autotune apply' keeps attached; None when that was not it."""
    by: str = ""
    """Who attached it, as a clause that begins with its name."""
    pid: int | None = None
    """The process that keeps it; None when it was not found."""
    since: float | None = None
    """Unix time at which it was attached, or where that is not known at which its process began; None for neither."""
    partial: bool = False
    """Only tasks that ask for it are scheduled by it."""


def standing() -> HostScheduler:
    """Return what is attached now. Raises what looking for its owner raises."""
    state = kernel.read_state()
    other = others.look()
    if other is None:
        return HostScheduler(state.state if state.state == kernel.UNSUPPORTED else "disabled")
    ours = applied.current()
    is_ours = ours is not None and ours.ops == other.ops
    pid = ours.pid if ours is not None and is_ours else other.pid
    return HostScheduler(
        state="enabled",
        ops=other.ops,
        candidate=ours.candidate if ours is not None and is_ours else None,
        by=f"{other.ops}, by 'autotune apply' (process {pid})" if is_ours else other.sentence,
        pid=pid,
        since=ours.since if ours is not None and is_ours else _began(pid),
        partial=state.switch_all is False,
    )


def _began(pid: int | None) -> float | None:
    """Return the Unix time at which a process began."""
    found = owners.process(pid) if pid is not None else None
    booted = _booted()
    return None if found is None or booted is None else booted + found.started / os.sysconf("SC_CLK_TCK")


def _booted() -> float | None:
    with contextlib.suppress(OSError, ValueError):
        for line in _STAT.read_text().splitlines():
            if line.startswith("btime "):
                return float(line.split()[1])
    return None
