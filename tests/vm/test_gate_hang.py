# SPDX-License-Identifier: MIT
"""A micro-VM that hangs in the middle of the last gate, by itself or by the scheduler: a finding within a deadline, and
nothing left of the VM."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace

import psutil
import pytest

from autotune import resources
from autotune.machine.base import Place
from autotune.machine.vm import microvm
from autotune.machine.vm.kernels import Kernel
from autotune.machine.vm.microvm import MicroVM
from autotune.records import AttachSpec, Identity
from autotune.schedext.build import build
from autotune.verify import gates
from autotune.verify.behaviour import gate as behaviour_gate
from autotune.verify.behaviour import shapes
from autotune.verify.behaviour.shapes import PATIENCE, Machine
from tests.support.faulty_schedulers import source
from tests.support.guest import MEMORY_BYTES, REPOSITORY

pytestmark = [pytest.mark.vm, pytest.mark.slow]

LOAD = ("equal_hogs",)
SEVERAL = next(shape for shape in shapes.shapes({}, can_be_partial=True) if shape.loads == ("mixed", "later"))
HANG_MARGIN_S = 15.0
SLACK_S = 60.0
"""For ending a machine while this one is busy."""
STOPPED_S, MARGIN_S = 20.0, 8.0
"""Shorter than for users, in the same order: the loads' time is over before the VM counts as lost, hence it hung."""


def emulators() -> set[int]:
    return {one.pid for one in psutil.Process().children(recursive=True) if "qemu-system" in one.name()}


def test_a_vm_that_hangs_is_a_finding_and_is_ended(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(microvm, "STOPPED_S", STOPPED_S)
    built = build(resources.bpf_source_dir() / "at_fifo.bpf.c", headers=kernel.headers)
    place, before = Place(str(REPOSITORY), False, Identity(0, 0, (0,))), emulators()
    vm = microvm.boot(kernel, place, microvm.VmOptions(2, MEMORY_BYTES), "a test")
    (pid,) = emulators() - before
    try:
        reference = behaviour_gate.reference(vm, print, only=LOAD)
        threading.Timer(2.0, os.kill, (pid, signal.SIGSTOP)).start()
        started = time.monotonic()
        report = behaviour_gate.check(
            AttachSpec("at_fifo", str(built.object_path)),
            vm,
            reference=reference,
            declared_unfair=False,
            progress=print,
            libbpf=str(kernel.libbpf),
            only=LOAD,
            patience=behaviour_gate.Patience(margin_s=MARGIN_S),
        )
        took_s = time.monotonic() - started
    finally:
        vm.close()
    assert [finding.rule for finding in report.findings] == ["vm-lost"]
    assert "the micro-VM hung under load" in report.findings[0].message
    assert took_s < 120
    assert pid not in emulators()


def test_one_that_hangs_a_machine_of_several_cpus_for_good_is_refused_in_bounded_time(kernel: Kernel) -> None:
    """The example of the security review: nested loops that run on more than two CPUs only. The second boot is for a
    machine that was lost by the emulator's fault."""
    boots: list[Machine] = []

    @contextmanager
    def boot(machine: Machine) -> Iterator[MicroVM]:
        boots.append(machine)
        with closing(gates.booted(kernel, REPOSITORY, machine, run_margin_s=HANG_MARGIN_S)) as vm:
            yield vm

    lockup = AttachSpec("lockup", str(build(source("lockup"), headers=kernel.headers).object_path))
    patience = replace(PATIENCE, margin_s=HANG_MARGIN_S)
    findings, numbers, _ = shapes.check(
        lockup, [SEVERAL], boot, progress=print, libbpf=str(kernel.libbpf), patience=patience
    )
    assert [finding.rule for finding in findings] == ["vm-lost"]
    assert f"in the shape '{SEVERAL.name}' the micro-VM hung" in findings[0].message
    assert boots == [SEVERAL.machine] * 2
    loads_s = len(SEVERAL.loads) * behaviour_gate.SECONDS * 1.5
    assert numbers[SEVERAL.name]["took_s"] < loads_s + 2 * HANG_MARGIN_S + SLACK_S
