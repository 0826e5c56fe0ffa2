# SPDX-License-Identifier: MIT
"""What the CPU's own counters say of a run, by `perf stat`: where there is a PMU and the program.

perf starts the command and prints what it counted on standard error, after all that the command printed there. Without
root it counts what ran in user mode; then its names of events end in `:u`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path

from autotune import trust
from autotune.frozen import dataclass
from autotune.records import MachineInfo, Output

EVENTS = ("cycles", "instructions", "cache-references", "cache-misses", "branches", "branch-misses")
"""Counted by every PMU that Linux knows; six at a time fit into most without taking turns."""
DEVICES = Path("/sys/bus/event_source/devices")
USUAL = "/usr/bin/perf"
MISSING = "perf is not installed (package linux-perf)"
NO_PMU = "this CPU shows no counters (PMU)"
_LINE = re.compile(r"^(\d{1,20}(?:\.\d{1,9})?);[^;\n]{0,20};((?:\w+/)?([\w-]+)(?:/\w*|:\w+)?);", re.MULTILINE)
"""Value, unit, and the event: alone, or of one kind of core (`cpu_core/cycles/`)."""


@dataclass(frozen=True)
class CpuCounters:
    """What the CPUs counted during one run, of all its tasks."""

    cycles: float
    instructions: float | None = None
    cache_references: float | None = None
    cache_misses: float | None = None
    branches: float | None = None
    branch_misses: float | None = None

    @property
    def instructions_a_cycle(self) -> float | None:
        return _ratio(self.instructions, self.cycles)

    @property
    def cache_miss_share(self) -> float | None:
        """Share of the accesses to the last-level cache that missed it."""
        return _ratio(self.cache_misses, self.cache_references)

    @property
    def branch_miss_share(self) -> float | None:
        """Share of the branches that were mispredicted."""
        return _ratio(self.branch_misses, self.branches)


def _ratio(part: float | None, whole: float | None) -> float | None:
    return None if part is None or not whole else part / whole


def why_absent(machine: MachineInfo, devices: Path = DEVICES) -> str:
    """Return why this tier is absent on a machine; empty where a run may show it."""
    if machine.acceleration == "tcg":
        return "an emulated CPU has no counters (PMU)"
    if machine.kind == "host" and not any(one.name.startswith(("cpu", "armv8")) for one in _devices(devices)):
        return NO_PMU  # a hybrid CPU has cpu_core and cpu_atom
    return "" if trust.find_program("perf") else MISSING


def _devices(place: Path) -> list[Path]:
    try:
        return list(place.iterdir())
    except OSError:
        return []


def counting(argv: tuple[str, ...]) -> tuple[str, ...]:
    """Return the command that runs another one and counts.

    Its exit status is that of the other one, unless that ends at once: perf's handler of SIGCHLD forgets the child, and
    perf ends with 0. So nothing may be concluded from the 0.
    """
    return (trust.find_program("perf") or USUAL, "stat", "-x", ";", "-e", ",".join(EVENTS), "--", *argv)


def counted(stderr: Output) -> CpuCounters | str:
    """Return what perf printed at the end of standard error; why there is nothing where it counted no cycles."""
    text = stderr.tail or stderr.head
    lines = {line[2]: (line[3], float(line[1])) for line in _LINE.finditer(text)}  # the last of a name is perf's own
    found = {event: math.fsum(value for one, value in lines.values() if one == event) for event, _ in lines.values()}
    if not found.get("cycles"):
        return NO_PMU if "<not supported>" in text else "perf stat counted nothing"
    return CpuCounters(**{_field(name): found[name] for name in EVENTS if name in found})


def _field(event: str) -> str:
    return event.replace("-", "_")


def as_json(counters: CpuCounters) -> Mapping[str, float | None]:
    """Return the counters as values for JSON."""
    return {_field(name): getattr(counters, _field(name)) for name in EVENTS}
