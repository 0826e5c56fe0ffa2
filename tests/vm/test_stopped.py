# SPDX-License-Identifier: MIT
"""autotune that is stopped (Ctrl-Z, SIGSTOP, a frozen control group) does not keep its scheduler attached."""

from __future__ import annotations

from typing import Any

import pytest

from autotune.machine.vm.kernels import Kernel
from autotune.machine.vm.resilient import ResilientVM
from tests.support.guest import built_object, guest_json

pytestmark = [pytest.mark.vm, pytest.mark.slow]


@pytest.fixture(scope="module")
def stopped(vm: ResilientVM, kernel: Kernel) -> Any:
    return guest_json(vm, "stopped.py", built_object("at_fifo", kernel), str(kernel.libbpf), timeout_s=600.0)


@pytest.mark.parametrize("how", ["stopped", "frozen"])
def test_the_holder_detaches_when_its_client_is_silent_and_says_so_afterwards(stopped: Any, how: str) -> None:
    seen = stopped[how]
    assert seen["attached"] == "attached"
    assert seen["kept"], "the lease was not renewed while the client lived"
    assert seen["detached_meanwhile"]
    assert seen["told"] == "LeaseLapsed autotune was stopped for more than 2 s, and at_fifo was detached"
    assert seen["again"] == "enabled disabled"
    assert seen["exit_code"] == 0


def test_ctrl_z_detaches_what_is_applied_and_fg_attaches_it_again(stopped: Any) -> None:
    seen = stopped["applied"]
    assert seen["attached"]
    assert (seen["detached"], seen["state"]) == (True, "T")
    assert seen["attached_again"]
    assert "at_fifo is detached until this process goes on (fg)" in seen["said"]
    assert "is applied again" in seen["said"]


def test_stop_ends_one_that_is_stopped(stopped: Any) -> None:
    seen = stopped["applied"]
    assert (seen["detached_again"], seen["state_again"]) == (True, "T")
    assert seen["stop"]["exit_code"] == 0, seen["stop"]
    assert seen["exit_code"] == 0
    assert stopped["state"] == "disabled"
