# SPDX-License-Identifier: MIT
"""An attached object: confirmed, or taken back; why it was detached, from its record or the kernel's log."""

from __future__ import annotations

import os
import threading
import time
from functools import partial
from typing import Any

import pytest

from autotune.errors import AttachError
from autotune.records import AttachSpec, SchedulerExit
from autotune.schedext import kernel
from autotune.schedext.holding import attached
from autotune.schedext.holding.attached import AttachedObject
from autotune.schedext.holding.holder import Holder
from tests.support.libbpf_stand_in import SPEC, STALLED, Machine


def test_a_scheduler_that_fails_at_once_is_reported_with_its_reason_without_waiting(
    holder: Holder, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attached, "CONFIRM_S", 60.0)

    def fail() -> None:
        machine.record = SchedulerExit(1024, -12, "runtime error", "ops.init() failed (-12)")

    machine.on_attach = fail
    started = time.monotonic()
    with pytest.raises(AttachError, match=r"not confirmed as attached: runtime error: ops.init\(\) failed \(-12\)"):
        holder.attach(SPEC)
    assert time.monotonic() - started < attached.CONFIRM_S
    assert machine.log[-1] == "close"


@pytest.mark.parametrize("shown", ["at_other", "at_test"])
def test_what_is_not_confirmed_is_taken_back(holder: Holder, machine: Machine, shown: str) -> None:
    """Another scheduler's name, or ours with a sequence that did not move."""
    machine.on_attach = lambda: machine.enable(shown, moves=shown == "at_other")
    with pytest.raises(AttachError, match=f"not confirmed as attached: state enabled, ops {shown}"):
        holder.attach(SPEC)
    assert machine.log[-1] == "close"
    assert kernel.read_state(machine.tree).state == "disabled"


def test_an_ejected_scheduler_tells_why_and_detaching_it_is_no_error(holder: Holder, machine: Machine) -> None:
    holder.attach(SPEC)
    machine.record = STALLED
    machine.disable()
    assert holder.exit_record() == STALLED
    assert holder.detach().exit == STALLED
    machine.record = None
    assert holder.attach(SPEC).after.enable_seq == 2


def test_one_that_is_being_ejected_is_waited_for(holder: Holder, machine: Machine) -> None:
    holder.attach(SPEC)
    (machine.tree / "state").write_text("disabling")

    def finish() -> None:
        machine.record = STALLED
        machine.disable()

    later = threading.Timer(0.08, finish)
    later.start()
    assert holder.exit_record() == STALLED
    later.join()


def test_the_kernel_s_log_stands_in_for_a_missing_record(
    holder: Holder, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, writing = os.pipe2(os.O_DIRECT | os.O_NONBLOCK)
    monkeypatch.setattr(attached, "KernelLog", partial(kernel.KernelLog, f"/proc/self/fd/{reading}"))
    holder.attach(SPEC)
    os.write(writing, b'6,1,1,-;sched_ext: BPF scheduler "at_test" disabled (runnable task stall)\n')
    os.write(writing, b"3,2,1,-;sched_ext: at_test: make[7] failed to run for 2.0s\n")
    machine.disable()
    assert holder.exit_record() == STALLED
    assert holder.detach().exit == STALLED
    os.close(reading)
    os.close(writing)


OWN = SchedulerExit(65, 7, "a reason", "SECRET_TOKEN=swordfish")


class Object:
    """An object that keeps an exit record of its own making."""

    def ops_name(self) -> str:
        return "mine"

    def exit_record(self) -> SchedulerExit | None:
        return OWN

    def close(self) -> None: ...


class Library:
    def open(self, _path: str, _sha256: str | None) -> Object:
        return Object()


class Log:
    """A kernel's log that holds what the kernel prints of such an end."""

    def read(self) -> list[str]:
        return ['sched_ext: BPF scheduler "mine" disabled (unregistered from BPF)', f"sched_ext: mine: {OWN.message}"]

    def close(self) -> None: ...


@pytest.mark.parametrize(
    ("generated", "found"), [(False, OWN), (True, SchedulerExit(65, 0, "unregistered from BPF", ""))]
)
def test_a_generated_one_tells_nothing_in_its_own_words(
    monkeypatch: pytest.MonkeyPatch, generated: bool, found: SchedulerExit
) -> None:
    monkeypatch.setattr(attached, "KernelLog", Log)
    scheduler: Any = AttachedObject(AttachSpec("mine", "mine.o", generated=generated), Library())  # type: ignore[arg-type]
    assert scheduler.exit_record() == found
