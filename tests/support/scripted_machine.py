# SPDX-License-Identifier: MIT
"""A machine whose times are given, so that what a session claims is known to the digit."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from autotune.errors import AttachError, BusyError, NotAttached
from autotune.machine.base import OutputHandler
from autotune.records import (
    BASELINE,
    Attachment,
    AttachSpec,
    Detachment,
    Evidence,
    KernelState,
    MachineInfo,
    Measurement,
    Output,
    ProbeSpec,
    RawTasks,
    Run,
    RunSpec,
    Sample,
    SchedulerExit,
    Snapshot,
    Watched,
)
from autotune.schedext.evidence import compare
from tests.support.watched_tasks import raw

FREE = KernelState("disabled", None, 1, 0, None)
REFUSED = AttachSpec("refused", "refused.o")
"""What no scripted machine attaches."""
WATCHED = "watched"
"""Key of the faults of a run that is watched."""
NOTHING = Output("", "", 0, 0)


def a_run(wall_s: float, exit_code: int = 0, **more: object) -> Run:
    return Run(wall_s, wall_s, 0.0, 1 << 20, 5, 5, 10, 0, exit_code, None, False, NOTHING, NOTHING, **more)  # type: ignore[arg-type]


@dataclass
class ScriptedMachine:
    """Runs take what `times` says of the attached scheduler, with a little seeded noise; the log keeps the order. A key
    followed by the last word of a command is for that command alone: `at_fifo -j4`."""

    times: dict[str, float]
    faults: dict[str, Callable[[], Run | Exception]] = field(default_factory=dict)
    ejects: frozenset[str] = frozenset()
    log: list[str] = field(default_factory=list)
    attached: str | None = None
    closed: bool = False
    released: bool = False
    generation: int = 0
    headers: str | None = None
    rng: random.Random = field(default_factory=lambda: random.Random(1))
    enabled: int = 1
    """What the kernel counts: how often a scheduler was attached."""
    tasks: RawTasks | Exception = field(default_factory=lambda: raw(()))
    """What a probe sees, or why there is none."""

    @classmethod
    @contextlib.contextmanager
    def opened(cls, times: dict[str, float]) -> Iterator[ScriptedMachine]:
        """A machine as an engine gives it."""
        machine = cls(times)
        try:
            yield machine
        finally:
            machine.close()

    @property
    def info(self) -> MachineInfo:
        return MachineInfo("vm", "a test", "6.18", 2, 1 << 30, "scripted", "tcg")

    def run(self, spec: RunSpec, on_output: OutputHandler | None = None) -> Run:
        del on_output
        self.log.append(spec.argv[-1])
        return a_run(0.0, 1 if "fail" in spec.argv[-1] else 0)

    def measure(self, spec: RunSpec, ops: str | None, on_output: OutputHandler | None = None) -> Measurement:
        del on_output
        key = ops or BASELINE
        self.log.append(f"run {key}")
        alone = f"{key} {spec.argv[-1]}"
        key = alone if alone in self.times or alone in self.faults else key
        fault = self.faults.get(key)
        run = fault() if fault else a_run(self.times[key] * self.rng.gauss(1.0, 0.005))
        if isinstance(run, Exception):
            raise run
        state = self.state()
        problem = "ejected: runnable task stall" if key in self.ejects else compare(ops, state, state)
        counters = Snapshot(0.0, 0.0, 0.0, 0, 0, None, None, None, None, None)
        later = Snapshot(run.wall_s, run.wall_s, 2 * run.wall_s, 100, 10, 0.1, 0.1, 0.0, 0.0, 9)
        return Measurement(run, Evidence(ops, state, state, problem), counters, later)

    def watch(self, spec: RunSpec, probe: ProbeSpec, on_output: OutputHandler | None = None) -> Watched:
        del spec, probe, on_output
        self.log.append("watch" if self.attached is None else f"watch {self.attached}")
        fault = self.faults.get(WATCHED)
        run = fault() if fault else a_run(self.times[self.attached or BASELINE] * 1.03)
        for error in (run, self.tasks):
            if isinstance(error, Exception):
                raise error
        assert isinstance(run, Run)
        assert isinstance(self.tasks, RawTasks)
        return Watched(run, self.tasks)

    def fresh(self) -> None:
        self.log.append("fresh")

    def attach(self, spec: AttachSpec) -> Attachment:
        if spec.ops == REFUSED.ops:
            raise AttachError("refused.o was refused by the kernel: R1 is not a pointer")
        if self.attached is not None:
            raise BusyError(f"{self.attached} is attached already")
        before = self.state()
        self.attached = spec.ops
        self.enabled += 1
        self.log.append(f"attach {spec.ops}")
        return Attachment(spec.ops, before, self.state(), 0.01)

    def detach(self) -> Detachment:
        if self.attached is None:
            raise NotAttached("no scheduler is attached")
        self.log.append(f"detach {self.attached}")
        gone = SchedulerExit(1026, 0, "runnable task stall", "") if self.attached in self.ejects else None
        self.attached = None
        return Detachment(self.state(), 0.01, gone)

    def state(self) -> KernelState:
        if self.attached is None:
            return replace(FREE, enable_seq=self.enabled)
        return KernelState("enabled", self.attached, self.enabled, 0, True)

    def sample(self) -> Sample:
        counters = Snapshot(float(len(self.log)), 1.0, 2.0, 10, 1, 0.1, 0.1, 0.0, 0.0, 9)
        return Sample(counters, 1 << 28, 1 << 30, 2, self.state())

    def release(self) -> None:
        self.released = True
        self.attached = None

    def close(self) -> None:
        self.closed = True
        self.attached = None
