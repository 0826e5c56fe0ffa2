# SPDX-License-Identifier: MIT
"""A sched_ext sysfs tree that changes as the kernel's would, and a probe that is late on request."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from autotune.canary import Look, Wake
from autotune.records import Attachment, Detachment, SchedulerExit
from autotune.schedext.kernel import read_state

OPS = "at_test"
QUIET = Look(100, 0.001, 0.002, 0.1)
UNREGISTERED = SchedulerExit(64, 0, "unregistered from user space", "")
STALLED = SchedulerExit(1026, 0, "runnable task stall", "make[7] failed to run for 2.0s")
SYSRQ = SchedulerExit(67, 0, "disabled by sysrq-S", "")


class Kernel:
    """A sysfs tree, and what attaching and detaching do to it. `log` is the order of events."""

    def __init__(self, top: Path, gone: SchedulerExit | None = UNREGISTERED) -> None:
        self.sysfs = top
        self.gone = gone
        self.log: list[str] = []
        self.seq = 4
        self.hang_s = 0.0
        self.stubborn = False
        (top / "root").mkdir()
        self.show("disabled")

    def show(self, state: str, ops: str = "") -> None:
        (self.sysfs / "root" / "ops").write_text(ops)
        (self.sysfs / "enable_seq").write_text(str(self.seq))
        (self.sysfs / "state").write_text(state)

    def attach(self, partial: bool) -> Attachment:
        self.log.append("attach partial" if partial else "attach whole")
        before = read_state(self.sysfs)
        self.seq += 1
        self.show("enabled", OPS)
        return Attachment(OPS, before, read_state(self.sysfs), 0.0)

    def detach(self) -> Detachment:
        self.log.append("detach")
        time.sleep(self.hang_s)
        if not self.stubborn:
            self.show("disabled")
        return Detachment(read_state(self.sysfs), 0.0, self.gone)

    def last_resort(self, ops: str, _sysfs: Path) -> bool:
        self.log.append(f"last resort {ops}")
        self.show("disabled")
        return True


class ScriptedProbe:
    """Wakes in time every 20 ms, until a test makes it late: then its wake-up does not come."""

    def __init__(self, stuck: threading.Event) -> None:
        self._stuck = stuck
        self._due_s: float | None = None
        self.cpu_s = 0.0

    @property
    def due_s(self) -> float | None:
        if not self._stuck.is_set():
            self._due_s = time.monotonic() + 0.02
        return self._due_s

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def take(self) -> list[Wake]:
        now_s = time.monotonic()
        return [] if self._stuck.is_set() else [Wake(now_s - 0.01 * number, 0.001) for number in range(5)]


def later(seconds: float, what: Callable[[], object]) -> None:
    threading.Timer(seconds, what).start()
