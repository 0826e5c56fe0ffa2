# SPDX-License-Identifier: MIT
"""Gate 4 in other shapes: a short load on one CPU and on several, at both ends of the knobs, in partial mode, with
expectations of its tasks, with a clock far ahead, and beside another process 1.

A scheduler may behave in the machine that proves it and hang another. No set of machines and settings proves that it
does not; these are the ones that differ most, at a few seconds each. Shapes of one machine share its boot. A machine
that dies or hangs in a shape is booted again once.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, NamedTuple

from autotune.errors import MachineLost, RunnerLost
from autotune.frozen import dataclass
from autotune.records import AttachSpec, GuideSpec, KnobValue
from autotune.verify.behaviour import gate
from autotune.verify.behaviour.gate import Patience, Progress, Reference
from autotune.verify.findings import Finding, GateReport
from autotune.verify.inside import VM

VM_LOST = "vm-lost"
LEAST_CPUS, MOST_CPUS = 4, 8
"""CPUs of the machine with several: as many as here, within these; each of them costs time under emulation."""
USUAL_PROCESS_1 = "systemd"
PATIENCE = Patience(tries=1)
"""A VM that is lost is booted again here, not there."""
PARTIAL = "partial"
Ends = Mapping[str, tuple[int | bool, int | bool]]
"""The lowest and the highest value of each knob."""


@dataclass(frozen=True)
class MachineShape:
    """A micro-VM to boot. `process_1` is the name of its first process; empty: a shell's."""

    cpus: int
    process_1: str = ""


class Shape(NamedTuple):
    """A machine, and how the scheduler is set on it. `loads` are those of `loads.SHORT`."""

    name: str
    machine: MachineShape
    settings: Mapping[str, KnobValue] = {}
    loads: tuple[str, ...] = ("mixed",)
    expects: bool = False
    """With a guide beside it, which tells it what to expect of tasks (`at_expected.h`)."""


Boot = Callable[[MachineShape], AbstractContextManager[VM]]

USUAL = MachineShape(2)
"""The machine of the long loads."""


def several_cpus() -> int:
    return min(max(LEAST_CPUS, os.cpu_count() or 1), MOST_CPUS)


def shapes(ends: Ends, *, can_be_partial: bool, can_expect: bool = False) -> list[Shape]:
    """Return the shapes of a scheduler with these knobs, those of a machine together. All knobs are set to their ends
    at once: each of them alone would need two loads of its own."""
    several = MachineShape(several_cpus(), USUAL_PROCESS_1)
    cpus = f"{several.cpus} CPUs"
    found = [Shape("partial mode", USUAL, {PARTIAL: True})] if can_be_partial else []
    found += [Shape("tasks of which something is expected", USUAL, expects=True)] if can_expect else []
    for machine, suffix in ((USUAL, ""), (several, f", {cpus}")):
        for side, words in ((0, "lowest"), (1, "highest")):
            settings = {name: pair[side] for name, pair in ends.items()}
            if settings:
                found.append(Shape(f"knobs at their {words}{suffix}", machine, settings))
    found.append(Shape(cpus, several, loads=("mixed", "later")))
    return [*found, Shape("1 CPU", MachineShape(1))]


def check(
    spec: AttachSpec,
    wanted: Sequence[Shape],
    boot: Boot,
    *,
    progress: Progress,
    libbpf: str,
    patience: Patience = PATIENCE,
    guide: GuideSpec | None = None,
) -> tuple[list[Finding], dict[str, Any], str]:
    """Run the shapes one after another, until one fails. `boot` yields a machine for a block; `guide` is attached in
    shapes that expect something. Returns findings, numbers by shape, and the log of the one that failed. Raises
    MachineLost when a machine is lost twice under EEVDF, and AutotuneError when the gate itself cannot work."""
    numbers: dict[str, Any] = {}
    left, again = list(wanted), False
    while left:
        machine = left[0].machine
        with boot(machine) as vm:
            while left and left[0].machine == machine:
                shape = left[0]
                started = time.monotonic()
                try:
                    report = _check(_shaped(spec, shape, guide), shape, vm, progress, libbpf, patience)
                except (MachineLost, RunnerLost):  # under EEVDF
                    if again:
                        raise
                    report = None
                if report is None or (not again and _is_lost(report)):
                    again = True
                    break
                numbers[shape.name] = {**_short(report), "took_s": round(time.monotonic() - started, 1)}
                if not report.passed:
                    return [_named(finding, shape) for finding in report.findings], numbers, report.log
                del left[0]
                again = False
    return [], numbers, ""


def _shaped(spec: AttachSpec, shape: Shape, guide: GuideSpec | None) -> AttachSpec:
    return replace(
        spec,
        rodata={**spec.rodata, **shape.settings},
        partial=shape.settings.get(PARTIAL) is True,
        guide=guide if shape.expects else None,
    )


def _check(spec: AttachSpec, shape: Shape, vm: VM, progress: Progress, libbpf: str, patience: Patience) -> GateReport:
    progress(f"in another shape: {shape.name}")
    # No number of EEVDF's is needed unless there is doubt: then it is measured beside the scheduler's.
    unknown = Reference({name: {} for name in shape.loads}, vm.generation)
    return gate.check(
        spec,
        vm,
        reference=unknown,
        declared_unfair=True,
        progress=progress,
        libbpf=libbpf,
        only=shape.loads,
        patience=patience,
    )


def _is_lost(report: GateReport) -> bool:
    return any(finding.rule == VM_LOST for finding in report.findings)


def _named(finding: Finding, shape: Shape) -> Finding:
    settings = ", ".join(f"{name}={value}" for name, value in shape.settings.items())
    shown = f"{shape.name} ({settings})" if settings else shape.name
    return replace(finding, message=f"in the shape '{shown}' {finding.message}")


def _short(report: GateReport) -> dict[str, Any]:
    """Return the numbers of a shape: the longest wait of each load, or why it was skipped."""
    found = {}
    for name, both in report.numbers.get("loads", {}).items():
        ours = both["scheduler"]
        found[name] = ours.get("skipped") or {
            "longest_wait_s": max((task["longest_wait_s"] for task in ours["tasks"]), default=0.0),
            **({"clock_ahead_s": ours["clock_ahead_s"]} if "clock_ahead_s" in ours else {}),
        }
    return found
