# SPDX-License-Identifier: MIT
"""Measures what a run costs the rest of the machine: a bystander's wake-up latency, and energy. Standard library only.

The bystander is a thread of this process that wakes every `PERIOD_S`, as a shell or an editor would: an ordinary task
beside the workload, scheduled by whatever schedules the machine. It costs 0.1 to 0.4 % of one CPU
(tests/unit/measure/test_bystander.py measures it), under EEVDF and under candidates alike.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

from autotune.measure import energy
from autotune.measure.wakeups import WakeProbe
from autotune.records import SideEffects

PERIOD_S = 0.05
"""Pause between two wake-ups. A run of a second has 20, and rounds add up."""
LEAST_WAKES = 3
"""A run with room for fewer says nothing."""


class Bystander:
    """Measures one run: `begin` before it, `end` after it. Without `probe`, only the energy."""

    def __init__(self, *, probe: bool, powercap: str = energy.POWERCAP) -> None:
        self._probe = WakeProbe(partial=False, period_s=PERIOD_S) if probe else None
        self._powercap = powercap
        self._energy: dict[str, tuple[int, int]] = {}
        self._began_s = 0.0

    def begin(self) -> None:
        if self._probe is not None:
            self._probe.start()
        self._energy, self._began_s = energy.read(self._powercap), time.monotonic()

    def end(self) -> SideEffects:
        """Return what was measured. The probe ends by itself with its next wake-up."""
        now_s = time.monotonic()
        spent_j = energy.spent_j(self._energy, energy.read(self._powercap), now_s - self._began_s)
        if self._probe is None:
            return SideEffects(energy_j=spent_j)
        late_s = [wake.late_s for wake in self._probe.take()] + overdue(self._probe.due_s, now_s)
        cpu_s = self._probe.cpu_so_far_s()
        self._probe.stop(wait=False)
        return SideEffects(typical(late_s, now_s - self._began_s), len(late_s), cpu_s, spent_j)


def overdue(due_s: float | None, now_s: float) -> list[float]:
    """Return how late a wake-up is that should have come by now: a bystander that starves does not wake at all."""
    return [] if due_s is None or now_s <= due_s else [now_s - due_s]


def typical(late_s: Sequence[float], elapsed_s: float) -> float | None:
    """Return the mean lateness; None for a run that was too short for `LEAST_WAKES` wake-ups in time."""
    if elapsed_s < LEAST_WAKES * PERIOD_S or not late_s:
        return None
    return math.fsum(late_s) / len(late_s)
