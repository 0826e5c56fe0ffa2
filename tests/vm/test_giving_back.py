# SPDX-License-Identifier: MIT
"""Whatever happens to autotune on a host, the host ends on the scheduler it had before, within 5 seconds."""

from __future__ import annotations

import os
import sys
from typing import Any

import pytest

from autotune.machine.vm.resilient import ResilientVM
from tests.support.built_programs import built
from tests.support.guest import guest_json, guest_run

pytestmark = [pytest.mark.vm, pytest.mark.slow]

CC = (
    sys.executable,
    "-m",
    "autotune",
    "cc",
    "--machine",
    "host",
    "--scheduler",
    "at_fifo",
    "--scheduler",
    "at_vtime",
    "--runs",
    "3",
)
# Its metric is better under any of our schedulers, so that there always is a leader to confirm.
SCRIPT = "sleep 0.7531; grep -qs at_ /sys/kernel/sched_ext/root/ops && echo v: 1 || echo v: 2"
WORKLOAD = ("--prepare", "sleep 0.7001", "--metric", "v: (.*)", "--", "sh", "-c", SCRIPT)


def disturbed(vm: ResilientVM, when: str, how: str) -> Any:
    return guest_json(vm, "giveback.py", when, how, *CC, *WORKLOAD, timeout_s=600.0)


@pytest.mark.parametrize("when", ["prepare", "baseline", "attached", "confirm"])
def test_ctrl_c_in_any_phase_gives_the_host_back(vm: ResilientVM, when: str) -> None:
    seen = disturbed(vm, when, "ctrl-c")
    assert seen["state"] == "disabled"
    assert seen["disabled_s"] < 30.0
    assert seen["left"] == []
    assert seen["exit_code"] == 130
    assert "Traceback" not in seen["output"]


def test_sigkill_of_autotune_while_a_scheduler_is_attached_gives_the_host_back(vm: ResilientVM) -> None:
    seen = disturbed(vm, "attached", "kill")
    assert seen["state"] == "disabled"
    assert seen["disabled_s"] < 30.0
    assert seen["left"] == []


def test_sigterm_is_an_interruption_too(vm: ResilientVM) -> None:
    seen = disturbed(vm, "attached", "term")
    assert seen["state"] == "disabled"
    assert seen["disabled_s"] < 30.0
    assert seen["left"] == []
    assert "Traceback" not in seen["output"]


def test_a_holder_that_dies_makes_its_run_invalid_and_the_session_goes_on(vm: ResilientVM) -> None:
    seen = disturbed(vm, "attached", "kill-holder")
    assert seen["state"] == "disabled"
    assert seen["disabled_s"] < 30.0
    assert seen["left"] == []
    assert seen["exit_code"] == 0
    assert "holder" in seen["output"]


@pytest.mark.built
@pytest.mark.usefixtures("built_schedulers")
@pytest.mark.parametrize("how", ["kill-holder", "kill-both", "ctrl-c"])
def test_a_script_that_starts_the_real_scheduler_is_no_way_to_stay(vm: ResilientVM, how: str) -> None:
    """The kernel's parent-death signal reaches the script alone."""
    real = built("scx_cosmos")["scx_cosmos"].path
    script = '#!/bin/sh\nsetsid /run/wrapped/real_cosmos "$@" &\nwait\n'
    fill = f'cp {real} $d/real_cosmos; printf %s "$0" > $d/scx_cosmos'
    place = f"d=/run/wrapped; mkdir -p $d; {fill}; chmod 755 $d/*"
    assert guest_run(vm, "sh", "-c", place, script).exit_code == 0
    path = f"/run/wrapped:{os.environ['PATH']}"
    argv = (*CC[:6], "--scheduler", "scx_cosmos", "--runs", "3", *WORKLOAD)
    seen = guest_json(vm, "giveback.py", "attached", how, *argv, timeout_s=600.0, PATH=path)
    assert seen["state"] == "disabled", seen
    assert seen["left"] == [], seen
    if how == "kill-holder":
        assert "holder" in seen["output"]
