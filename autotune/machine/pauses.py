# SPDX-License-Identifier: MIT
"""Notices that a machine stood still during a run: it slept, or its program was stopped. Standard library only.

No scheduler and no command is to blame then, and the time that was measured means nothing: the run is repeated. A clock
that was set is no pause: everything is measured with the monotonic clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from autotune.process import LOOK_EVERY_S

LEAST_SLEEP_S = 0.05
"""Shorter sleeps are not told from the two clocks' own differences."""


class PauseWatch:
    """Watches from its creation on. `is_stopped` tells whether the program that is the machine is stopped now; None
    when there is none, on a host."""

    def __init__(self, is_stopped: Callable[[], bool] | None = None) -> None:
        self._is_stopped = is_stopped
        self._slept_before_s = _slept_s()
        self.stopped_s = 0.0

    def look(self) -> None:
        """Look once; to be called every LOOK_EVERY_S."""
        if self._is_stopped is not None and self._is_stopped():
            self.stopped_s += LOOK_EVERY_S

    def problem(self) -> str | None:
        """Return what the machine did, None for nothing."""
        slept_s = _slept_s()[0] - self._slept_before_s[1]
        if slept_s > LEAST_SLEEP_S:
            return f"the machine slept for {slept_s:.1f} s during the run"
        if self.stopped_s:
            return f"the micro-VM was stopped for about {self.stopped_s:.0f} s during the run"
        return None


def _slept_s() -> tuple[float, float]:
    """Return how long the machine has slept since it was booted, at least and at most: only one of the two clocks
    counts that (clock_gettime(2)), and this process may lose the CPU between reading them."""
    before_s = time.clock_gettime(time.CLOCK_MONOTONIC)
    with_sleep_s = time.clock_gettime(time.CLOCK_BOOTTIME)
    after_s = time.clock_gettime(time.CLOCK_MONOTONIC)
    return with_sleep_s - after_s, with_sleep_s - before_s
