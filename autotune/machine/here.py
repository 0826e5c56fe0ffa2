# SPDX-License-Identifier: MIT
"""This machine as the knowledge store compares it. Imported by what must start within milliseconds."""

from __future__ import annotations

import os

from autotune.knowledge.best import Whereabouts
from autotune.machine.traits import cpu_model, topology


def whereabouts(*, with_topology: bool = True) -> Whereabouts:
    """Return this machine as a host. Its topology takes a file per cache and CPU, so it may be left out: then it is not
    compared."""
    return Whereabouts(
        where="host",
        acceleration="none",
        kernel=os.uname().release,
        cpus=len(os.sched_getaffinity(0)),
        cpu_model=cpu_model(),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        topology=topology() if with_topology else "",
    )
