# SPDX-License-Identifier: MIT
"""Finds out whether this machine has more work than its CPUs can do, before a session adds its own.

What others do while a workload is measured is noise, and too much of it hides every difference. What they do during
each run is measured with the run (`measure.surroundings`).
"""

from __future__ import annotations

import time
from pathlib import Path

from autotune.frozen import dataclass
from autotune.measure import surroundings
from autotune.records import Surroundings
from autotune.report.sentences import BUSY, SLOWED
from autotune.report.text import counted

PROC, CPUS = Path(surroundings.PROC), Path(surroundings.CPUS)
MOST_WAITING = 0.25
"""Share of the time in which tasks waited for a CPU (PSI, last 10 s)."""
MOST_STOLEN = 0.05
"""Share of CPU time that the hypervisor gave to others."""
LEAST_USED = 0.25
"""With a smaller share of the CPUs in use, a high load average is left over from work that has ended."""
LEAST_CAP = 0.99
WATCHED_S = 0.25


@dataclass(frozen=True)
class MachineBefore:
    """The machine before the session: a sentence on what keeps it busy, None when there is room; and how many CPUs
    others used."""

    warning: str | None = None
    others_cpus: float = 0.0


def watch(proc: Path = PROC, cpus: Path = CPUS, watched_s: float = WATCHED_S) -> MachineBefore:
    """Watch the machine for a moment. What the kernel does not show is no reason for a warning."""
    before = surroundings.read(proc=str(proc), cpus=str(cpus))
    time.sleep(watched_s)
    seen = surroundings.between(before, surroundings.read(proc=str(proc), cpus=str(cpus)))
    others = seen.others_s / seen.elapsed_s if seen.others_s is not None and seen.elapsed_s > 0 else None
    busy = [fact for fact in (_load(seen, others, proc), _waiting(proc), _stolen(seen)) if fact]
    slow = [fact for fact in (_hot(seen), _capped(seen)) if fact]
    return MachineBefore(_sentence(busy, slow), others or 0.0)


def _sentence(busy: list[str], slow: list[str]) -> str | None:
    if busy:
        return f"{BUSY}: {', '.join(busy + slow)}; results will be noisy, so stop other work or give a larger --budget."
    if slow:
        return f"{SLOWED}: {', '.join(slow)}; results may change with it, so compare numbers only within one table."
    return None


def _load(seen: Surroundings, others: float | None, proc: Path) -> str | None:
    try:
        load = float((proc / "loadavg").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return None
    is_over = others is not None and others < LEAST_USED * seen.cpus  # it lags: that of the session before this one
    return f"load {load:.1f} on {counted(seen.cpus, 'CPU')}" if load > seen.cpus and not is_over else None


def _waiting(proc: Path) -> str | None:
    try:
        first = (proc / "pressure" / "cpu").read_text().split()[:2]
        share = float(first[1].removeprefix("avg10=")) / 100
    except (OSError, ValueError, IndexError):
        return None
    return f"tasks waited for a CPU {share:.0%} of the last 10 s" if share > MOST_WAITING else None


def _stolen(seen: Surroundings) -> str | None:
    if seen.stolen_s is None or not seen.elapsed_s:
        return None
    share = seen.stolen_s / (seen.elapsed_s * seen.cpus)
    return f"{share:.0%} of CPU time went to other virtual machines" if share > MOST_STOLEN else None


def _hot(seen: Surroundings) -> str | None:
    return "CPUs are too hot and slowed down" if seen.throttled else None


def _capped(seen: Surroundings) -> str | None:
    cap = seen.frequency_cap
    return f"CPUs are capped at {cap:.0%} of their frequency" if cap is not None and cap < LEAST_CAP else None
