# SPDX-License-Identifier: MIT
"""Computes how strict each look at growing data must be, so that all looks together risk no more than alpha. Pure.

The risk spent until a share t of the data is in is alpha * t^1.5 (Lan and DeMets, "Discrete sequential boundaries for
clinical trials", Biometrika 70, 1983; the power family of Kim and DeMets, Biometrika 74, 1987). The level of a look
follows from it by the recursion of Armitage, McPherson and Rowe, "Repeated significance tests on accumulating data"
(JRSS A 132, 1969): the sum of independent normal increments, on the paths that no earlier look has ended.
"""

from __future__ import annotations

import bisect
import functools
import itertools
import math
from collections.abc import Sequence
from statistics import NormalDist

SPENDING_POWER = 1.5
"""Exponent of the spending: early looks, where few pairs tell little, get little."""

_NORMAL = NormalDist()
_STEPS = 200
"""Steps of Simpson's rule over a path's density: fine enough for looks that are a fiftieth of the data apart."""
_LOWEST = -6.0
"""Standard deviations below 0 from which on paths do not matter."""
_FAR = 8.5
"""Standard deviations of a step that are never seen: less than 1e-16 of all steps are larger."""
_HALVINGS = 45
"""Of the interval in which a limit lies: to 1e-13 of it."""


@functools.lru_cache(maxsize=4096)
def levels(shares: tuple[float, ...], alpha: float) -> tuple[float, ...]:
    """Return the one-sided level of each look, when `shares` of all pairs are in (rising, the last is 1). Raises
    ValueError for shares that do not rise from above 0 to 1, and for an alpha outside 0 to 1."""
    rising = all(before < after for before, after in itertools.pairwise(shares))
    if not shares or shares[0] <= 0.0 or shares[-1] != 1.0 or not rising or not 0.0 < alpha < 1.0:
        raise ValueError(f"no levels for looks at {shares} with {alpha=}")
    spent = [alpha * share**SPENDING_POWER for share in shares]
    paths = _Paths.at_start()
    found = []
    risks = (after - before for before, after in itertools.pairwise((0.0, *spent)))
    for share, risk in zip(shares, risks, strict=True):
        limit = paths.limit(share, risk)
        found.append(1.0 - _NORMAL.cdf(limit / math.sqrt(share)))
        if share < 1.0:
            paths = paths.below(limit, share)
    return tuple(found)


class _Paths:
    """Density of the sum at one look, over the paths that have not ended: weighted points (Simpson's rule)."""

    def __init__(self, share: float, points: Sequence[float], weights: Sequence[float]) -> None:
        self._share = share
        self._points = points
        self._weights = weights

    @classmethod
    def at_start(cls) -> _Paths:
        return cls(0.0, (0.0,), (1.0,))

    def limit(self, share: float, risk: float) -> float:
        """Return the value that the sum exceeds with probability `risk` when `share` of the data is in."""
        step = math.sqrt(share - self._share)
        low, high = 0.0, 10.0 * math.sqrt(share)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            if self._above(middle, step) > risk:
                low = middle
            else:
                high = middle
        return high

    def below(self, limit: float, share: float) -> _Paths:
        """Return the paths that stay below `limit` when `share` of the data is in."""
        step = math.sqrt(share - self._share)
        lowest = _LOWEST * math.sqrt(share)
        width = (limit - lowest) / _STEPS
        points = [lowest + width * index for index in range(_STEPS + 1)]
        simpson = [1 if index in (0, _STEPS) else 4 if index % 2 else 2 for index in range(_STEPS + 1)]
        weights = [
            factor * width / 3 * self._density(point, step) for point, factor in zip(points, simpson, strict=True)
        ]
        return _Paths(share, points, weights)

    def _above(self, limit: float, step: float) -> float:
        from_here = bisect.bisect_left(self._points, limit - _FAR * step)
        near = zip(self._points[from_here:], self._weights[from_here:], strict=True)
        return math.fsum([weight * _upper_tail((limit - point) / step) for point, weight in near])

    def _density(self, at: float, step: float) -> float:
        scale = 1.0 / (step * math.sqrt(2 * math.pi))
        low = bisect.bisect_left(self._points, at - _FAR * step)
        high = bisect.bisect_right(self._points, at + _FAR * step)
        near = zip(self._points[low:high], self._weights[low:high], strict=True)
        return scale * math.fsum([weight * math.exp(-(((at - point) / step) ** 2) / 2) for point, weight in near])


def _upper_tail(deviations: float) -> float:
    return math.erfc(deviations / math.sqrt(2)) / 2
