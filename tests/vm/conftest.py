# SPDX-License-Identifier: MIT
"""Micro-VMs for the tests: one is booted for a module and shared by its tests.

Host mode is tested inside such a VM, where autotune itself runs as it would on a host whose kernel has sched_ext.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from autotune.machine.base import Place
from autotune.machine.vm import kernels, microvm
from autotune.machine.vm.resilient import ResilientVM
from autotune.records import Identity
from tests.support.guest import MEMORY_BYTES, REPOSITORY


@pytest.fixture(scope="session")
def kernel() -> kernels.Kernel:
    return kernels.find(None)


@pytest.fixture(scope="module")
def vm(kernel: kernels.Kernel) -> Iterator[ResilientVM]:
    place = Place(str(REPOSITORY), False, Identity(0, 0, (0,)))
    options = microvm.VmOptions(2, MEMORY_BYTES)
    machine = ResilientVM(lambda: microvm.boot(kernel, place, options, "a test"), print)
    yield machine
    machine.close()
