# SPDX-License-Identifier: MIT
"""What a run costs the rest of the machine: a bystander's wake-up latency, and energy. Standard library only.

The bystander is a thread of this process that wakes every `PERIOD_S`, as a shell or an editor would: an ordinary task
beside the workload, scheduled by whatever schedules the machine. It costs 0.1 to 0.4 % of one CPU
(tests/unit/measure/test_bystander.py measures it), under EEVDF and under candidates alike.
"""

from __future__ import annotations

import math
import time

from autotune.measure import energy
from autotune.measure.wakeups import Wake, WakeProbe
from autotune.records import SideEffects

PERIOD_S = 0.05
"""Pause between two wake-ups. A run of a second has 20, and rounds add up."""
LEAST_WAKES = 3
"""Fewer wake-ups say nothing about a run."""


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
        wakes, due_s = self._probe.take(), self._probe.due_s
        if due_s is not None and now_s > due_s:  # it should have woken by now
            wakes.append(Wake(now_s, now_s - due_s))
        cpu_s = self._probe.cpu_so_far_s()
        self._probe.stop(wait=False)
        late_s = math.fsum(wake.late_s for wake in wakes) / len(wakes) if len(wakes) >= LEAST_WAKES else None
        return SideEffects(late_s, len(wakes), cpu_s, spent_j)
