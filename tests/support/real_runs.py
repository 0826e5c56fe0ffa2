# SPDX-License-Identifier: MIT
"""A machine that runs real commands by the real measuring helper. Only its kernel is scripted: attaching is an entry in
a log."""

from __future__ import annotations

from dataclasses import replace

from autotune.machine.base import OutputHandler
from autotune.measure.client import Runner
from autotune.records import BASELINE, Measurement, Run, RunSpec
from tests.support.scripted_machine import ScriptedMachine


class RealRuns(ScriptedMachine):
    """Close it: that ends the helper."""

    def __init__(self) -> None:
        super().__init__({BASELINE: 1.0, "at_fifo": 1.0})
        self._runner = Runner()

    def run(self, spec: RunSpec, on_output: OutputHandler | None = None) -> Run:
        self.log.append(spec.argv[-1])
        return self._runner.run(spec, on_output)

    def measure(self, spec: RunSpec, ops: str | None, on_output: OutputHandler | None = None) -> Measurement:
        measured = super().measure(spec, ops)
        return replace(measured, run=self._runner.run(spec, on_output))

    def close(self) -> None:
        super().close()
        self._runner.close()
        self._runner = Runner()  # cleanup comes after the end of a session that failed
