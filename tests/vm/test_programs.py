# SPDX-License-Identifier: MIT
"""Schedulers that are programs, in a real kernel: attached, detached, and whatever else a program may do.

`inside/play.py` plays the bad parts, with one of our objects really attached; scx_bpfland and scx_cosmos, built by our
own install command, play the good ones.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace

import pytest

from autotune.errors import AttachError, HolderLost
from autotune.machine.vm.kernels import Kernel
from autotune.machine.vm.resilient import ResilientVM
from autotune.records import AttachSpec, Detachment, Measurement, ProgramSpec, RunSpec
from autotune.schedext.catalogue.catalog import Catalog
from autotune.schedext.resolve import CatalogResolver
from tests.support.guest import INSIDE, guest_env, guest_run

pytestmark = [pytest.mark.vm, pytest.mark.slow]

CATALOG = Catalog.load()


def play(kernel: Kernel, part: str, start_s: float = 30.0) -> AttachSpec:
    spec = CatalogResolver(str(kernel.headers), CATALOG)(CATALOG.parse_candidate("at_fifo"))
    python = os.path.realpath(sys.executable)
    found = os.stat(python)
    argv = (python, "-S", "-E", str(INSIDE / "play.py"), part, spec.object_path, str(kernel.libbpf))
    return AttachSpec(ops="at_fifo", program=ProgramSpec(argv, found.st_size, found.st_mtime_ns, start_s))


def measured(vm: ResilientVM, spec: AttachSpec, command: str) -> tuple[Measurement, Detachment]:
    vm.attach(spec)
    run = RunSpec(("sh", "-c", command), "/", guest_env(), timeout_s=60.0)
    return vm.measure(run, spec.ops), vm.detach()


def nothing_is_left(vm: ResilientVM) -> bool:
    return vm.state().state == "disabled" and guest_run(vm, "pgrep", "-f", "play[.]py").exit_code == 1


def test_one_that_behaves_is_attached_and_stops_when_asked(vm: ResilientVM, kernel: Kernel) -> None:
    measurement, detachment = measured(vm, play(kernel, "good"), "true")
    assert measurement.evidence.problem is None
    assert detachment.note == ""
    assert detachment.log is not None
    assert "good is attached" in detachment.log.head
    assert nothing_is_left(vm)


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("crashes", "ended with exit code 1 before it was attached: no luck today: the bottom (os error 22)"),
        ("never-attaches", "was not attached, and did nothing for 10 s"),
        ("forks-away", "went to the background (ended with exit code 0): it must stay in the foreground"),
    ],
)
def test_one_that_never_attaches_says_why_and_leaves_nothing(
    vm: ResilientVM, kernel: Kernel, part: str, said: str
) -> None:
    with pytest.raises(AttachError) as error:
        vm.attach(play(kernel, part, start_s=120.0))
    assert said in error.value.message
    assert nothing_is_left(vm)


@pytest.mark.parametrize(("part", "number"), [("ignores-sigint", "SIGTERM"), ("ignores-both", "SIGKILL")])
def test_one_that_does_not_listen_is_ended_all_the_same(
    vm: ResilientVM, kernel: Kernel, part: str, number: str
) -> None:
    measurement, detachment = measured(vm, play(kernel, part), "true")
    assert measurement.evidence.problem is None, "its runs were its own nevertheless"
    assert detachment.note == f"it did not stop on SIGINT, and was sent {number}"
    assert nothing_is_left(vm)


def test_one_that_fills_its_log_keeps_running_and_its_log_stays_small(vm: ResilientVM, kernel: Kernel) -> None:
    measurement, detachment = measured(vm, play(kernel, "fills-its-log"), "sleep 1")
    assert measurement.evidence.problem is None
    log = detachment.log
    assert log is not None
    assert log.omitted_bytes > 0
    assert len(log.head) + len(log.tail) <= 1 << 16
    assert "is attached" in log.head
    assert nothing_is_left(vm)


@pytest.mark.parametrize(
    ("part", "ending"), [("ends-by-itself", "exit code 3"), ("exits-zero-by-itself", "exit code 0")]
)
def test_one_that_ends_in_mid_run_makes_the_run_invalid(
    vm: ResilientVM, kernel: Kernel, part: str, ending: str
) -> None:
    measurement, _ = measured(vm, play(kernel, part), "sleep 3")
    assert measurement.evidence.problem == f"left: unregistered from user space (it ended with {ending})"
    assert nothing_is_left(vm)


def test_what_a_program_left_behind_goes_with_it(vm: ResilientVM, kernel: Kernel) -> None:
    measured(vm, play(kernel, "leaves-a-child"), "true")
    assert nothing_is_left(vm)


def test_one_that_was_changed_since_its_options_were_read_is_not_started(vm: ResilientVM, kernel: Kernel) -> None:
    spec = play(kernel, "good")
    assert spec.program is not None
    with pytest.raises(AttachError, match="another file than when its options were read"):
        vm.attach(replace(spec, program=replace(spec.program, mtime_ns=1)))


def test_the_machine_is_free_when_the_holder_is_killed(vm: ResilientVM, kernel: Kernel) -> None:
    """The program dies with its holder: nobody is left to tell it to stop."""
    measurement, _ = measured_until_lost(vm, play(kernel, "ignores-both"))
    assert measurement.evidence.problem is not None
    assert nothing_is_left(vm)


def measured_until_lost(vm: ResilientVM, spec: AttachSpec) -> tuple[Measurement, None]:
    vm.attach(spec)
    command = "kill -9 $(pgrep -f schedext/holding/holder.py); sleep 1"
    measurement = vm.measure(RunSpec(("sh", "-c", command), "/", guest_env(), timeout_s=60.0), spec.ops)
    with pytest.raises(HolderLost):
        vm.detach()
    return measurement, None


# --- the real ones ---


@pytest.mark.built
@pytest.mark.usefixtures("built_schedulers")
@pytest.mark.parametrize("text", ["scx_bpfland", "scx_bpfland:slice_us=20000", "scx_cosmos", "scx_cosmos:slice_us=500"])
def test_real_schedulers_run_with_their_settings(vm: ResilientVM, kernel: Kernel, text: str) -> None:
    spec = CatalogResolver(str(kernel.headers), CATALOG)(CATALOG.parse_candidate(text))
    measurement, detachment = measured(vm, spec, "true")
    assert measurement.evidence.problem is None
    assert measurement.evidence.after.ops is not None
    assert measurement.evidence.after.ops.startswith(f"{spec.ops}_")
    assert detachment.state.state == "disabled"
    assert detachment.exit is not None
    assert detachment.exit.reason == "unregistered from user space"


@pytest.mark.built
@pytest.mark.usefixtures("built_schedulers")
def test_a_cpu_that_goes_and_comes_makes_the_run_of_a_real_one_invalid(vm: ResilientVM, kernel: Kernel) -> None:
    spec = CatalogResolver(str(kernel.headers), CATALOG)(CATALOG.parse_candidate("scx_bpfland"))
    online = "/sys/devices/system/cpu/cpu1/online"
    measurement, _ = measured(vm, spec, f"echo 0 > {online}; sleep 4; echo 1 > {online}; sleep 4")
    problem = measurement.evidence.problem
    assert problem is not None
    # It starts anew; under emulation the kernel may lose patience first.
    assert problem.startswith(("it attached itself again during the run", "left: unregistered", "ejected: runnable"))
    assert vm.state().state == "disabled"


@pytest.mark.built
@pytest.mark.usefixtures("built_schedulers")
def test_a_real_one_that_is_ejected_says_why(vm: ResilientVM, kernel: Kernel) -> None:
    spec = CatalogResolver(str(kernel.headers), CATALOG)(CATALOG.parse_candidate("scx_cosmos"))
    measurement, detachment = measured(vm, spec, "echo S > /proc/sysrq-trigger; sleep 3")
    assert measurement.evidence.problem is not None
    assert "disabled by sysrq-S" in measurement.evidence.problem
    assert detachment.state.state == "disabled"
