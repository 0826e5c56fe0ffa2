# SPDX-License-Identifier: MIT
"""The service on a host whose kernel has sched_ext, played by the VM: real schedulers, real users, a hostile one.

It is started by its socket and the command of the unit that scripts/install-daemon writes. Users have no rule for sudo.
"""

from __future__ import annotations

from typing import Any

import pytest

from autotune.machine.vm.resilient import ResilientVM
from tests.support.guest import guest_json

pytestmark = [pytest.mark.vm, pytest.mark.slow]

TESTER = 4242


@pytest.fixture(scope="module")
def seen(vm: ResilientVM) -> Any:
    return guest_json(vm, "daemon_host.py", timeout_s=900.0)


def test_what_is_installed_starts_by_its_socket_and_ends_in_order(seen: Any) -> None:
    code, unit = seen["installed"]
    assert code == 0, unit
    assert "autotune/daemon.py --group autotune" in unit
    assert seen["ended"] == 0


def test_systemd_finds_nothing_wrong_with_the_units_and_they_can_be_enabled_and_removed(seen: Any) -> None:
    assert seen["verified"] == [0, ""]
    assert seen["enabled"] == ["enabled", 0, []]


def test_a_member_of_the_group_needs_no_sudo_and_a_stranger_is_refused(seen: Any) -> None:
    assert seen["way"] == "daemon"
    assert seen["stranger"] == "PrivilegeError"


def test_one_client_has_the_lease_and_another_is_told_who(seen: Any) -> None:
    assert seen["attached"] == ["at_fifo", "enabled"]
    assert seen["another"] == "BusyError: tester has the scheduler of this machine"


def test_nothing_is_attached_that_the_catalogue_does_not_allow(seen: Any) -> None:
    assert len(seen["wrong"]) == 15
    assert [text for text, outcome in seen["wrong"].items() if not outcome.startswith("UsageError: ")] == []
    assert seen["a path"] == "UsageError: no scheduler is called 'at_nothing'"
    assert seen["still attached"] == "enabled"


def test_200_hostile_connections_change_nothing_for_who_has_the_lease(seen: Any) -> None:
    assert seen["beside 200"] == [200, "disabled"]


def test_a_silent_client_and_one_that_goes_lose_the_scheduler(seen: Any) -> None:
    assert seen["silent"] == ["enabled", "disabled", "LeaseLapsed"]
    assert seen["gone"] == ["enabled", "disabled"]


def test_apply_needs_no_sudo_and_sigkill_of_the_service_detaches_and_is_said(seen: Any) -> None:
    assert seen["apply"] == ["at_fifo is applied; Ctrl-C or 'autotune stop' ends it", "enabled"]
    assert seen["killed"] == "disabled"
    said, code = seen["apply then"]
    assert code == 1
    assert "the lease of the daemon ended" in said
    assert said.count("\n") == 1


def test_a_job_waits_for_the_lease_outlives_the_service_and_runs_as_its_user(seen: Any) -> None:
    assert "job 1 is queued" in seen["submit"]
    assert seen["waits"] == "tester has the lease"
    assert seen["watch"][0] == 0, seen["watch"]
    assert seen["ran as"] == [str(TESTER), TESTER]
    assert seen["owner of the report"] == TESTER
    assert seen["runs"]["at_fifo"] >= 2
    assert seen["at the end"] == "disabled"


def test_a_run_needs_no_sudo_either_and_under_the_lease_of_another_it_just_runs(seen: Any) -> None:
    said, state = seen["run"]
    assert "at_fifo is attached (after" in said
    assert state == "enabled"
    code, state, said = seen["run then"]
    assert (code, state) == (-9, "disabled")
    assert "under at_fifo, ended by signal 9" in said
    said, state = seen["run beside"]
    assert "the command just runs: tester has the scheduler of this machine" in said
    assert state == "disabled"
