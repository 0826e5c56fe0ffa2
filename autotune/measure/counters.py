# SPDX-License-Identifier: MIT
"""Reads counters of the whole machine, and derives from two readings what happened between them.

The measuring helper calls `counters`, which builds no record: importing `records` would double the helper's start-up
time. All others call `snapshot`. Standard library only.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autotune.records import Observation, Run, Snapshot

PROC = "/proc"


def counters(proc: str = PROC) -> dict[str, float | int | None]:
    """Read the fields of `records.Snapshot`. `proc` is where the proc file system is. Raises OSError when `/proc/stat`
    cannot be read; anything else that is missing is None."""
    run_wait_s, timeslices = _schedstat(proc)
    return {
        "at_s": time.monotonic(),
        **_stat(proc),
        "run_wait_s": run_wait_s,
        "timeslices": timeslices,
        "pressure_cpu_s": _pressure(proc, "cpu"),
        "pressure_io_s": _pressure(proc, "io"),
        "pressure_memory_s": _pressure(proc, "memory"),
    }


def snapshot(proc: str = PROC) -> Snapshot:
    """Read the counters of the machine; see `counters`."""
    from autotune.records import Snapshot
    from autotune.wire import from_json  # here, not above: see the module's docstring

    return from_json(Snapshot, counters(proc))


def sample(proc: str = PROC) -> dict[str, object]:
    """Read the fields of `records.Sample`, except the sched_ext state."""
    lines = (line.partition(":") for line in (_read(f"{proc}/meminfo") or "").splitlines())
    memory = {name: int(rest.split()[0]) << 10 for name, _, rest in lines if rest.strip()}
    running = next(
        (line for line in (_read(f"{proc}/stat") or "").splitlines() if line.startswith("procs_running")), ""
    )
    total = memory.get("MemTotal", 0)
    return {
        "counters": snapshot(proc),
        "memory_used_bytes": total - memory.get("MemAvailable", total),
        "memory_total_bytes": total,
        "runnable": int(running.split()[1]) if running else 0,
    }


def _read(path: str) -> str | None:
    try:
        with open(path) as file:
            return file.read()
    except OSError:  # absent, or pressure accounting is switched off at boot
        return None


def _stat(proc: str) -> dict[str, float | int]:
    with open(f"{proc}/stat") as file:
        fields = {name: rest for name, _, rest in (line.partition(" ") for line in file)}
    tick_s = 1 / os.sysconf("SC_CLK_TCK")
    ticks = [int(text) for text in fields["cpu"].split()[:8]]  # the guest time that follows is part of user time
    idle = sum(ticks[3:5])
    return {
        "cpu_busy_s": (sum(ticks) - idle) * tick_s,
        "cpu_total_s": sum(ticks) * tick_s,
        "context_switches": int(fields["ctxt"]),
        "forks": int(fields["processes"]),
    }


def _schedstat(proc: str) -> tuple[float | None, int | None]:
    """Return waiting time in s and number of time slices, all CPUs together."""
    lines = [line.split() for line in (_read(f"{proc}/schedstat") or "").splitlines()]
    cpus = [fields for fields in lines if fields and fields[0].startswith("cpu") and len(fields) >= 10]
    if not cpus:
        return None, None
    return sum(int(fields[8]) for fields in cpus) / 1e9, sum(int(fields[9]) for fields in cpus)


def _pressure(proc: str, resource: str) -> float | None:
    for line in (_read(f"{proc}/pressure/{resource}") or "").splitlines():
        if line.startswith("some "):
            return int(line.rpartition("total=")[2]) / 1e6
    return None


def observe(before: Snapshot, after: Snapshot, run: Run, cpus: int) -> Observation:
    """Derive what the machine (of `cpus` CPUs) did between two snapshots around one run."""
    from autotune.records import Observation

    elapsed_s = after.at_s - before.at_s
    return Observation(
        wall_s=run.wall_s,
        cpu_utilisation=_share(after.cpu_busy_s - before.cpu_busy_s, after.cpu_total_s - before.cpu_total_s),
        parallelism=_rate(run.user_s + run.system_s, run.wall_s),
        run_wait_share=_growth_rate(before.run_wait_s, after.run_wait_s, elapsed_s * cpus),
        pressure_cpu_share=_growth_rate(before.pressure_cpu_s, after.pressure_cpu_s, elapsed_s),
        pressure_io_share=_growth_rate(before.pressure_io_s, after.pressure_io_s, elapsed_s),
        context_switches_per_s=_rate(after.context_switches - before.context_switches, elapsed_s),
        involuntary_share=_share(run.involuntary_switches, run.voluntary_switches + run.involuntary_switches),
        forks_per_s=_rate(after.forks - before.forks, elapsed_s),
        cpus=cpus,
    )


def _rate(amount: float, per: float) -> float:
    return max(0.0, amount) / per if per > 0 else 0.0


def _share(part: float, whole: float) -> float:
    return min(1.0, _rate(part, whole))


def _growth_rate(before: float | None, after: float | None, per: float) -> float | None:
    return None if before is None or after is None else _rate(after - before, per)


def average(observations: Sequence[Observation]) -> Observation:
    """Return the mean of each field; None where no observation has it. Raises ValueError without observations."""
    from autotune.records import Observation

    if not observations:
        raise ValueError("nothing was observed")
    first = observations[0]
    return Observation(
        wall_s=_mean([o.wall_s for o in observations]),
        cpu_utilisation=_mean([o.cpu_utilisation for o in observations]),
        parallelism=_mean([o.parallelism for o in observations]),
        run_wait_share=_mean_known([o.run_wait_share for o in observations]),
        pressure_cpu_share=_mean_known([o.pressure_cpu_share for o in observations]),
        pressure_io_share=_mean_known([o.pressure_io_share for o in observations]),
        context_switches_per_s=_mean([o.context_switches_per_s for o in observations]),
        involuntary_share=_mean([o.involuntary_share for o in observations]),
        forks_per_s=_mean([o.forks_per_s for o in observations]),
        cpus=first.cpus,
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _mean_known(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return _mean(known) if known else None
