# SPDX-License-Identifier: MIT
"""A host where somebody else attached a scheduler, and schedulers that are kept attached, by a person or by a client of
the MCP server: played by the VM."""

from __future__ import annotations

from typing import Any

import pytest

from autotune.machine.vm.kernels import Kernel
from autotune.machine.vm.resilient import ResilientVM
from tests.support.guest import built_object, guest_json

pytestmark = [pytest.mark.vm, pytest.mark.slow]


@pytest.fixture(scope="module")
def living(vm: ResilientVM, kernel: Kernel) -> Any:
    """All that was seen with somebody else's schedulers: one script, since each start of Python takes seconds."""
    arguments = ("at_fifo", built_object("at_fifo", kernel), str(kernel.libbpf), built_object("at_vtime", kernel))
    return guest_json(vm, "living.py", *arguments, timeout_s=400.0)


@pytest.fixture(scope="module")
def applying(vm: ResilientVM, kernel: Kernel) -> Any:
    return guest_json(vm, "applying.py", built_object("at_vtime", kernel), str(kernel.libbpf), timeout_s=900.0)


@pytest.fixture(scope="module")
def by_client(vm: ResilientVM) -> Any:
    return guest_json(vm, "by_client.py", timeout_s=900.0)


# --- somebody else's ---


def test_nothing_is_attached_and_nobody_is_named(living: Any) -> None:
    assert living["nothing"] is None
    assert living["state"] == "disabled"


def test_one_started_by_hand_is_named_replaced_and_started_again_as_it_was(living: Any) -> None:
    seen = living["by_hand"]
    assert seen["before"]["origin"] == "hand"
    assert f"by process {seen['before']['pid']} " in seen["before"]["sentence"]
    assert seen["before"]["sentence"].endswith("started by hand")
    assert seen["while"] == "disabled"
    assert seen["after"]["origin"] == "hand"
    assert seen["error"] is None
    assert seen["said"][-1] == "at_fifo is attached again"
    assert seen["again"] == {"same_argv": True, "cwd": "/usr", "marked": True, "own_session": True, "another": True}


def test_only_a_flag_or_a_yes_is_consent(living: Any) -> None:
    seen = living["consent"]
    assert (seen["flag"], seen["yes"]) == (True, True)
    for refused in (seen["no"], seen["nobody"]):
        assert "started by hand" in refused
        assert "--replace-current" in refused


def test_it_is_restored_after_an_error_too(living: Any) -> None:
    assert living["error"]["error"] == "a test"
    assert living["error"]["while"] == "disabled"
    assert living["error"]["after"]["origin"] == "hand"


def test_it_is_restored_when_autotune_is_killed(living: Any) -> None:
    assert living["killed"]["while"] == "disabled"
    assert living["killed"]["after"]["sentence"].startswith("at_fifo, by process")


def test_whoever_attached_meanwhile_is_left_alone(living: Any) -> None:
    seen = living["meanwhile"]
    assert seen["after"]["sentence"].startswith("at_vtime, by process")
    assert "at_vtime was attached meanwhile and is left alone" in seen["said"][-1]


def test_one_of_the_service_goes_and_comes_through_the_service(living: Any) -> None:
    seen = living["service"]
    assert seen["before"]["origin"] == seen["after"]["origin"] == "scx.service"
    assert seen["while"] == "disabled"
    assert seen["error"] is None


def test_one_of_the_loader_goes_and_comes_through_the_loader_in_its_mode(living: Any) -> None:
    seen = living["loader"]
    assert seen["before"]["sentence"] == "at_fifo, by scx_loader (mode gaming)"
    assert seen["while"] == "disabled"
    assert seen["after"]["mode"] == "gaming"
    start = "start --sched bpfland --mode gaming"
    assert seen["asked"] == [start, "stop", start]


# --- kept attached ---


def test_what_is_applied_stays_until_stop(applying: Any) -> None:
    assert applying["nothing"] == {"exit_code": 0, "stdout": "nothing is applied\n", "stderr": ""}
    seen = applying["stop"]
    assert (seen["state"], seen["ops"]) == ("enabled", "at_fifo")
    assert seen["then"]["exit_code"] == 0
    assert seen["then"]["stdout"].startswith("at_fifo:slice_us=4000 was stopped; the kernel is back")
    assert (seen["exit_code"], seen["recorded"]) == (0, False)
    assert seen["after"] == {"state": "disabled", "ops": None}


def test_a_second_one_is_refused_and_disturbs_nothing(applying: Any) -> None:
    assert applying["twice"]["then"]["exit_code"] == 1
    assert "at_fifo is applied already" in applying["twice"]["then"]["stderr"]
    assert applying["twice"]["exit_code"] == 0


def test_one_that_the_kernel_ejects_is_exit_code_1_with_the_reason(applying: Any) -> None:
    seen = applying["ejected"]
    assert seen["exit_code"] == 1
    assert "at_fifo is not attached any more" in seen["stderr"]
    assert "disabled by sysrq-S" in seen["stderr"]
    assert seen["after"]["state"] == "disabled"
    assert seen["recorded"] is False


def test_when_it_is_killed_the_kernel_detaches_and_stop_finds_nobody(applying: Any) -> None:
    assert applying["killed"]["after"]["state"] == "disabled"
    assert applying["stop_after_kill"]["stdout"] == "nothing is applied\n"


def test_a_session_names_another_autotune_and_leaves_its_scheduler_alone(applying: Any) -> None:
    seen = applying["beside_another"]
    assert seen["exit_code"] == 1, seen
    assert seen["stderr"].count("\n") == 1
    said = "autotune: attach: a sched_ext scheduler is attached already: at_vtime, by another autotune (process "
    assert seen["stderr"].startswith(said)
    assert "Wait for it to end" in seen["stderr"]
    assert (seen["ops"], seen["was_set_up"]) == ("at_vtime", False)


def test_one_in_the_way_is_named_and_with_consent_replaced_until_the_end(applying: Any) -> None:
    assert applying["in_the_way"]["exit_code"] == 1
    assert "at_vtime, by process" in applying["in_the_way"]["stderr"]
    assert "--replace-current" in applying["in_the_way"]["stderr"]
    seen = applying["replaced"]
    assert (seen["ops"], seen["exit_code"]) == ("at_fifo", 0)
    assert seen["after"] == {"state": "enabled", "ops": "at_vtime"}
    assert seen["stdout"].endswith("at_vtime is attached again\n")


def test_a_session_replaces_keeps_its_winner_until_ctrl_c_and_restores(applying: Any) -> None:
    seen = applying["session"]
    assert seen["exit_code"] == 0, seen["stderr"]
    assert "stopping at_vtime, by process" in seen["stdout"]
    assert seen["kept"] == "at_fifo"
    assert "faster" in seen["stdout"]
    assert "at_fifo is applied; Ctrl-C or 'autotune stop' ends it" in seen["stdout"]
    assert seen["stdout"].rstrip().endswith("at_vtime is attached again")
    assert seen["after"] == "at_vtime"


# --- a client of the MCP server ---


def test_without_the_persons_consent_nothing_is_attached(by_client: Any) -> None:
    assert "did not agree" in by_client["declined"]
    assert by_client["after no"][0] == "disabled"


def test_a_client_attaches_a_scheduler_for_a_moment_and_stops_it(by_client: Any) -> None:
    assert by_client["run"] == ["enabled", "at_fifo"]
    assert by_client["running"]["status"] == "running"
    assert by_client["after stop"] == ["disabled", None]


def test_a_client_keeps_one_and_releases_it(by_client: Any) -> None:
    assert by_client["applied"] == ["enabled", "at_fifo"]
    assert "is running" in by_client["second"]
    assert by_client["release"]["status"] == "released"
    assert by_client["released"] == ["disabled", None]


def test_when_the_client_is_gone_the_machine_is_given_back(by_client: Any) -> None:
    assert by_client["at the end"] == ["enabled", "at_fifo"]
    assert by_client["client gone"] == ["disabled", None]


def test_the_person_was_asked_each_time_for_what_was_done(by_client: Any) -> None:
    questions = by_client["questions"]
    names = [next(name for name in ("at_fifo", "at_vtime") if name in one) for one in questions]
    assert names == ["at_fifo", "at_fifo", "at_vtime", "at_fifo"]
    assert all("change the CPU scheduler of this machine" in one for one in questions)
