# SPDX-License-Identifier: MIT
"""A machine whose commands run for real, on this host, whatever its kernel can do."""

from __future__ import annotations

from autotune.machine.base import OutputHandler, Place
from autotune.machine.executor import Executor
from autotune.records import Measurement, Run, RunSpec
from tests.support.scripted_machine import ScriptedMachine


class Hands(ScriptedMachine):
    """Commands run for real, through an Executor; only the switching of schedulers is played."""

    def __init__(self, place: Place) -> None:
        super().__init__({})
        self.executor = Executor(place)

    def run(self, spec: RunSpec, on_output: OutputHandler | None = None) -> Run:
        return self.executor.run(spec, on_output)

    def measure(self, spec: RunSpec, ops: str | None, on_output: OutputHandler | None = None) -> Measurement:
        del ops
        return self.executor.measure(spec, None, on_output)

    def fresh(self) -> None:
        self.executor.fresh()

    def close(self) -> None:
        self.attached = None
        self.executor.close()

    @property
    def helper(self) -> int:
        runner = self.executor._runner
        assert runner is not None
        return runner.pid
