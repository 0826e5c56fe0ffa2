# SPDX-License-Identifier: MIT
"""Whatever happens to autotune on a host, the host ends on the scheduler it had before, within 5 seconds."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from autotune.machine.vm.resilient import ResilientVM
from tests.support.built_programs import built
from tests.support.guest import guest_json, guest_run

pytestmark = [pytest.mark.vm, pytest.mark.slow]

# Its metric is better under any of our schedulers, so that there always is a leader to confirm.
SCRIPT = "sleep 0.7531; grep -qs at_ /sys/kernel/sched_ext/root/ops && echo v: 1 || echo v: 2"
WORKLOAD = ("--prepare", "sleep 0.7001", "--metric", "v: (.*)", "--", "sh", "-c", SCRIPT)
OURS = ("--scheduler", "at_fifo", "--scheduler", "at_vtime")
CONFIRMED = ("--runs", "4")
"""The fewest that are confirmed."""
SHORT = ("--runs", "2")

Cases = dict[tuple[str, str], Any]


def disturbed(vm: ResilientVM, cases: list[tuple[str, str]], *options: str, **env: str) -> Cases:
    """What was seen of each session, by the moment and the disturbance. All in one process: a start of Python takes ten
    to twenty seconds there."""
    asked = []
    for when, how in cases:
        length = CONFIRMED if when == "confirm" else SHORT
        argv = ["cc", "--machine", "host", "--no-observe", *options, *length, *WORKLOAD]
        asked.append({"when": when, "how": how, "argv": argv, "env": env})
    seen = dict(zip(cases, guest_json(vm, "giveback.py", json.dumps(asked), timeout_s=3600.0), strict=True))
    assert not [one["error"] for one in seen.values() if "error" in one], seen
    return seen


@pytest.fixture(scope="module")
def ours(vm: ResilientVM) -> Cases:
    cases = [(when, "ctrl-c") for when in ("prepare", "baseline", "attached", "confirm")]
    cases += [("attached", how) for how in ("kill", "term", "kill-holder")]
    return disturbed(vm, cases, *OURS)


@pytest.fixture(scope="module")
def wrapped(vm: ResilientVM) -> Cases:
    """A script named as a scheduler, which starts the real one and waits."""
    real = built("scx_cosmos")["scx_cosmos"].path
    script = '#!/bin/sh\nsetsid /run/wrapped/real_cosmos "$@" &\nwait\n'
    fill = f'cp {real} $d/real_cosmos; printf %s "$0" > $d/scx_cosmos'
    place = f"d=/run/wrapped; mkdir -p $d; {fill}; chmod 755 $d/*"
    assert guest_run(vm, "sh", "-c", place, script).exit_code == 0
    cases = [("attached", how) for how in ("kill-holder", "kill-both", "ctrl-c")]
    return disturbed(vm, cases, "--scheduler", "scx_cosmos", PATH=f"/run/wrapped:{os.environ['PATH']}")


@pytest.mark.parametrize("when", ["prepare", "baseline", "attached", "confirm"])
def test_ctrl_c_in_any_phase_gives_the_host_back(ours: Cases, when: str) -> None:
    seen = ours[when, "ctrl-c"]
    assert seen["state"] == "disabled"
    assert seen["disabled_s"] < 30.0
    assert seen["left"] == []
    assert seen["exit_code"] == 130
    assert "Traceback" not in seen["output"]


def test_sigkill_of_autotune_while_a_scheduler_is_attached_gives_the_host_back(ours: Cases) -> None:
    seen = ours["attached", "kill"]
    assert seen["state"] == "disabled"
    assert seen["disabled_s"] < 30.0
    assert seen["left"] == []


def test_sigterm_is_an_interruption_too(ours: Cases) -> None:
    seen = ours["attached", "term"]
    assert seen["state"] == "disabled"
    assert seen["disabled_s"] < 30.0
    assert seen["left"] == []
    assert "Traceback" not in seen["output"]


def test_a_holder_that_dies_makes_its_run_invalid_and_the_session_goes_on(ours: Cases) -> None:
    seen = ours["attached", "kill-holder"]
    assert seen["state"] == "disabled"
    assert seen["disabled_s"] < 30.0
    assert seen["left"] == []
    assert seen["exit_code"] == 0
    assert "holder" in seen["output"]


@pytest.mark.built
@pytest.mark.usefixtures("built_schedulers")
@pytest.mark.parametrize("how", ["kill-holder", "kill-both", "ctrl-c"])
def test_a_script_that_starts_the_real_scheduler_is_no_way_to_stay(wrapped: Cases, how: str) -> None:
    """The kernel's parent-death signal reaches the script alone."""
    seen = wrapped["attached", how]
    assert seen["state"] == "disabled", seen
    assert seen["left"] == [], seen
    if how == "kill-holder":
        assert "holder" in seen["output"]
