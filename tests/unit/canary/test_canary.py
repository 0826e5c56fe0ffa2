# SPDX-License-Identifier: MIT
"""The canary's bounds, its breaker and its order of steps over a sysfs tree that changes as the kernel's would, with a
probe that is late when told; and the memory of strikes, over real files. Real schedulers are for the VM's tests."""

from __future__ import annotations

import fcntl
import json
import math
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotune import canary
from autotune.canary import (
    Bounds,
    Breach,
    Breaker,
    Hogs,
    Judge,
    LateWindow,
    Look,
    Plan,
    Senses,
    Wake,
    WakeProbe,
    Watch,
    high_percentile,
    is_fault,
    look,
    run,
    strikes,
)
from autotune.canary import senses as sensing
from autotune.canary import watch as watching
from autotune.canary.strikes import STRIKES_TO_BAR, Strikes
from autotune.errors import AttachError, AutotuneError, UsageError
from autotune.records import Attachment, Detachment, KernelState, SchedulerExit
from autotune.schedext.kernel import eject, read_state

OPS = "at_test"
QUIET = Look(100, 0.001, 0.002, 0.1)
ENABLED = KernelState("enabled", OPS, 5, 0, True)
UNREGISTERED = SchedulerExit(64, 0, "unregistered from user space", "")
STALLED = SchedulerExit(1026, 0, "runnable task stall", "make[7] failed to run for 2.0s")
SYSRQ = SchedulerExit(67, 0, "disabled by sysrq-S", "")

latenesses = st.floats(0.0, 10.0, allow_nan=False)


# --- the windowed percentile -----------------------------------------------------------------------------


@given(st.lists(latenesses, min_size=2, max_size=400))
def test_the_high_percentile_has_as_many_values_below_it_as_it_says_and_never_is_the_lone_worst(
    values: list[float],
) -> None:
    found = high_percentile(values)
    ordered = sorted(values)
    assert found in values
    assert found <= ordered[-2]
    at_least = min(math.ceil(0.99 * len(values)), len(values) - 1)
    assert sum(value <= found for value in values) >= at_least
    assert sum(value < found for value in values) < at_least


@given(st.lists(latenesses, min_size=1, max_size=200), st.randoms())
def test_the_high_percentile_does_not_depend_on_the_order(values: list[float], chance: random.Random) -> None:
    mixed = list(values)
    chance.shuffle(mixed)
    assert high_percentile(mixed) == high_percentile(values)


def test_of_nothing_there_is_no_percentile() -> None:
    with pytest.raises(ValueError, match="no values"):
        high_percentile([])


@given(st.lists(st.tuples(st.floats(0.0, 0.5), latenesses), min_size=1, max_size=200), st.floats(0.05, 3.0))
def test_a_window_knows_the_wakes_of_its_time_and_no_others(steps: list[tuple[float, float]], window_s: float) -> None:
    window, wakes, now_s = LateWindow(window_s), [], 100.0
    for step_s, late_s in steps:
        now_s += step_s
        wakes.append(Wake(now_s, late_s))
        window.add(wakes[-1])
        inside = [wake.late_s for wake in wakes if wake.at_s > now_s - window_s]
        assert window.p99_s() == (high_percentile(inside) if len(inside) >= 3 else None)


# --- the bounds ------------------------------------------------------------------------------------------


def steady(late_s: float, count: int, start_s: float = 100.0) -> list[Wake]:
    return [Wake(start_s + number * (0.02 + late_s), late_s) for number in range(count)]


def test_wakes_in_time_are_no_breach_and_are_counted() -> None:
    judge = Judge(Bounds(), QUIET, OPS)
    assert judge.wakes(102.0, steady(0.003, 50)) is None
    assert (judge.count, judge.worst_s, judge.worst_p99_s) == (50, 0.003, 0.003)


def test_one_wake_just_within_the_limit_is_borne_and_one_beyond_is_not() -> None:
    judge = Judge(Bounds(), QUIET, OPS)
    assert judge.wakes(102.0, [*steady(0.001, 40), Wake(101.5, 0.25)]) is None
    found = judge.wakes(103.0, [Wake(102.9, 0.26)])
    assert found is not None
    assert (found.bound, found.value, found.limit) == ("wake-up latency", 0.26, 0.25)
    assert found.since_s == pytest.approx(102.9 - 0.01)
    assert found.text() == "wake-up latency: 260 ms, limit 250 ms"


def test_a_wake_that_does_not_come_is_a_breach_before_it_comes() -> None:
    judge = Judge(Bounds(), QUIET, OPS)
    assert judge.overdue(100.24, 100.0) is None
    found = judge.overdue(100.3, 100.0)
    assert found is not None
    assert (found.bound, found.since_s, found.noticed_s) == ("wake-up latency", 100.25, 100.3)
    assert judge.worst_s == pytest.approx(0.3)


def test_being_late_again_and_again_is_a_breach_though_no_wake_is_very_late() -> None:
    judge = Judge(Bounds(), QUIET, OPS)
    assert judge.wakes(101.0, steady(0.049, 10)) is None
    found = judge.wakes(102.0, steady(0.06, 10, 101.0))
    assert found is not None
    assert (found.bound, found.value, found.limit) == ("wake-up latency p99", 0.06, 0.05)


def test_a_single_hiccup_is_no_breach() -> None:
    judge = Judge(Bounds(), QUIET, OPS)
    assert judge.wakes(101.0, [*steady(0.001, 20), Wake(100.6, 0.2)]) is None


@pytest.mark.parametrize(
    ("before", "late_limit_s", "p99_limit_s"),
    [
        (Look(100, 0.0005, 0.001), 0.25, 0.05),
        (Look(100, 0.02, 0.03), 0.4, 0.2),
        (Look(100, 0.02, 0.4), 0.8, 0.2),
    ],
)
def test_a_slow_machine_is_compared_with_itself(before: Look, late_limit_s: float, p99_limit_s: float) -> None:
    judge = Judge(Bounds(), before, OPS)
    assert judge.late_limit_s == pytest.approx(late_limit_s)
    assert judge.p99_limit_s == pytest.approx(p99_limit_s)


def pressed(judge: Judge, share: float, seconds: float, start_s: float = 100.0) -> Breach | None:
    """Half-second readings in which some task waited `share` of the time."""
    found = None
    for number in range(int(seconds * 2) + 1):
        found = found or judge.pressure(start_s + number / 2, 50.0 + share * number / 2)
    return found


def test_pressure_far_above_before_is_borne_for_some_seconds_only() -> None:
    assert pressed(Judge(Bounds(), QUIET, OPS), 0.9, 3.0) is None
    found = pressed(Judge(Bounds(), QUIET, OPS), 0.9, 5.0)
    assert found is not None
    assert found.bound == "CPU pressure"
    assert found.value == pytest.approx(0.9)
    assert found.text() == "CPU pressure: 90 %, limit 60 %"


def test_pressure_that_eases_starts_anew() -> None:
    judge = Judge(Bounds(), QUIET, OPS)
    assert pressed(judge, 0.9, 3.0) is None
    assert judge.pressure(104.0, 52.8) is None
    assert pressed(judge, 0.9, 3.0, 105.0) is None


@pytest.mark.parametrize(
    ("bounds", "before"),
    [
        (Bounds(), Look(100, 0.001, 0.002, 0.6)),
        (Bounds(), Look(100, 0.001, 0.002, None)),
        (Bounds(pressure_rise=None), QUIET),
        (canary.RUN_BOUNDS, QUIET),
    ],
)
def test_pressure_is_not_judged_where_it_says_nothing(bounds: Bounds, before: Look) -> None:
    judge = Judge(bounds, before, OPS)
    assert pressed(judge, 1.0, 10.0) is None
    assert judge.worst_pressure == pytest.approx(1.0)


def test_a_kernel_that_counts_no_pressure_is_fine() -> None:
    judge = Judge(Bounds(), QUIET, OPS)
    assert judge.pressure(100.0, None) is None
    assert judge.worst_pressure is None


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (KernelState("disabled", None, 5, 0, False), "disabled"),
        (KernelState("disabling", OPS, 5, 0, True), "disabling (at_test)"),
        (KernelState("enabled", "scx_other", 6, 0, True), "enabled (scx_other)"),
        (KernelState("enabled", OPS, 6, 0, True), "enabled (at_test), attached again"),
    ],
)
def test_another_state_or_name_or_a_second_attaching_is_a_breach(seen: KernelState, said: str) -> None:
    judge = Judge(Bounds(), QUIET, OPS)
    judge.enable_seq = 5
    assert judge.state(100.0, ENABLED) is None
    found = judge.state(100.5, seen)
    assert found is not None
    assert (found.bound, found.value, found.limit) == ("sched_ext state", said, "enabled (at_test)")


def test_under_the_kernel_s_own_scheduler_nothing_is_a_breach_but_all_is_counted() -> None:
    judge = Judge(Bounds(), QUIET, None)
    assert judge.wakes(101.0, steady(0.9, 10)) is None
    assert judge.overdue(100.9, 100.0) is None
    assert judge.state(100.0, KernelState("disabled", None, 0, 0, None)) is None
    assert judge.worst_s == pytest.approx(0.9)


LATE = Breach("wake-up latency", 0.3, 0.25, 1.0, 1.1)
PAUSED = Breach("wake-up latency", 0.3, 0.25, 1.0, 1.1, stood_still=True)
GONE = Breach("sched_ext state", "disabled", "enabled (at_test)", 1.0, 1.1)


@pytest.mark.parametrize(
    ("breach", "gone", "fault"),
    [
        (LATE, UNREGISTERED, True),
        (PAUSED, UNREGISTERED, False),
        (GONE, STALLED, True),
        (None, STALLED, True),
        (GONE, SYSRQ, False),
        (GONE, None, False),
        (Breach("watch", "OSError", "no error", 1.0, 1.0), UNREGISTERED, False),
    ],
)
def test_only_what_the_scheduler_did_is_its_fault(
    breach: Breach | None, gone: SchedulerExit | None, fault: bool
) -> None:
    assert is_fault(breach, gone) is fault


# --- a kernel of files -----------------------------------------------------------------------------------


class Kernel:
    """A sysfs tree, and what attaching and detaching do to it. `log` is the order of events."""

    def __init__(self, top: Path, gone: SchedulerExit | None = UNREGISTERED) -> None:
        self.sysfs = top
        self.gone = gone
        self.log: list[str] = []
        self.seq = 4
        self.hang_s = 0.0
        self.stubborn = False
        (top / "root").mkdir()
        self.show("disabled")

    def show(self, state: str, ops: str = "") -> None:
        (self.sysfs / "root" / "ops").write_text(ops)
        (self.sysfs / "enable_seq").write_text(str(self.seq))
        (self.sysfs / "state").write_text(state)

    def attach(self, partial: bool) -> Attachment:
        self.log.append("attach partial" if partial else "attach whole")
        before = read_state(self.sysfs)
        self.seq += 1
        self.show("enabled", OPS)
        return Attachment(OPS, before, read_state(self.sysfs), 0.0)

    def detach(self) -> Detachment:
        self.log.append("detach")
        time.sleep(self.hang_s)
        if not self.stubborn:
            self.show("disabled")
        return Detachment(read_state(self.sysfs), 0.0, self.gone)

    def told(self, ops: str, _sysfs: Path) -> bool:
        self.log.append(f"last resort {ops}")
        self.show("disabled")
        return True


class ScriptedProbe:
    """Wakes in time every 20 ms, until it is told to be late: then its wake-up does not come."""

    def __init__(self, stuck: threading.Event) -> None:
        self._stuck = stuck
        self._due_s: float | None = None
        self.cpu_s = 0.0

    @property
    def due_s(self) -> float | None:
        if not self._stuck.is_set():
            self._due_s = time.monotonic() + 0.02
        return self._due_s

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def take(self) -> list[Wake]:
        now_s = time.monotonic()
        return [] if self._stuck.is_set() else [Wake(now_s - 0.01 * number, 0.001) for number in range(5)]


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    (tmp_path / "sched_ext").mkdir()
    return Kernel(tmp_path / "sched_ext")


@pytest.fixture
def stuck() -> threading.Event:
    return threading.Event()


@pytest.fixture
def plan(kernel: Kernel, stuck: threading.Event) -> Plan:
    senses = Senses(sysfs=kernel.sysfs, probe=lambda _partial, _period_s: ScriptedProbe(stuck), last_resort=kernel.told)
    return Plan(OPS, True, watch_s=1.0, look_s=0.1, hogs=0, senses=senses)


def later(seconds: float, what: Callable[[], object]) -> None:
    threading.Timer(seconds, what).start()


# --- the canary ------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_good_one_passes_partial_first_then_whole(kernel: Kernel, plan: Plan) -> None:
    outcome = run(kernel.attach, kernel.detach, plan)
    assert (outcome.passed, outcome.reason, outcome.fault) == (True, "", False)
    assert kernel.log == ["attach partial", "detach", "attach whole", "detach"]
    stages = outcome.numbers["stages"]
    assert [stage["mode"] for stage in stages] == ["partial", "whole"]
    assert stages[0]["watched_s"] < stages[1]["watched_s"]
    json.dumps(outcome.numbers)


@pytest.mark.slow
def test_without_the_knob_it_is_whole_from_the_start(kernel: Kernel, plan: Plan) -> None:
    assert run(kernel.attach, kernel.detach, Plan(**{**vars(plan), "can_be_partial": False})).passed
    assert kernel.log == ["attach whole", "detach"]


@pytest.mark.slow
def test_one_that_delays_is_detached_at_once_and_the_bound_is_named(
    kernel: Kernel, plan: Plan, stuck: threading.Event
) -> None:
    def attach(partial: bool) -> Attachment:
        if not partial:
            later(0.2, stuck.set)
        return kernel.attach(partial)

    outcome = run(attach, kernel.detach, plan)
    assert not outcome.passed
    assert outcome.fault
    assert outcome.reason.startswith("wake-up latency: ")
    assert outcome.reason.endswith("limit 250 ms")
    assert kernel.log[-2:] == ["attach whole", "detach"]
    assert outcome.numbers["reaction"]["by"] == "detach"
    assert outcome.numbers["reaction"]["detached_after_s"] < canary.DETACH_S
    assert read_state(kernel.sysfs).state == "disabled"


@pytest.mark.slow
def test_a_partial_stage_that_fails_is_the_last(kernel: Kernel, plan: Plan, stuck: threading.Event) -> None:
    def attach(partial: bool) -> Attachment:
        stuck.set()
        return kernel.attach(partial)

    outcome = run(attach, kernel.detach, Plan(**{**vars(plan), "watch_s": 3.0}))
    assert not outcome.passed
    assert kernel.log == ["attach partial", "detach"]


@pytest.mark.slow
def test_one_that_the_kernel_throws_out_is_told_with_the_kernel_s_reason(kernel: Kernel, plan: Plan) -> None:
    def attach(partial: bool) -> Attachment:
        attachment = kernel.attach(partial)
        if not partial:  # a while later, so that the watch has seen it attached
            kernel.gone = STALLED
            later(0.5, lambda: kernel.show("disabled"))
        return attachment

    outcome = run(attach, kernel.detach, Plan(**{**vars(plan), "watch_s": 3.0}))
    assert not outcome.passed
    assert outcome.fault
    assert outcome.reason == "ejected: runnable task stall (make[7] failed to run for 2.0s)"
    assert outcome.numbers["reaction"]["by"] == "kernel"
    assert outcome.numbers["exit"]["kind"] == 1026


@pytest.mark.slow
def test_one_that_is_ejected_in_the_last_moment_does_not_pass(kernel: Kernel, plan: Plan) -> None:
    kernel.gone = STALLED
    outcome = run(kernel.attach, kernel.detach, plan)
    assert not outcome.passed
    assert outcome.fault


@pytest.mark.slow
@pytest.mark.parametrize("after_s", [0.0, 0.1, 0.5])
def test_one_that_somebody_else_detached_has_not_passed_and_is_not_to_blame(
    kernel: Kernel, plan: Plan, after_s: float
) -> None:
    """Whether the guard has looked by then or not."""

    def attach(partial: bool) -> Attachment:
        kernel.gone = SYSRQ
        attachment = kernel.attach(partial)
        if after_s:
            later(after_s, lambda: kernel.show("disabled"))
        else:
            kernel.show("disabled")
        return attachment

    outcome = run(attach, kernel.detach, Plan(**{**vars(plan), "watch_s": 3.0}))
    assert (outcome.passed, outcome.fault, outcome.reason) == (False, False, "left: disabled by sysrq-S")


@pytest.mark.slow
def test_one_that_was_never_seen_in_charge_has_not_passed(kernel: Kernel, plan: Plan) -> None:
    """Nothing was watched, so nothing was proven; and no exit record says why it left."""
    kernel.gone = None

    def attach(partial: bool) -> Attachment:
        attachment = kernel.attach(partial)
        kernel.show("disabled")
        return attachment

    outcome = run(attach, kernel.detach, plan)
    assert (outcome.passed, outcome.fault) == (False, False)
    assert outcome.reason == "it was never seen in charge, so nothing was watched"


@pytest.mark.slow
def test_one_that_left_by_itself_in_the_last_moment_does_not_pass(kernel: Kernel, plan: Plan) -> None:
    kernel.gone = SchedulerExit(65, 0, "unregistered from BPF", "")
    outcome = run(kernel.attach, kernel.detach, plan)
    assert (outcome.passed, outcome.fault, outcome.reason) == (False, False, "left: unregistered from BPF")


@pytest.mark.slow
def test_a_release_that_hangs_is_overtaken_by_the_last_resort(
    kernel: Kernel, plan: Plan, stuck: threading.Event
) -> None:
    def attach(partial: bool) -> Attachment:
        stuck.set()
        return kernel.attach(partial)

    kernel.hang_s = 4.0
    outcome = run(attach, kernel.detach, Plan(**{**vars(plan), "watch_s": 3.0}))
    assert kernel.log == ["attach partial", "detach", "last resort at_test"]
    assert outcome.numbers["reaction"]["by"] == "last resort"
    assert outcome.numbers["reaction"]["detached_after_s"] < kernel.hang_s


@pytest.mark.slow
def test_while_the_attaching_has_not_ended_the_last_resort_is_all_there_is(
    kernel: Kernel, plan: Plan, stuck: threading.Event
) -> None:
    """The kernel has attached it, and it delays the answer that says so."""

    def attach(partial: bool) -> Attachment:
        kernel.attach(partial)
        stuck.set()
        time.sleep(1.5)
        raise AttachError("at_test was not confirmed as attached")

    outcome = run(attach, kernel.detach, plan)
    assert kernel.log == ["attach partial", "last resort at_test"]
    assert outcome.reason.startswith("wake-up latency")
    reaction = outcome.numbers["reaction"]
    assert reaction["detached_after_s"] - reaction["noticed_after_s"] < canary.LAST_RESORT_AFTER_S / 2


def test_what_attaching_raises_is_raised_and_nothing_is_released(kernel: Kernel, plan: Plan) -> None:
    def attach(_partial: bool) -> Attachment:
        raise AttachError("refused by the verifier")

    with pytest.raises(AttachError, match="refused by the verifier"):
        run(attach, kernel.detach, plan)
    assert kernel.log == []


def test_an_interruption_detaches(kernel: Kernel, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_watch: Watch, _timeout_s: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Watch, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(kernel.attach, kernel.detach, plan)
    assert kernel.log == ["attach partial", "detach"]
    assert read_state(kernel.sysfs).state == "disabled"


@pytest.mark.slow
def test_one_that_cannot_be_detached_ends_the_session(
    kernel: Kernel, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "DETACH_S", 0.3)
    kernel.stubborn = True
    with pytest.raises(AutotuneError, match="could not be detached: state is enabled") as caught:
        run(kernel.attach, kernel.detach, plan)
    assert "sysrq-trigger" in caught.value.hint


@pytest.mark.slow
def test_a_release_that_fails_after_a_quiet_watch_is_no_pass_and_no_fault(kernel: Kernel, plan: Plan) -> None:
    def detach() -> Detachment:
        kernel.show("disabled")
        raise AutotuneError("the holder died")

    outcome = run(kernel.attach, detach, plan)
    assert (outcome.passed, outcome.fault, outcome.reason) == (False, False, "detaching failed: the holder died")


@pytest.mark.slow
def test_a_machine_that_is_too_busy_to_tell_is_not_risked(kernel: Kernel, plan: Plan, stuck: threading.Event) -> None:
    stuck.set()  # not one wake-up in the look before
    outcome = run(kernel.attach, kernel.detach, Plan(**{**vars(plan), "look_s": 0.2}))
    assert (outcome.passed, outcome.fault) == (False, False)
    assert outcome.reason.startswith("the machine is too busy for a canary")
    assert kernel.log == []


@pytest.mark.slow
def test_a_peak_of_load_before_is_waited_out(kernel: Kernel, plan: Plan, stuck: threading.Event) -> None:
    stuck.set()
    later(0.3, stuck.clear)
    assert run(kernel.attach, kernel.detach, Plan(**{**vars(plan), "look_s": 0.2})).passed


def test_a_watch_that_fails_detaches(kernel: Kernel, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_watch: Watch, _now_s: float) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(Watch, "step", fails)
    outcome = run(kernel.attach, kernel.detach, plan)
    assert (outcome.passed, outcome.fault) == (False, False)
    assert "watch: RuntimeError: a bug" in outcome.reason
    assert kernel.log[-1] == "detach"


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


# --- the real probe --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_probe_s_lateness_is_what_it_overslept() -> None:
    probe = WakeProbe(partial=False)
    began_s = time.monotonic()
    probe.start()
    time.sleep(1.0)
    probe.stop()
    wakes = probe.take()
    elapsed_s = time.monotonic() - began_s
    assert 3 <= len(wakes) <= elapsed_s / canary.PROBE_PERIOD_S
    assert sum(canary.PROBE_PERIOD_S + wake.late_s for wake in wakes) <= elapsed_s
    assert probe.take() == []


@pytest.mark.skipif(os.path.exists("/sys/kernel/sched_ext"), reason="this kernel has SCHED_EXT")
def test_partial_mode_on_a_kernel_without_sched_ext_is_refused_with_a_reason() -> None:
    probe = WakeProbe(partial=True)
    with pytest.raises(AutotuneError, match="cannot be under SCHED_EXT"):
        probe.start()
    probe.stop()


def test_a_look_tells_of_the_machine(tmp_path: Path) -> None:
    pressure = tmp_path / "cpu"
    pressure.write_text("some avg10=0.00 avg60=0.00 avg300=0.00 total=1000000\n")
    clock = iter((100.0, 100.4))
    later(0.1, lambda: pressure.write_text("some avg10=0.00 avg60=0.00 avg300=0.00 total=1200000\n"))
    seen = look(0.4, senses=Senses(pressure_path=str(pressure), now=lambda: next(clock)))
    assert seen.wakes >= 3
    assert 0.0 <= seen.p99_s <= seen.worst_s
    assert seen.pressure_share == pytest.approx(0.2 / 0.4)


def test_a_look_without_pressure_accounting(tmp_path: Path) -> None:
    assert look(0.1, senses=Senses(pressure_path=str(tmp_path / "absent"))).pressure_share is None


@pytest.mark.slow
def test_the_load_ends_with_the_canary_and_with_us() -> None:
    with Hogs(2) as load:
        pids = [hog.pid for hog in load._hogs]
        assert all(os.path.exists(f"/proc/{pid}") for pid in pids)
    assert not any(os.path.exists(f"/proc/{pid}") for pid in pids)

    code = "from autotune.canary import Hogs\nimport os\nload = Hogs(1).__enter__()\n"
    code += "print(load._hogs[0].pid, flush=True)\nos.kill(os.getpid(), 9)\n"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).stdout
    deadline = time.monotonic() + 10.0
    while os.path.exists(f"/proc/{int(said)}") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not os.path.exists(f"/proc/{int(said)}")


def test_while_nothing_changes_a_watch_reads_three_files_that_stay_open(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a watch costs is measured by `scripts/bench watch`; here, that it does not grow with how long it watches."""
    kernel.attach(False)
    state = sensing.KeptState(kernel.sysfs)
    assert state.read() == read_state(kernel.sysfs)
    with monkeypatch.context() as patch:
        patch.setattr(sensing, "read_state", lambda _sysfs: pytest.fail("all was read anew"))
        patch.setattr(os, "open", lambda *_: pytest.fail("a file was opened"))
        for _ in range(100):
            assert (state.read().state, state.read().ops) == ("enabled", OPS)
    state.close()


@pytest.mark.parametrize("how", ["gone", "another", "attached anew", "ops vanish", "new files", "no sched_ext"])
def test_every_change_of_the_state_is_seen_at_the_next_look(kernel: Kernel, how: str) -> None:
    kernel.attach(False)
    state = sensing.KeptState(kernel.sysfs)
    state.read()
    if how == "gone":
        kernel.show("disabled")
    elif how == "another":
        kernel.show("enabled", "scx_other")
    elif how == "attached anew":
        kernel.seq += 1
        kernel.show("enabled", OPS)
    elif how == "ops vanish":  # as in sysfs: `root` goes with its scheduler, and a file kept open says so no more
        kernel.show("disabled")
        (kernel.sysfs / "root" / "ops").unlink()
    elif how == "new files":
        for name in ("state", "enable_seq"):
            (kernel.sysfs / name).unlink()
        kernel.show("disabled")
        (kernel.sysfs / "root" / "ops").write_text("")
    else:
        shutil.rmtree(kernel.sysfs)
        kernel.sysfs.mkdir()
    if how in ("new files", "no sched_ext"):  # sysfs never replaces these files while they are open: it is another tree
        state.close()
    assert state.read() == read_state(kernel.sysfs)
    (kernel.sysfs / "root").mkdir(exist_ok=True)
    kernel.attach(False)
    assert state.read() == read_state(kernel.sysfs)
    state.close()


# --- the breaker -----------------------------------------------------------------------------------------


def test_detaching_happens_once_whoever_requests_it(kernel: Kernel) -> None:
    kernel.attach(False)
    breaker = Breaker(kernel.detach, OPS, Senses(sysfs=kernel.sysfs, last_resort=kernel.told))
    breaker.start()
    breaker.attached()
    breaker.trip(Breach("wake-up latency", 0.3, 0.25, time.monotonic(), time.monotonic()))
    breaker.finish()
    breaker.finish()
    assert kernel.log == ["attach whole", "detach"]
    assert breaker.detachment is not None


def test_somebody_else_s_scheduler_is_not_ejected(kernel: Kernel) -> None:
    kernel.show("enabled", "scx_other")
    breaker = Breaker(kernel.detach, OPS, Senses(sysfs=kernel.sysfs, last_resort=kernel.told))
    breaker.start()
    breaker.trip(Breach("sched_ext state", "enabled (scx_other)", "enabled (at_test)", 0.0, 0.0))
    assert breaker.reaction is not None
    assert breaker.reaction.by == "kernel"
    assert kernel.log == []
    assert eject(OPS, kernel.sysfs) is False
    breaker.cancel()


# --- strikes ---------------------------------------------------------------------------------------------

GOOD, BAD = "a" * 64, "b" * 64


@pytest.fixture
def kept(tmp_path: Path) -> Strikes:
    return Strikes(tmp_path / "state" / "canary.json", now=lambda: 1_700_000_000.0)


def test_three_strikes_bar_a_scheduler_and_no_other(kept: Strikes) -> None:
    for number in range(STRIKES_TO_BAR):
        assert not kept.is_barred(BAD)
        assert kept.strike(BAD, f"late {number}", "6.18") == number + 1
    assert kept.is_barred(BAD)
    assert not kept.is_barred(GOOD)
    assert [strike.reason for strike in kept.reasons(BAD)] == ["late 0", "late 1", "late 2"]
    assert kept.reasons(BAD)[0].at_s == 1_700_000_000.0
    assert Strikes(kept.path).is_barred(BAD)


def test_a_canary_is_passed_on_one_kernel_until_the_next_strike(kept: Strikes) -> None:
    kept.remember_passed(GOOD, "6.18")
    assert kept.passed(GOOD, "6.18")
    assert not kept.passed(GOOD, "6.19")
    assert not kept.passed(BAD, "6.18")
    kept.strike(GOOD, "late", "6.18")
    assert not kept.passed(GOOD, "6.18")


def test_the_user_may_forgive(kept: Strikes) -> None:
    for _ in range(STRIKES_TO_BAR):
        kept.strike(BAD, "late", "6.18")
    kept.forgive(BAD)
    assert not kept.is_barred(BAD)
    assert json.loads(kept.path.read_text())["schedulers"] == {}


def test_by_default_it_is_in_the_user_s_state_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert Strikes().path == tmp_path / "autotune" / "canary.json"


def test_nobody_else_can_read_or_write_it(kept: Strikes) -> None:
    before = os.umask(0)
    try:
        kept.strike(BAD, "late", "6.18")
    finally:
        os.umask(before)
    assert kept.path.stat().st_mode & 0o777 == 0o600
    assert kept.path.parent.stat().st_mode & 0o777 == 0o700
    assert sorted(path.name for path in kept.path.parent.iterdir()) == ["canary.json", "canary.json.lock"]


def test_long_and_odd_reasons_are_bounded_and_kept(kept: Strikes) -> None:
    kept.strike(BAD, "late \udcff" + "x" * 10_000, "6.18")
    assert kept.reasons(BAD)[0].reason.startswith("late \\udcff")
    assert len(kept.reasons(BAD)[0].reason) == strikes.REASON_CHARACTERS


def test_of_very_many_strikes_the_newest_are_kept(kept: Strikes) -> None:
    for number in range(strikes.MOST_STRIKES + 5):
        kept.strike(BAD, str(number), "6.18")
    assert kept.reasons(BAD)[0].reason == "5"
    assert kept.is_barred(BAD)


@pytest.mark.parametrize("name", ["", "at_fifo", "../../etc/passwd", "A" * 64, "a" * 63, "a" * 64 + "\n"])
def test_what_is_no_content_hash_is_refused(kept: Strikes, name: str) -> None:
    for ask in (kept.is_barred, kept.reasons, kept.forgive):
        with pytest.raises(UsageError, match="not a content hash"):
            ask(name)


DAMAGED: list[tuple[str, bytes]] = [
    ("empty", b""),
    ("torn", b'{"version": 1, "schedulers": {"aaaa'),
    ("not text", b"\xff\xfe\x00"),
    ("a list", b"[]"),
    ("newer", b'{"version": 2, "schedulers": {}}'),
    ("no schedulers", b'{"version": 1}'),
    ("strikes of another shape", b'{"version": 1, "schedulers": {"x": {"strikes": 3, "passed": {}}}}'),
    ("a reason that is no text", b'{"version": 1, "schedulers": {"x": {"strikes": [{"at_s": 1, "reason": 3, '
     b'"kernel": ""}], "passed": {}}}}'),
    ("deep", b"[" * 100_000),
]  # fmt: skip


@pytest.mark.parametrize("content", [content for _, content in DAMAGED], ids=[name for name, _ in DAMAGED])
def test_a_damaged_file_is_an_error_with_advice_and_stays_as_it_is(kept: Strikes, content: bytes) -> None:
    kept.path.parent.mkdir(mode=0o700)
    kept.path.write_bytes(content)
    kept.path.chmod(0o600)
    for ask in (kept.is_barred, kept.reasons, lambda key: kept.strike(key, "late", "6.18"), kept.forgive):
        with pytest.raises(AutotuneError, match="damaged") as caught:
            ask(BAD)
        assert f"rm {kept.path}" in caught.value.hint
    assert kept.path.read_bytes() == content


def test_a_file_that_others_can_write_is_not_believed(kept: Strikes) -> None:
    kept.strike(BAD, "late", "6.18")
    kept.path.chmod(0o666)
    with pytest.raises(AutotuneError, match="can be written by others") as caught:
        kept.is_barred(BAD)
    assert "chmod 600" in caught.value.hint


def test_a_link_or_a_pipe_in_its_place_is_refused_and_does_not_hang(kept: Strikes, tmp_path: Path) -> None:
    kept.path.parent.mkdir(mode=0o700)
    kept.path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(AutotuneError, match="cannot be read"):
        kept.is_barred(BAD)
    kept.path.unlink()
    os.mkfifo(kept.path, 0o600)
    with pytest.raises(AutotuneError, match="cannot be read"):
        kept.is_barred(BAD)


def test_a_place_where_nothing_can_be_written_is_an_error_with_advice(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    kept = Strikes(tmp_path / "file" / "canary.json")
    with pytest.raises(AutotuneError, match="cannot be written") as caught:
        kept.strike(BAD, "late", "6.18")
    assert str(kept.path) in caught.value.hint


READ_ONLY = """
import sys
from pathlib import Path
from autotune.errors import AutotuneError
from autotune.canary.strikes import Strikes
import os
os.setresgid(4242, 4242, 4242)
os.setresuid(4242, 4242, 4242)
kept = Strikes(Path(sys.argv[1]))
assert kept.is_barred("b" * 64) is False
try:
    kept.strike("b" * 64, "late", "6.18")
except AutotuneError as error:
    print(error)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="root can become a user whom permissions bind")
def test_a_read_only_directory_can_be_read_and_its_errors_told(kept: Strikes) -> None:
    kept.strike(BAD, "late", "6.18")
    directory = kept.path.parent
    kept.path.chmod(0o644)
    directory.chmod(0o755)
    above = directory
    while above != Path("/"):
        above.chmod(above.stat().st_mode | 0o055)
        above = above.parent
        if above.stat().st_uid != os.geteuid() or above == Path("/tmp"):
            break
    done = subprocess.run([sys.executable, "-c", READ_ONLY, str(kept.path)], capture_output=True, check=False)
    assert b"cannot be taken: Permission denied" in done.stdout, done.stderr
    assert kept.reasons(BAD)[0].reason == "late"


MANY = """
import sys
from pathlib import Path
from autotune.canary.strikes import Strikes
for number in range(5):
    Strikes(Path(sys.argv[1])).strike("b" * 64, f"{sys.argv[2]}-{number}", "6.18")
"""


def test_two_processes_at_once_lose_no_strike(kept: Strikes) -> None:
    started = [subprocess.Popen([sys.executable, "-c", MANY, str(kept.path), name]) for name in ("one", "two", "three")]
    assert [process.wait() for process in started] == [0, 0, 0]
    reasons = sorted(strike.reason for strike in kept.reasons(BAD))
    assert reasons == sorted(f"{name}-{number}" for name in ("one", "two", "three") for number in range(5))


def test_a_lock_that_is_never_given_up_is_an_error_not_a_wait_for_ever(
    kept: Strikes, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.strike(BAD, "late", "6.18")
    monkeypatch.setattr(strikes, "BUSY_S", 0.1)
    with open(f"{kept.path}.lock") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(AutotuneError, match="another autotune has been writing"):
            kept.strike(BAD, "late", "6.18")
        assert len(kept.reasons(BAD)) == 1  # who only reads waits for nobody


def test_a_change_that_cannot_be_finished_leaves_the_old_file(kept: Strikes, monkeypatch: pytest.MonkeyPatch) -> None:
    kept.strike(BAD, "late", "6.18")

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for _ in range(3):
        with pytest.raises(AutotuneError, match=r"No space left on device.*free some space"):
            kept.strike(BAD, "late again", "6.18")
    assert [strike.reason for strike in kept.reasons(BAD)] == ["late"]
    assert sorted(path.name for path in kept.path.parent.iterdir()) == ["canary.json", "canary.json.lock"]
