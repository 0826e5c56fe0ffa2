# SPDX-License-Identifier: MIT
"""The scheduling policy of the command: a scheduler in partial mode has the tasks that ask for SCHED_EXT alone."""

from __future__ import annotations

import os

SCHED_EXT = 7
"""From <linux/sched.h>; Python has no name for it."""


def ask_for_sched_ext() -> str:
    """Ask for SCHED_EXT for this process and all that it starts; while nothing is attached, the kernel treats it like
    the ordinary policy. Return why that is not possible, as a clause; empty when it was done."""
    if os.sched_getscheduler(0) != os.SCHED_OTHER:
        return "it was started under a scheduling policy of its own"
    try:
        os.sched_setscheduler(0, SCHED_EXT, os.sched_param(0))
    except OSError as error:
        return f"it cannot ask for SCHED_EXT: {error.strerror}"
    return ""
