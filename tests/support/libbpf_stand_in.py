# SPDX-License-Identifier: MIT
"""Stands for libbpf and for the kernel behind it, over a sysfs tree."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from autotune.errors import UsageError
from autotune.records import AttachSpec, KnobValue, SchedulerExit

SPEC = AttachSpec("at_test", "/objects/at_test.o", {"slice_us": 7})
UNREGISTERED = SchedulerExit(64, 0, "unregistered from user space", "")
STALLED = SchedulerExit(1026, 0, "runnable task stall", "make[7] failed to run for 2.0s")


class Machine:
    """A kernel as its sysfs tree, a log of what was done to it, and one object that can be attached to it."""

    def __init__(self, top: Path) -> None:
        self.tree = top / "sched_ext"
        self.tree.mkdir()
        self.log: list[str] = []
        self.seq = 0
        self.ops = "at_test"
        self.record: SchedulerExit | None = None
        self.on_load: Callable[[], None] = lambda: None
        self.on_attach: Callable[[], None] = self.enable
        self.on_detach: Callable[[], None] = self.disable
        self.disable()

    def enable(self, ops: str = "at_test", *, moves: bool = True) -> None:
        self.seq += moves
        (self.tree / "root").mkdir(exist_ok=True)
        (self.tree / "root" / "ops").write_text(ops)
        (self.tree / "enable_seq").write_text(str(self.seq))
        (self.tree / "state").write_text("enabled")

    def disable(self) -> None:
        (self.tree / "root" / "ops").unlink(missing_ok=True)
        (self.tree / "enable_seq").write_text(str(self.seq))
        (self.tree / "state").write_text("disabled")

    # what the holder asks of libbpf and its objects

    def open(self, path: str, _sha256: str | None = None) -> Machine:
        self.log.append(f"open {path}")
        return self

    def ops_name(self) -> str:
        return self.ops

    def set_knob(self, name: str, value: KnobValue) -> None:
        if name not in ("slice_us", "partial"):
            raise UsageError(f"no knob '{name}'")
        self.log.append(f"set {name}={value}")

    def set_partial(self) -> None:
        self.log.append("set_partial")

    def load(self) -> None:
        self.log.append("load")
        self.on_load()

    def attach(self) -> None:
        self.log.append("attach")
        self.on_attach()

    def detach(self) -> None:
        self.log.append("detach")
        self.on_detach()

    def exit_record(self) -> SchedulerExit | None:
        return self.record

    def close(self) -> None:
        self.log.append("close")
        if "attach" in self.log and "detach" not in self.log:
            self.on_detach()
