# SPDX-License-Identifier: MIT
"""Energy of the CPU packages, by the kernel's powercap counters (RAPL). Standard library only.

Only root may read them since Linux 5.10 (CVE-2020-8694), and a virtual machine has none. Whatever is missing or odd
makes the energy unknown, never an error.
"""

from __future__ import annotations

import os

POWERCAP = "/sys/class/powercap"
MOST_W = 1000.0
"""No package takes more. A counter that may have wrapped more than once in a run says nothing."""


def read(powercap: str = POWERCAP) -> dict[str, tuple[int, int]]:
    """Return each package's counter and its range, in microjoules, by zone; empty where they cannot be read."""
    try:
        zones = [zone for zone in os.listdir(powercap) if zone.count(":") == 1]
        packages = [zone for zone in zones if _text(powercap, zone, "name").startswith("package")]
        return {zone: (_number(powercap, zone, "energy_uj"), _range(powercap, zone)) for zone in packages}
    except (OSError, ValueError):
        return {}


def spent_j(before: dict[str, tuple[int, int]], after: dict[str, tuple[int, int]], elapsed_s: float) -> float | None:
    """Return the energy between two readings in joules, with one wrap of a counter allowed for. None where it is not
    known."""
    if not before or before.keys() != after.keys():
        return None
    total = 0
    for zone, (first, width) in before.items():
        if width > 0 and elapsed_s * MOST_W * 1e6 > width:
            return None
        grown = after[zone][0] - first
        if grown < 0:
            grown += width
        if grown < 0:
            return None
        total += grown
    return total / 1e6


def _range(powercap: str, zone: str) -> int:
    """Return the value at which the counter wraps; 0 where it is not known."""
    try:
        return _number(powercap, zone, "max_energy_range_uj")
    except (OSError, ValueError):
        return 0


def _number(powercap: str, zone: str, name: str) -> int:
    return int(_text(powercap, zone, name))


def _text(powercap: str, zone: str, name: str) -> str:
    with open(f"{powercap}/{zone}/{name}") as file:
        return file.read(64).strip()
