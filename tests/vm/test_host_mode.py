# SPDX-License-Identifier: MIT
"""autotune on a host whose kernel has sched_ext: played by the VM, where it runs itself."""

from __future__ import annotations

import json
import shlex
import sys
from typing import Any

import pytest

from autotune.knowledge.uses import NOT_AGAIN
from autotune.machine.vm.resilient import ResilientVM
from tests.support.guest import guest_json, guest_run

pytestmark = [pytest.mark.vm, pytest.mark.slow]

SHORT = ("--scheduler", "at_fifo", "--runs", "2", "--no-observe", "--", "sleep", "0.2")


HOME_OF_TESTER = (
    """test "$HOME $USER $LOGNAME $(id -un)" = "/run/tester tester tester tester" && test -z "$SUDO_UID" """
    "&& touch ~/written && echo mine: 1"
)
CASES = {
    "root": ("root", SHORT),
    "with sudo": ("with-sudo", (*SHORT[:-3], "--metric", r"uid: (4242)", "--", "sh", "-c", "echo uid: $(id -u)")),
    "through sudo": (
        "through-sudo",
        (*SHORT[:-3], "--warmup", "0", "--budget", "30s", "--metric", "mine: (1)", "--", "sh", "-c", HOME_OF_TESTER),
    ),
    "without sudo": ("without-sudo", SHORT),
    "with holder": ("with-holder", SHORT),
    "with ticket": ("with-ticket", (*SHORT[:-2], "sh", "-c", "touch /tmp/measured")),
    "with ticket, auto": ("with-ticket", ("--machine", "auto", "--dry-run", *SHORT)),
}
"""Who starts which session: see host_mode.py."""


@pytest.fixture(scope="module")
def sessions(vm: ResilientVM) -> Any:
    """What came of each session. All are forked from one process, but for the one through sudo: a start takes ten to
    twenty seconds there. `make`, below, really starts one too."""
    given = json.dumps([{"user": user, "argv": argv} for user, argv in CASES.values()])
    return dict(zip(CASES, guest_json(vm, "host_mode.py", given, timeout_s=1200.0), strict=True))


def test_root_gets_a_table_with_evidence(sessions: Any) -> None:
    seen = sessions["root"]
    assert seen["exit_code"] == 0, seen
    assert "at_fifo" in seen["stdout"]
    assert "EEVDF" in seen["stdout"]
    assert seen["state"] == "disabled"
    assert "\x1b" not in seen["stdout"]


def test_an_ordinary_user_with_sudo_gets_one_too_and_the_workload_runs_as_that_user(sessions: Any) -> None:
    seen = sessions["with sudo"]
    assert seen["exit_code"] == 0, seen
    assert "at_fifo" in seen["stdout"]
    assert seen["state"] == "disabled"


def test_through_sudo_the_command_has_the_home_and_the_names_of_the_user_and_not_roots(
    vm: ResilientVM, sessions: Any
) -> None:
    seen = sessions["through sudo"]
    assert seen["exit_code"] == 0, seen
    assert "at_fifo" in seen["stdout"]
    assert guest_run(vm, "stat", "-c", "%U", "/run/tester/written").stdout.head.strip() == "tester"


SUB = """
all: one two
one two:
\t@touch $@; for i in $$(seq 600); do [ -e one -a -e two ] && exit 0; sleep 0.1; done; exit 1
.PHONY: all one two
"""
"""Its jobs end well only when both run at the same time."""


def test_under_make_a_make_that_is_measured_shares_the_jobs(vm: ResilientVM) -> None:
    program = f"{sys.executable} -m autotune cc --machine host --warmup 0 --budget 30s --prepare 'rm -f one two'"
    recipe = f"+{program} {' '.join(SHORT[:-3])} 'make -f sub.mk'"
    files = {"Makefile": f"all:\n\t{recipe}\n", "sub.mk": SUB}
    written = "; ".join(f"printf %s {shlex.quote(text)} > {name}" for name, text in files.items())
    done = guest_run(vm, "sh", "-c", f"mkdir /tmp/made && cd /tmp/made && {written}; make -j2", timeout_s=400.0)
    assert done.exit_code == 0, done.stderr
    assert "at_fifo" in done.stdout.head + done.stdout.tail
    assert "jobserver" not in done.stderr.head + done.stderr.tail


def test_an_ordinary_user_without_sudo_is_told_what_to_do(sessions: Any) -> None:
    seen = sessions["without sudo"]
    assert seen["exit_code"] == 4
    assert "needs root" in seen["stderr"]
    assert "Traceback" not in seen["stderr"]
    assert seen["state"] == "disabled"


def test_a_sudo_rule_for_the_holder_alone_is_enough(sessions: Any) -> None:
    seen = sessions["with holder"]
    assert seen["exit_code"] == 0, seen
    assert "at_fifo" in seen["stdout"]
    assert seen["state"] == "disabled"


def test_a_password_given_to_sudo_at_the_terminal_is_no_root_and_that_is_said_before_the_baseline(
    vm: ResilientVM, sessions: Any
) -> None:
    """The holder has no terminal, where such a ticket would count."""
    seen = sessions["with ticket"]
    assert seen["exit_code"] == 4, seen
    assert "the host cannot be used: switching schedulers needs root, and sudo asks for a password" in seen["stderr"]
    assert guest_run(vm, "test", "-e", "/tmp/measured").exit_code == 1
    seen = sessions["with ticket, auto"]
    assert seen["exit_code"] == 0, seen
    assert "micro-VM" in seen["stdout"]
    assert "sudo asks for a password" in seen["stdout"]


# --- autotune run ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(vm: ResilientVM) -> Any:
    """What was seen of commands under `autotune run`, by scene."""
    return guest_json(vm, "running.py", timeout_s=600.0)


def test_two_runs_share_one_scheduler_and_the_last_one_detaches_it(run: Any) -> None:
    seen = run["shared"]
    assert seen["attached"] == seen["after_first"] == "at_fifo", seen
    assert "at_fifo is attached (after" in seen["first"]
    assert "at_fifo is attached (shared with another run)" in seen["second"]
    assert seen["keepers"] == 1
    assert seen["is_the_same"]
    assert seen["detached"]
    assert "under at_fifo, ended by signal 15; known are 8.00 s under at_fifo" in seen["end"]


def test_a_keeper_of_runs_that_is_killed_detaches_and_the_command_goes_on(run: Any) -> None:
    seen = run["keeper_killed"]
    assert (seen["attached"], seen["detached"], seen["exit_code"]) == ("at_fifo", True, 5), seen
    assert "at_fifo was detached before the end: the process that kept it attached is gone" in seen["said"]


def test_what_a_command_leaves_running_does_not_keep_its_scheduler(run: Any) -> None:
    assert run["left"] == {"attached": "at_fifo", "exit_code": 0, "left": 1, "detached": True}


def test_a_partial_scheduler_gets_the_tasks_of_the_command_alone(run: Any) -> None:
    seen = run["partial"]
    assert (seen["attached"], seen["switch_all"], seen["policy"], seen["others"]) == ("at_fifo", "0", 7, [0]), seen
    assert (seen["exit_code"], seen["detached"]) == (7, True)


def test_while_a_command_is_stopped_its_scheduler_is_detached(run: Any) -> None:
    seen = {"attached": "at_fifo", "detached": True, "again": "at_fifo", "detached_at_the_end": True}
    assert run["stopped"] == seen


def test_under_another_lease_a_command_just_runs_and_with_require_it_does_not_start(run: Any) -> None:
    seen = run["another"]
    assert "the command just runs: another scheduler is attached: at_vtime, by another autotune" in seen["said"]
    assert seen["attached"] == seen["still"] == "at_vtime"
    assert seen["required"] == 1
    assert "autotune: run: --require: another scheduler is attached: at_vtime" in seen["why"]


def test_runs_are_noted_with_what_they_ran_under_and_how_they_ended(run: Any) -> None:
    noted = [(one["key"], one["status"], one["lost"]) for one in run["uses"]]
    assert ("at_fifo", -15, None) in noted
    assert ("at_fifo:partial=true", 7, None) in noted
    assert ("at_fifo", 5, "the process that kept it attached is gone") in noted
    assert ("eevdf", -9, None) in noted
    assert not any(lost and lost.startswith(NOT_AGAIN) for _, _, lost in noted), "killed while stopped is no loss"


def test_a_run_of_an_ordinary_user_has_its_scheduler_by_sudo_and_without_the_rule_it_just_runs(run: Any) -> None:
    seen = run["by_sudo"]
    assert "at_fifo is attached (after" in seen["said"], seen
    assert (seen["attached"], seen["detached"]) == ("at_fifo", True)
    assert seen["command"] == 4242
    assert seen["owners"] == {"lease/shared.py": 4242, "holding/holder.py": 0}
    assert "the command just runs: switching schedulers needs root, and sudo" in seen["refused"]
    assert (seen["still"], seen["exit_code"]) == ("disabled", -15)
    assert [(one["key"], one["status"]) for one in seen["uses"]] == [("at_fifo", -9), ("eevdf", -15)]
