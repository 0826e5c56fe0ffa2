# SPDX-License-Identifier: MIT
"""A micro-VM that hangs in the middle of the last gate: a finding within a deadline, and nothing left of the VM."""

from __future__ import annotations

import os
import signal
import threading
import time

import psutil
import pytest

from autotune import resources
from autotune.machine.base import Place
from autotune.machine.vm import microvm
from autotune.machine.vm.kernels import Kernel
from autotune.records import AttachSpec, Identity
from autotune.schedext.build import build
from autotune.verify.behaviour import gate as behaviour_gate
from tests.support.guest import MEMORY_BYTES, REPOSITORY

pytestmark = [pytest.mark.vm, pytest.mark.slow]

LOAD = ("equal_hogs",)


def emulators() -> set[int]:
    return {one.pid for one in psutil.Process().children(recursive=True) if "qemu-system" in one.name()}


def test_a_vm_that_hangs_is_a_finding_and_is_ended(kernel: Kernel) -> None:
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
        )
        took_s = time.monotonic() - started
    finally:
        vm.close()
    assert [finding.rule for finding in report.findings] == ["vm-lost"]
    assert took_s < 120
    assert pid not in emulators()
