# SPDX-License-Identifier: MIT
"""The watch, step by step, and its breaker."""

from __future__ import annotations

import time

import pytest

from autotune.canary import Breach, Breaker, Look, Senses, Wake, Watch
from autotune.schedext.kernel import eject
from tests.support.sysfs_kernel import OPS, QUIET, Kernel, ScriptedProbe

# --- the watch, step by step -----------------------------------------------------------------------------


class SetProbe(ScriptedProbe):
    """Due and woken as the test sets it."""

    def __init__(self) -> None:
        self.set_due_s: float | None = None
        self.woken: list[Wake] = []
        self.cpu_s = 0.0

    @property
    def due_s(self) -> float | None:
        return self.set_due_s

    def take(self) -> list[Wake]:
        taken, self.woken = self.woken, []
        return taken


def stepped(kernel: Kernel, *, partial: bool = True) -> tuple[Watch, SetProbe]:
    probe = SetProbe()
    senses = Senses(sysfs=kernel.sysfs, probe=lambda _partial, _period_s: probe, now=lambda: 100.0)
    return Watch(OPS, QUIET, None, partial=partial, senses=senses), probe


def test_what_was_late_while_it_was_being_attached_does_not_count_against_it(kernel: Kernel) -> None:
    watch, probe = stepped(kernel)
    probe.set_due_s = 99.0
    assert watch.step(100.0) is None  # not attached yet, and a second late
    kernel.attach(False)
    assert watch.step(100.1) is None
    assert watch.step(100.2) is None
    probe.woken = [Wake(100.25, 1.25)]
    probe.set_due_s = 100.27
    assert watch.step(100.3) is None
    assert watch.step(100.4) is None
    assert watch.step(100.5) is None
    found = watch.step(100.6)
    assert found is not None
    assert found.since_s == pytest.approx(100.52)
    assert not found.stood_still


def test_an_ejection_explains_the_lateness_that_went_before_it(kernel: Kernel) -> None:
    watch, probe = stepped(kernel)
    kernel.attach(True)
    watch.step(100.0)
    probe.woken = [Wake(100.05, 0.0)]
    probe.set_due_s = 100.07
    kernel.show("disabled")
    found = [watch.step(100.0 + number / 10) for number in range(1, 5)][-1]
    assert found is not None
    assert found.bound == "sched_ext state"


def test_a_state_that_the_kernel_has_not_counted_yet_is_not_taken_for_the_one_after(kernel: Kernel) -> None:
    """It says `enabled` a moment before it moves the enable sequence."""
    watch, probe = stepped(kernel)
    watch.start()
    watch._stopping.set()
    watch._guard.join()
    kernel.show("enabled", OPS)
    assert watch.step(100.0) is None
    probe.set_due_s = 101.0
    kernel.attach(True)
    assert [watch.step(100.0 + number / 10) for number in range(1, 9)] == [None] * 8
    watch.stop()


def test_when_the_guard_was_late_itself_the_machine_stood_still(kernel: Kernel) -> None:
    watch, probe = stepped(kernel)
    kernel.attach(True)
    watch.step(100.0)
    probe.set_due_s = 100.02
    found = watch.step(100.6)
    assert found is not None
    assert found.stood_still


def test_a_guard_that_the_scheduler_can_delay_is_no_witness_of_that(kernel: Kernel) -> None:
    watch, probe = stepped(kernel, partial=False)
    kernel.attach(False)
    watch.step(100.0)
    probe.set_due_s = 100.02
    found = watch.step(100.6)
    assert found is not None
    assert not found.stood_still


def test_it_watches_a_baseline_run_without_judging_it(kernel: Kernel) -> None:
    watch = Watch(None, Look(), None, senses=Senses(sysfs=kernel.sysfs))
    watch.start()
    time.sleep(0.3)
    watched = watch.stop()
    assert watch.breach is None
    assert watched.wakes >= 3
    assert watched.as_look().worst_s == watched.worst_s


def test_stopping_twice_is_fine(kernel: Kernel) -> None:
    watch = Watch(None, Look(), None, senses=Senses(sysfs=kernel.sysfs))
    watch.start()
    watch.stop()
    watch.stop()


# --- the breaker -----------------------------------------------------------------------------------------


def test_detaching_happens_once_whoever_requests_it(kernel: Kernel) -> None:
    kernel.attach(False)
    breaker = Breaker(kernel.detach, OPS, Senses(sysfs=kernel.sysfs, last_resort=kernel.last_resort))
    breaker.start()
    breaker.attached()
    breaker.trip(Breach("wake-up latency", 0.3, 0.25, time.monotonic(), time.monotonic()))
    breaker.finish()
    breaker.finish()
    assert kernel.log == ["attach whole", "detach"]
    assert breaker.detachment is not None


def test_somebody_else_s_scheduler_is_not_ejected(kernel: Kernel) -> None:
    kernel.show("enabled", "scx_other")
    breaker = Breaker(kernel.detach, OPS, Senses(sysfs=kernel.sysfs, last_resort=kernel.last_resort))
    breaker.start()
    breaker.trip(Breach("sched_ext state", "enabled (scx_other)", "enabled (at_test)", 0.0, 0.0))
    assert breaker.reaction is not None
    assert breaker.reaction.by == "kernel"
    assert kernel.log == []
    assert eject(OPS, kernel.sysfs) is False
    breaker.cancel()
