# SPDX-License-Identifier: MIT
"""Every machine goes through the one suite of promises: the host as it is, the guard around it, one micro-VM by itself
and as it is booted again when lost, and the machine with given times that other tests stand on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from autotune.canary.strikes import Strikes
from autotune.errors import MachineLost
from autotune.machine.base import Machine, Place
from autotune.machine.guarded import GuardedMachine
from autotune.machine.local import LocalMachine, invoking_identity
from autotune.machine.vm import kernels, microvm
from autotune.machine.vm.microvm import MicroVM, VmOptions
from autotune.machine.vm.resilient import ResilientVM
from autotune.records import BASELINE, AttachSpec, Candidate
from autotune.schedext import kernel
from autotune.schedext.resolve import CatalogResolver
from tests.contract.machine_suite import FREE, ClosingSuite, CommandSuite, MachineSuite, Rig
from tests.support.scripted_machine import REFUSED, ScriptedMachine

TIMES = {BASELINE: 1.0, "at_fifo": 0.8, "at_absent": 1.0}
MEMORY_BYTES = 2 << 30


def host(cwd: Path, *, pristine: bool = False) -> LocalMachine:
    place = Place(str(cwd), pristine, invoking_identity())
    return LocalMachine(place, why="a test", libbpf=None, headers=None)


def attached_here() -> bool:
    return kernel.read_state().state not in FREE


@pytest.fixture(scope="class")
def rig(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """The machine of a class, shared by its tests."""
    if request.node.get_closest_marker("vm"):
        ready: Rig = request.cls.set_up(*request.getfixturevalue("one_vm"))
        yield ready  # the VM outlives it
        return
    ready = request.cls.set_up(tmp_path_factory.mktemp("project").resolve())
    yield ready
    ready.machine.close()


@pytest.fixture(scope="module")
def one_vm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[MicroVM, Path]]:
    """The one VM of this file. Its directory is as the guest sees it: as it was at its first look."""
    directory = tmp_path_factory.mktemp("guest").resolve()
    place = Place(str(directory), True, invoking_identity())
    vm = microvm.boot(kernels.find(None), place, VmOptions(2, MEMORY_BYTES), "a test")
    yield vm, directory
    vm.close()


def vm_rig(machine: Machine, vm: MicroVM, directory: Path) -> Rig:
    """What the kernel inside says is read by a command, past the machine's own word."""
    good = CatalogResolver(machine.headers)(Candidate("at_fifo"))

    def attached() -> bool:
        try:
            said = vm.run(ready.spec("cat /sys/kernel/sched_ext/state", cwd="/")).stdout.head.strip()
        except MachineLost:  # it is closed: nothing is there that could be attached
            return False
        return said not in FREE

    ready = Rig(machine, directory, attached, good, pristine=True)
    return ready


class TestScriptedMachine(ClosingSuite, MachineSuite):
    @staticmethod
    def set_up(cwd: Path) -> Rig:
        machine = ScriptedMachine(dict(TIMES))
        return Rig(machine, cwd, lambda: machine.attached is not None, AttachSpec("at_fifo", "x.o"), REFUSED)


class TestGuardedMachine(ClosingSuite, MachineSuite):
    """Around a machine whose schedulers are not generated: the guard stands aside."""

    @staticmethod
    def set_up(cwd: Path) -> Rig:
        machine = ScriptedMachine(dict(TIMES))
        guarded = GuardedMachine(machine, lambda _text: None, Strikes(cwd / "canary.json"))
        return Rig(guarded, cwd, lambda: machine.attached is not None, AttachSpec("at_fifo", "x.o"), REFUSED)


class HostSuite(ClosingSuite, CommandSuite, MachineSuite):
    """This host, whose kernel may have no sched_ext; then what cannot be attached is refused all the same."""


class TestLocalMachine(HostSuite):
    @staticmethod
    def set_up(cwd: Path) -> Rig:
        return Rig(host(cwd), cwd, attached_here)


class TestGuardedHost(HostSuite):
    @staticmethod
    def set_up(cwd: Path) -> Rig:
        return Rig(GuardedMachine(host(cwd), lambda _text: None, Strikes(cwd / "canary.json")), cwd, attached_here)


class TestPristineLocalMachine(HostSuite):
    @staticmethod
    def set_up(cwd: Path) -> Rig:
        return Rig(host(cwd, pristine=True), cwd, attached_here, pristine=True)


@pytest.mark.vm
@pytest.mark.slow
class TestMicroVM(CommandSuite, MachineSuite):
    """Closed below, under the machine that boots it again."""

    @staticmethod
    def set_up(vm: MicroVM, directory: Path) -> Rig:
        return vm_rig(vm, vm, directory)


@pytest.mark.vm
@pytest.mark.slow
class TestResilientVM(ClosingSuite, CommandSuite, MachineSuite):
    @staticmethod
    def set_up(vm: MicroVM, directory: Path) -> Rig:
        return vm_rig(ResilientVM(lambda: vm, print), vm, directory)

    def test_the_closed_machine_says_that_it_is_closed(self, rig: Rig) -> None:
        with pytest.raises(MachineLost, match="has been closed"):
            rig.run("true")


@pytest.mark.skipif(os.path.isdir("/sys/kernel/sched_ext"), reason="this host's kernel has sched_ext")
def test_a_host_without_sched_ext_says_so_when_something_is_to_be_attached(tmp_path: Path) -> None:
    machine = host(tmp_path)
    try:
        with pytest.raises(Exception, match="sched_ext"):
            machine.attach(AttachSpec("at_fifo", str(tmp_path / "x.o")))
    finally:
        machine.close()
