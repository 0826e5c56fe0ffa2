# SPDX-License-Identifier: MIT
"""Cold starts: the first run of each candidate is its slowest by far, as when caches or JITs warm up. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

BY_FAR = 0.03
"""Share by which the typical first run is above the slowest later one. Noise alone makes one first run so slow, but
hardly all of them."""

_FEW = 3
"""Up to so many candidates, chance alone makes each one's first run its slowest too often: it must stand out more."""

_RANGES = 2.0
"""How far it must then stand out, in ranges of the later runs."""


def cold_round(costs: Sequence[Mapping[int, float]], first: int) -> bool:
    """Return whether round `first` was a cold start for every candidate: its slowest run of all, typically by far.
    `costs` are each candidate's run times by round; two later ones are needed of each."""
    excess: list[float] = []
    for by_round in costs:
        later = [cost for number, cost in by_round.items() if number > first]
        if first not in by_round or len(later) < 2:
            return False
        above = by_round[first] - max(later)
        if above <= 0.0 or (len(costs) <= _FEW and above <= _RANGES * (max(later) - min(later))):
            return False
        excess.append(above / max(later))
    return bool(excess) and statistics.median(excess) > BY_FAR
