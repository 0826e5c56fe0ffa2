# SPDX-License-Identifier: MIT
"""Finds out whether this machine has more work than its CPUs can do, before a session adds its own.

What others do while a workload is measured is noise, and too much of it hides every difference.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from autotune.report.documents import BUSY
from autotune.report.text import counted

PROC = Path("/proc")
MOST_WAITING = 0.25
"""Share of the time in which tasks waited for a CPU (PSI, last 10 s)."""
MOST_STOLEN = 0.05
"""Share of CPU time that the hypervisor gave to others."""
STEAL_WATCHED_S = 0.25


def warning(cpus: int, proc: Path = PROC, watched_s: float = STEAL_WATCHED_S) -> str | None:
    """Return a sentence on what keeps the CPUs busy, with advice; None when there is room. What the kernel does not
    show is no reason."""
    facts = [fact for fact in (_load(cpus, proc), _waiting(proc), _stolen(proc, watched_s)) if fact]
    if not facts:
        return None
    return f"{BUSY}: {', '.join(facts)}; results will be noisy, so stop other work or give a larger --budget."


def host_warning() -> str | None:
    """Return the sentence about this host."""
    return warning(len(os.sched_getaffinity(0)))


def _load(cpus: int, proc: Path) -> str | None:
    try:
        load = float((proc / "loadavg").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return None
    return f"load {load:.1f} on {counted(cpus, 'CPU')}" if load > cpus else None


def _waiting(proc: Path) -> str | None:
    try:
        first = (proc / "pressure" / "cpu").read_text().split()[:2]
        share = float(first[1].removeprefix("avg10=")) / 100
    except (OSError, ValueError, IndexError):
        return None
    return f"tasks waited for a CPU {share:.0%} of the last 10 s" if share > MOST_WAITING else None


def _stolen(proc: Path, watched_s: float) -> str | None:
    before = _cpu_times(proc)
    if before is None:
        return None
    time.sleep(watched_s)
    after = _cpu_times(proc)
    if after is None or after[1] <= before[1]:
        return None
    share = (after[0] - before[0]) / (after[1] - before[1])
    return f"{share:.0%} of CPU time went to other virtual machines" if share > MOST_STOLEN else None


def _cpu_times(proc: Path) -> tuple[int, int] | None:
    """Return the ticks stolen so far and all ticks; None where none was ever stolen or the kernel does not say."""
    try:
        fields = [int(field) for field in (proc / "stat").read_text().splitlines()[0].split()[1:9]]
    except (OSError, ValueError, IndexError):
        return None
    return (fields[7], sum(fields)) if len(fields) == 8 and fields[7] else None
