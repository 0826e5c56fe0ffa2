# SPDX-License-Identifier: MIT
"""Reads what a run cannot have caused: CPU time of processes that are not the session's, CPU time that the hypervisor
gave to others, CPUs slowed down by heat or by a cap on their frequency. Standard library only.

What always holds here: whatever descends from this process is the session's own: the workload, what `--setup` and
`--prepare` left running, the program of a scheduler, the micro-VM. So are kernel threads, as far as they are visible,
since they work for whoever asks. Pressure (PSI) is not looked at: the workload is part of it.

CPU time counts on the CPUs that this process may use. It is the machine's, from `/proc/stat`, less the session's own:
in a container, that also shows neighbours whose processes are not visible.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import field, replace

from autotune.frozen import dataclass
from autotune.records import Surroundings

PROC = "/proc"
CPUS = "/sys/devices/system/cpu"
_KTHREADD = 2
_THROTTLE_COUNTS = ("core_throttle_count", "package_throttle_count")


@dataclass(frozen=True)
class Reading:
    """Counters at one moment. None is what cannot be read."""

    at_s: float
    used_s: float | None = None
    """CPU time of all processes, without interrupts."""
    stolen_s: float | None = None
    own_s: float | None = None
    """CPU time of the session and of kernel threads; None when it was not looked for."""
    throttled: int | None = None
    cap: float | None = None
    """Lowest cap on a CPU's frequency, as a share of its highest one."""
    cpus: frozenset[int] = field(default_factory=frozenset)


def read(*, processes: bool = True, proc: str = PROC, cpus: str = CPUS) -> Reading:
    """Read the counters. Without `processes`, only what the hypervisor took is known: cheap."""
    allowed = frozenset(os.sched_getaffinity(0))
    own_s = own_cpu_s(os.getpid(), proc) if processes else None
    used_s, stolen_s = _machine(allowed, proc)
    if not processes:
        return Reading(time.monotonic(), used_s, stolen_s, cpus=allowed)
    return Reading(time.monotonic(), used_s, stolen_s, own_s, _throttled(allowed, cpus), _cap(allowed, cpus), allowed)


def between(before: Reading, after: Reading) -> Surroundings:
    """Return what happened between two readings."""
    used_s = _grown(before.used_s, after.used_s)
    own_s = _grown(before.own_s, after.own_s)
    throttled = _grown(before.throttled, after.throttled)
    caps = [one.cap for one in (before, after) if one.cap is not None]
    return Surroundings(
        elapsed_s=max(0.0, after.at_s - before.at_s),
        cpus=len(after.cpus),
        others_s=None if used_s is None or own_s is None else max(0.0, used_s - own_s),
        stolen_s=_grown(before.stolen_s, after.stolen_s),
        throttled=None if throttled is None else int(throttled),
        frequency_cap=min(caps, default=None),
    )


def with_guest(host: Surroundings, guest: Surroundings | None) -> Surroundings:
    """Return what happened around a run in a micro-VM: on the host, and what the host kept from the micro-VM."""
    stolen = [one.stolen_s for one in (host, guest) if one is not None and one.stolen_s is not None]
    return replace(host, stolen_s=sum(stolen) if stolen else None)


def _grown(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else max(0.0, after - before)


# --- CPU time --------------------------------------------------------------------------------------------


def _machine(allowed: frozenset[int], proc: str) -> tuple[float | None, float | None]:
    """Return CPU time used by processes and CPU time stolen, on these CPUs."""
    names = {f"cpu{number}" for number in allowed}
    tick_s = 1 / os.sysconf("SC_CLK_TCK")
    used = stolen = 0
    found = False
    try:
        with open(f"{proc}/stat") as file:
            for line in file:
                name, *fields = line.split()
                if name in names and len(fields) >= 8:
                    found = True
                    used += sum(int(one) for one in fields[:3])
                    stolen += int(fields[7])
    except (OSError, ValueError):
        return None, None
    return (used * tick_s, stolen * tick_s) if found else (None, None)


def own_cpu_s(root: int, proc: str = PROC) -> float | None:
    """Return the CPU time of a process, of its descendants, of those of them that were waited for, and of kernel
    threads; None when /proc cannot be read."""
    try:
        pids = [name for name in os.listdir(proc) if name.isdigit()]
    except OSError:
        return None
    parents: dict[int, int] = {}
    ticks: dict[int, int] = {}
    for name in pids:
        with contextlib.suppress(OSError, ValueError, IndexError):
            with open(f"{proc}/{name}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split(None, 16)
            parents[int(name)] = int(fields[1])
            ticks[int(name)] = sum(int(one) for one in fields[11:15])
    own = _descendants(parents, root) | {pid for pid, parent in parents.items() if _KTHREADD in (pid, parent)}
    return sum(ticks[pid] for pid in own if pid in ticks) / os.sysconf("SC_CLK_TCK")


def _descendants(parents: dict[int, int], root: int) -> set[int]:
    children: dict[int, list[int]] = {}
    for pid, parent in parents.items():
        children.setdefault(parent, []).append(pid)
    found: set[int] = set()
    waiting = [root]
    while waiting:
        pid = waiting.pop()
        found.add(pid)
        waiting += children.get(pid, ())
    return found


# --- heat and frequency ----------------------------------------------------------------------------------


def _throttled(allowed: Iterable[int], cpus: str) -> int | None:
    """Return how often these CPUs were slowed down since they were too hot."""
    counts = [
        count
        for number in allowed
        for name in _THROTTLE_COUNTS
        if (count := _number(f"{cpus}/cpu{number}/thermal_throttle/{name}")) is not None
    ]
    return sum(counts) if counts else None


def _cap(allowed: Iterable[int], cpus: str) -> float | None:
    shares: Sequence[float] = [share for number in allowed if (share := _cap_of(f"{cpus}/cpu{number}/cpufreq"))]
    return min(shares, default=None)


def _cap_of(place: str) -> float | None:
    highest, cap = _number(f"{place}/cpuinfo_max_freq"), _number(f"{place}/scaling_max_freq")
    return cap / highest if highest and cap else None


def _number(path: str) -> int | None:
    try:
        with open(path) as file:
            return int(file.read(32))
    except (OSError, ValueError):
        return None
