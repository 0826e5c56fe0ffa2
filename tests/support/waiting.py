# SPDX-License-Identifier: MIT
"""Waiting for what another process or thread does when it comes to it."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from autotune.measure import descendants

PATIENCE_S = 60.0
"""So long that only what never happens is missed, on a busy machine too."""


def wait_until(wanted: Callable[[], bool]) -> None:
    """Return once something is so. Fails when it does not become so."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not wanted():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def is_gone(pid: int) -> bool:
    """Return whether a process has ended. A zombie has: what inherits orphans may reap them late or never."""
    return all(process.pid != pid or process.state in "ZX" for process in descendants.processes())


def group_is_gone(group: int) -> bool:
    """Return whether every process of a process group has ended; zombies have."""
    return all(process.group != group or process.state in "ZX" for process in descendants.processes())


@contextlib.contextmanager
def waiting_writer(pipe: Path) -> Iterator[Callable[[], bool]]:
    """Somebody who waits to write into a pipe, which nobody reads; yields whether they still wait. Whoever opens the
    pipe lets them go on."""
    thread = threading.Thread(target=lambda: os.close(os.open(pipe, os.O_WRONLY)), daemon=True)
    thread.start()
    time.sleep(0.05)

    def waits() -> bool:
        thread.join(0.1)
        return thread.is_alive()

    try:
        yield waits
    finally:
        os.close(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK))
        thread.join()
