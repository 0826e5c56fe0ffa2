# SPDX-License-Identifier: MIT
"""Gate 4 in its other shapes, in real kernels: a scheduler that stalls in one shape only is stopped in that shape. One
that hangs a machine for good is in test_gate_hang. Gate 1 stops some of these by their text, so gate 4 gets the objects
directly. A stall is one on a busy machine too: only the one that passes must be alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from autotune.machine.vm.kernels import Kernel
from autotune.machine.vm.resilient import ResilientVM
from autotune.records import AttachSpec
from autotune.schedext import build
from autotune.verify import gates
from autotune.verify.behaviour import expected, shapes
from autotune.verify.behaviour.shapes import PATIENCE, MachineShape, Shape
from autotune.verify.findings import Finding
from tests.support.guest import REPOSITORY

pytestmark = [pytest.mark.vm, pytest.mark.slow]

BPF = Path(__file__).parents[1] / "bpf"
ENDS = {"eagerness": (2, 8), "slice_us": (2500, 10000)}
ALL = shapes.shapes(ENDS, can_be_partial=True, can_expect=True)
SEVERAL = next(shape for shape in ALL if shape.loads == ("mixed", "later"))
EXPECTING = next(shape for shape in ALL if shape.expects)
FAULTS = {
    1: SEVERAL.name,
    2: "1 CPU",
    3: "knobs at their highest",
    4: f"knobs at their lowest, {SEVERAL.name}",
    5: "partial mode",
    6: SEVERAL.name,
    7: SEVERAL.name,
    8: SEVERAL.name,
    9: EXPECTING.name,
}
"""The faults of at_shape_bomb.bpf.c, and a shape in which each shows itself."""
ONE_LOOK = replace(PATIENCE, more_looks=0)

Machines = Callable[[MachineShape], ResilientVM]


def named(name: str) -> Shape:
    return next(shape for shape in ALL if shape.name == name)


@pytest.fixture(scope="module")
def machines(kernel: Kernel) -> Iterator[Machines]:
    """Micro-VMs of the shapes, each booted once."""
    booted: dict[MachineShape, ResilientVM] = {}

    def machine(wanted: MachineShape) -> ResilientVM:
        if wanted not in booted:
            booted[wanted] = ResilientVM(lambda: gates.booted(kernel, REPOSITORY, wanted), print)
        return booted[wanted]

    yield machine
    for vm in booted.values():
        vm.close()


def spec(kernel: Kernel, source: Path, **settings: int) -> AttachSpec:
    built = build.build(source, headers=kernel.headers)
    return AttachSpec(source.name.removesuffix(".bpf.c"), str(built.object_path), dict(settings))


def checked(
    kernel: Kernel, machines: Machines, wanted: list[Shape], fault: int
) -> tuple[list[Finding], dict[str, Any]]:
    @contextmanager
    def boot(machine: MachineShape) -> Iterator[ResilientVM]:
        yield machines(machine)

    bomb = spec(kernel, BPF / "at_shape_bomb.bpf.c", fault=fault)
    patience = ONE_LOOK if fault else PATIENCE
    findings, numbers, _ = shapes.check(
        bomb,
        wanted,
        boot,
        progress=print,
        libbpf=str(kernel.libbpf),
        patience=patience,
        guide=build.guide(expected.expectations(), headers=kernel.headers),
    )
    return findings, numbers


@pytest.mark.alone
def test_one_that_is_well_behaved_passes_all_shapes_and_its_clock_was_ahead(kernel: Kernel, machines: Machines) -> None:
    findings, numbers = checked(kernel, machines, ALL, 0)
    assert findings == []
    assert set(numbers) == {shape.name for shape in ALL}
    assert numbers[SEVERAL.name]["later"]["clock_ahead_s"] >= 50 * 86400


@pytest.mark.parametrize(("fault", "shape"), FAULTS.items())
def test_a_stall_in_one_shape_only_is_found_in_that_shape(
    kernel: Kernel, machines: Machines, fault: int, shape: str
) -> None:
    findings, _ = checked(kernel, machines, [named(shape)], fault)
    assert {"starved", "pinned-stuck", "ejected"} & {finding.rule for finding in findings}, findings
    assert all(f"in the shape '{shape}" in finding.message for finding in findings)
    if fault in (6, 7):  # by the clock set ahead; on a slow machine their time comes by itself before that
        assert any(f"under load '{load}'" in findings[0].message for load in ("later", "mixed"))
    assert machines(named(shape).machine).state().state == "disabled"
