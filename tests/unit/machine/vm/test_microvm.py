# SPDX-License-Identifier: MIT
"""QEMU's command line; what a micro-VM does is in tests/vm/test_microvm and tests/contract/test_machines."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from autotune.machine.vm import microvm
from autotune.machine.vm.account import Account
from autotune.machine.vm.kernels import Kernel
from autotune.records import Acceleration


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(microvm, "find_tool", lambda name, _package: f"/usr/bin/{name}")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")


def command_line(acceleration: Acceleration) -> list[str]:
    kernel = Kernel("6.18", Path("/k/vmlinuz"), Path("/k/modules"), "given")
    options = microvm.VmOptions(2, 1 << 30)
    return microvm.qemu_argv(kernel, options, acceleration, Path("/t/initrd"), Path("/t/console"), Account(kvm=True))


@pytest.mark.usefixtures("programs")
def test_only_an_emulated_kernel_spares_the_guards_against_faults_of_real_cpus() -> None:
    emulated, real = command_line("tcg")[-1].split(), command_line("kvm")[-1].split()
    assert set(emulated) - set(real) == {"mitigations=off", "init_on_alloc=0"}
    assert set(real) <= set(emulated)
    assert "kvm" in command_line("kvm")
    assert "kvm" not in command_line("tcg")
