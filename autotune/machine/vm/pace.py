# SPDX-License-Identifier: MIT
"""Whether the clock inside a micro-VM runs as fast as ours.

An emulated kernel finds out how fast its time stamp counter is by a timer beside it, once, at boot. On a busy machine
that has gone wrong: 294 s passed inside while less than 120 s passed outside. Ratios stay right then, but every time in
seconds is wrong, the kernel's watchdog ejects schedulers too early, and time limits end commands too early. What
happens inside cannot take longer than the request for it, so a clock that is too fast shows itself.
"""

from __future__ import annotations

import time

TOLERANCE = 1.05
"""Clocks that differ by less are not told apart: the kernel itself corrects up to one percent later."""
SLACK_S = 0.5


def now_s() -> float:
    """Return a time of the host that goes on while it sleeps, as the counter of the CPU may."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def problem(inside_s: float, outside_s: float) -> str | None:
    """Return what is wrong when something took `inside_s` by the clock inside, and no longer than `outside_s` by ours;
    None for nothing."""
    if inside_s <= outside_s * TOLERANCE + SLACK_S:
        return None
    return f"its clock is too fast: {outside_s:.1f} s were {inside_s:.1f} s inside"
