# SPDX-License-Identifier: MIT
"""Detects traits of this machine that schedulers may need: several caches or nodes, unlike cores, siblings, CPU
settings. Read from sysfs. Standard library only, since it also runs inside the micro-VM.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

UNLIKE = 0.85
"""Cores differ in type when the slowest reaches at most this share of the fastest: makers also rank cores of one type
by a few per cent."""


def traits(sysfs: str = "/sys/devices/system") -> tuple[str, ...]:
    """Return those of `schedext.catalogue.knobs.Trait` that this machine has, in that order. What the kernel does not
    show counts as absent."""
    cpus = _cpus(sysfs)
    found = {
        "several_llcs": len(_last_level_caches(cpus)) > 1,
        "numa": sum(1 for name in _nodes(sysfs) if _word(f"{sysfs}/node/{name}/cpulist"))
        > 1,  # a node may have memory alone
        "core_types": _core_types(sysfs, cpus),
        "smt": any(_several(_word(f"{cpu}/topology/thread_siblings_list")) for cpu in cpus),
        "schedutil": any(_word(f"{cpu}/cpufreq/scaling_governor") == "schedutil" for cpu in cpus),
        "nohz_full": any(character.isdigit() for character in _word(f"{sysfs}/cpu/nohz_full")),
    }
    return tuple(name for name, holds in found.items() if holds)


def _cpus(sysfs: str) -> list[str]:
    """Return the directory of each CPU."""
    return [f"{sysfs}/cpu/{name}" for name in _names(f"{sysfs}/cpu") if name[:3] == "cpu" and name[3:].isdigit()]


def _last_level_caches(cpus: Iterable[str]) -> set[str]:
    """Return each cache by the list of CPUs that share it."""
    caches = set()
    for cpu in cpus:
        levels = [(_word(f"{cpu}/cache/{index}/level"), index) for index in _names(f"{cpu}/cache")]
        numbered = [(int(level), index) for level, index in levels if level.isdigit()]
        if numbered:
            caches.add(_word(f"{cpu}/cache/{max(numbered)[1]}/shared_cpu_list"))
    return caches - {""}


def _nodes(sysfs: str) -> list[str]:
    return [name for name in _names(f"{sysfs}/node") if name[:4] == "node" and name[4:].isdigit()]


def _core_types(sysfs: str, cpus: Iterable[str]) -> bool:
    if len(_names(f"{sysfs}/cpu/types")) > 1:
        return True
    places = list(cpus)
    return any(
        _differ(_word(f"{cpu}/{measure}") for cpu in places)
        for measure in ("cpu_capacity", "cpufreq/cpuinfo_max_freq", "acpi_cppc/highest_perf")
    )


def _differ(words: Iterable[str]) -> bool:
    speeds = [int(word) for word in words if word.isdigit()]
    return bool(speeds) and min(speeds) <= UNLIKE * max(speeds)


def _several(cpu_list: str) -> bool:
    return "," in cpu_list or "-" in cpu_list


def topology(sysfs: str = "/sys/devices/system") -> str:
    """Describe what the CPUs share: `1 socket, 4 cores, 8 threads, 1 last-level cache, 1 NUMA node`. Empty where the
    kernel does not show it."""
    cpus = _cpus(sysfs)
    cores = {(_word(f"{cpu}/topology/physical_package_id"), _word(f"{cpu}/topology/core_id")) for cpu in cpus}
    sockets = {socket for socket, _ in cores}
    if not cpus or sockets == {""}:
        return ""
    counted = (
        (len(sockets - {""}), "socket"),
        (len(cores), "core"),
        (len(cpus), "thread"),
        (len(_last_level_caches(cpus)), "last-level cache"),
        (len(_nodes(sysfs)), "NUMA node"),
    )
    return ", ".join(f"{number} {name}{'' if number == 1 else 's'}" for number, name in counted if number)


_MODEL = (b"model name", b"Processor", b"cpu model")
_ENOUGH_BYTES = 4096
"""Of /proc/cpuinfo: its first CPU is enough, and the kernel takes time for each."""


def cpu_model(cpuinfo: str = "/proc/cpuinfo") -> str:
    """Return the name of the first CPU; the machine's architecture where the kernel shows none."""
    try:
        with open(cpuinfo, "rb", buffering=0) as file:
            lines = file.read(_ENOUGH_BYTES).splitlines()
    except OSError:
        lines = []
    for line in lines:
        name, _, value = line.partition(b":")
        if name.strip() in _MODEL and value.strip():
            return value.strip().decode(errors="replace")
    return os.uname().machine


def _names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except OSError:
        return []


def _word(path: str) -> str:
    try:
        with open(path) as file:
            return file.read().strip()
    except (OSError, ValueError):
        return ""
