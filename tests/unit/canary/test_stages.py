# SPDX-License-Identifier: MIT
"""The canary's order of steps over a sysfs tree that changes as the kernel's would, with a probe that is late on
request. Real schedulers are for the VM's tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from autotune import canary
from autotune.canary import Breach, CanaryPlan, Hogs, Senses, Watch, is_fault, run
from autotune.canary import watch as watching
from autotune.errors import AttachError, AutotuneError
from autotune.records import Attachment, Detachment, SchedulerExit
from autotune.schedext.kernel import read_state
from tests.support.run_specs import wait_until
from tests.support.sysfs_kernel import OPS, STALLED, SYSRQ, UNREGISTERED, Kernel, ScriptedProbe, later
from tests.support.waiting import is_gone

# --- whose fault it is -----------------------------------------------------------------------------------


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


# --- the plan --------------------------------------------------------------------------------------------


@pytest.fixture
def stuck() -> threading.Event:
    return threading.Event()


@pytest.fixture
def plan(kernel: Kernel, stuck: threading.Event) -> CanaryPlan:
    senses = Senses(
        sysfs=kernel.sysfs, probe=lambda _partial, _period_s: ScriptedProbe(stuck), last_resort=kernel.last_resort
    )
    return CanaryPlan(OPS, True, watch_s=1.0, look_s=0.1, hogs=0, senses=senses)


# --- the canary ------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_good_one_passes_partial_first_then_whole(kernel: Kernel, plan: CanaryPlan) -> None:
    outcome = run(kernel.attach, kernel.detach, plan)
    assert (outcome.passed, outcome.reason, outcome.fault) == (True, "", False)
    assert kernel.log == ["attach partial", "detach", "attach whole", "detach"]
    stages = outcome.numbers["stages"]
    assert [stage["mode"] for stage in stages] == ["partial", "whole"]
    assert stages[0]["watched_s"] < stages[1]["watched_s"]
    json.dumps(outcome.numbers)


@pytest.mark.slow
def test_without_the_knob_it_is_whole_from_the_start(kernel: Kernel, plan: CanaryPlan) -> None:
    assert run(kernel.attach, kernel.detach, CanaryPlan(**{**vars(plan), "can_be_partial": False})).passed
    assert kernel.log == ["attach whole", "detach"]


@pytest.mark.slow
def test_one_that_delays_is_detached_at_once_and_the_bound_is_named(
    kernel: Kernel, plan: CanaryPlan, stuck: threading.Event
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
def test_a_partial_stage_that_fails_is_the_last(kernel: Kernel, plan: CanaryPlan, stuck: threading.Event) -> None:
    def attach(partial: bool) -> Attachment:
        stuck.set()
        return kernel.attach(partial)

    outcome = run(attach, kernel.detach, CanaryPlan(**{**vars(plan), "watch_s": 3.0}))
    assert not outcome.passed
    assert kernel.log == ["attach partial", "detach"]


@pytest.mark.slow
def test_one_that_the_kernel_ejects_is_reported_with_the_kernel_s_reason(kernel: Kernel, plan: CanaryPlan) -> None:
    def attach(partial: bool) -> Attachment:
        attachment = kernel.attach(partial)
        if not partial:  # a while later, so that the watch has seen it attached
            kernel.gone = STALLED
            later(0.5, lambda: kernel.show("disabled"))
        return attachment

    outcome = run(attach, kernel.detach, CanaryPlan(**{**vars(plan), "watch_s": 3.0}))
    assert not outcome.passed
    assert outcome.fault
    assert outcome.reason == "ejected: runnable task stall (make[7] failed to run for 2.0s)"
    assert outcome.numbers["reaction"]["by"] == "kernel"
    assert outcome.numbers["exit"]["kind"] == 1026


@pytest.mark.slow
def test_one_that_is_ejected_in_the_last_moment_does_not_pass(kernel: Kernel, plan: CanaryPlan) -> None:
    kernel.gone = STALLED
    outcome = run(kernel.attach, kernel.detach, plan)
    assert not outcome.passed
    assert outcome.fault


@pytest.mark.slow
@pytest.mark.parametrize("after_s", [0.0, 0.1, 0.5])
def test_one_that_somebody_else_detached_has_not_passed_and_is_not_to_blame(
    kernel: Kernel, plan: CanaryPlan, after_s: float
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

    outcome = run(attach, kernel.detach, CanaryPlan(**{**vars(plan), "watch_s": 3.0}))
    assert (outcome.passed, outcome.fault, outcome.reason) == (False, False, "left: disabled by sysrq-S")


@pytest.mark.slow
def test_one_that_was_never_seen_in_charge_has_not_passed(kernel: Kernel, plan: CanaryPlan) -> None:
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
def test_one_that_left_by_itself_in_the_last_moment_does_not_pass(kernel: Kernel, plan: CanaryPlan) -> None:
    kernel.gone = SchedulerExit(65, 0, "unregistered from BPF", "")
    outcome = run(kernel.attach, kernel.detach, plan)
    assert (outcome.passed, outcome.fault, outcome.reason) == (False, False, "left: unregistered from BPF")


@pytest.mark.slow
def test_a_release_that_hangs_is_overtaken_by_the_last_resort(
    kernel: Kernel, plan: CanaryPlan, stuck: threading.Event
) -> None:
    def attach(partial: bool) -> Attachment:
        stuck.set()
        return kernel.attach(partial)

    kernel.hang_s = 4.0
    outcome = run(attach, kernel.detach, CanaryPlan(**{**vars(plan), "watch_s": 3.0}))
    assert kernel.log == ["attach partial", "detach", "last resort at_test"]
    assert outcome.numbers["reaction"]["by"] == "last resort"
    assert outcome.numbers["reaction"]["detached_after_s"] < kernel.hang_s


@pytest.mark.slow
def test_while_the_attaching_has_not_ended_the_last_resort_is_all_there_is(
    kernel: Kernel, plan: CanaryPlan, stuck: threading.Event
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


def test_what_attaching_raises_is_raised_and_nothing_is_released(kernel: Kernel, plan: CanaryPlan) -> None:
    def attach(_partial: bool) -> Attachment:
        raise AttachError("refused by the verifier")

    with pytest.raises(AttachError, match="refused by the verifier"):
        run(attach, kernel.detach, plan)
    assert kernel.log == []


def test_an_interruption_detaches(kernel: Kernel, plan: CanaryPlan, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_watch: Watch, _timeout_s: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Watch, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(kernel.attach, kernel.detach, plan)
    assert kernel.log == ["attach partial", "detach"]
    assert read_state(kernel.sysfs).state == "disabled"


@pytest.mark.slow
def test_one_that_cannot_be_detached_ends_the_session(
    kernel: Kernel, plan: CanaryPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "DETACH_S", 0.3)
    kernel.stubborn = True
    with pytest.raises(AutotuneError, match="could not be detached: state is enabled") as caught:
        run(kernel.attach, kernel.detach, plan)
    assert "sysrq-trigger" in caught.value.hint


@pytest.mark.slow
def test_a_release_that_fails_after_a_quiet_watch_is_no_pass_and_no_fault(kernel: Kernel, plan: CanaryPlan) -> None:
    def detach() -> Detachment:
        kernel.show("disabled")
        raise AutotuneError("the holder died")

    outcome = run(kernel.attach, detach, plan)
    assert (outcome.passed, outcome.fault, outcome.reason) == (False, False, "detaching failed: the holder died")


@pytest.mark.slow
def test_a_machine_that_is_too_busy_to_tell_is_not_risked(
    kernel: Kernel, plan: CanaryPlan, stuck: threading.Event
) -> None:
    stuck.set()  # not one wake-up in the look before
    outcome = run(kernel.attach, kernel.detach, CanaryPlan(**{**vars(plan), "look_s": 0.2}))
    assert (outcome.passed, outcome.fault) == (False, False)
    assert outcome.reason.startswith("the machine is too busy for a canary")
    assert kernel.log == []


@pytest.mark.slow
def test_a_peak_of_load_before_is_waited_out(kernel: Kernel, plan: CanaryPlan, stuck: threading.Event) -> None:
    stuck.set()
    later(0.3, stuck.clear)
    assert run(kernel.attach, kernel.detach, CanaryPlan(**{**vars(plan), "look_s": 0.2})).passed


def test_a_watch_that_fails_detaches(kernel: Kernel, plan: CanaryPlan, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_watch: Watch, _now_s: float) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(Watch, "step", fails)
    outcome = run(kernel.attach, kernel.detach, plan)
    assert (outcome.passed, outcome.fault) == (False, False)
    assert "watch: RuntimeError: a bug" in outcome.reason
    assert kernel.log[-1] == "detach"


# --- the load --------------------------------------------------------------------------------------------


def test_the_load_is_the_system_s_whatever_the_path_leads_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("nice", "sh"):
        (tmp_path / name).write_text("#!/bin/sh\necho $0 >>started\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f".:{os.environ['PATH']}")

    with Hogs(1) as load:
        pid = load._hogs[0].pid
        assert os.getpriority(os.PRIO_PROCESS, pid) == 19
        assert wait_until(lambda: os.readlink(f"/proc/{pid}/exe") == os.path.realpath("/bin/sh"), 60.0)

    assert not (tmp_path / "started").exists()


@pytest.mark.slow
def test_the_load_ends_with_the_canary_and_with_us() -> None:
    with Hogs(2) as load:
        pids = [hog.pid for hog in load._hogs]
        assert not any(is_gone(pid) for pid in pids)
    assert all(is_gone(pid) for pid in pids)

    code = "from autotune.canary import Hogs\nimport os\nload = Hogs(1).__enter__()\n"
    code += "print(load._hogs[0].pid, flush=True)\nos.kill(os.getpid(), 9)\n"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).stdout
    assert wait_until(lambda: is_gone(int(said)), 60.0)
