# SPDX-License-Identifier: MIT
"""autotune on a host whose kernel has sched_ext: played by the VM, where it runs itself."""

from __future__ import annotations

import shlex
import sys
from typing import Any

import pytest

from autotune.machine.vm.resilient import ResilientVM
from tests.support.guest import guest_json, guest_run

pytestmark = [pytest.mark.vm, pytest.mark.slow]

SHORT = ("--scheduler", "at_fifo", "--runs", "2", "--no-observe", "--", "sleep", "0.2")


def session(vm: ResilientVM, user: str, *arguments: str) -> Any:
    return guest_json(vm, "host_mode.py", user, *arguments, timeout_s=400.0)


def test_root_gets_a_table_with_evidence(vm: ResilientVM) -> None:
    seen = session(vm, "root", *SHORT)
    assert seen["exit_code"] == 0, seen
    assert "at_fifo" in seen["stdout"]
    assert "EEVDF" in seen["stdout"]
    assert seen["state"] == "disabled"
    assert "\x1b" not in seen["stdout"]


def test_an_ordinary_user_with_sudo_gets_one_too_and_the_workload_runs_as_that_user(vm: ResilientVM) -> None:
    seen = session(vm, "with-sudo", *SHORT[:-3], "--metric", r"uid: (4242)", "--", "sh", "-c", "echo uid: $(id -u)")
    assert seen["exit_code"] == 0, seen
    assert "at_fifo" in seen["stdout"]
    assert seen["state"] == "disabled"


def test_through_sudo_the_command_has_the_home_and_the_names_of_the_user_and_not_roots(vm: ResilientVM) -> None:
    asked = """test "$HOME $USER $LOGNAME $(id -un)" = "/run/tester tester tester tester" && test -z "$SUDO_UID" """
    command = f"{asked} && touch ~/written && echo mine: 1"
    seen = session(
        vm,
        "through-sudo",
        *SHORT[:-3],
        "--warmup",
        "0",
        "--budget",
        "30s",
        "--metric",
        "mine: (1)",
        "--",
        "sh",
        "-c",
        command,
    )
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


def test_an_ordinary_user_without_sudo_is_told_what_to_do(vm: ResilientVM) -> None:
    seen = session(vm, "without-sudo", *SHORT)
    assert seen["exit_code"] == 4
    assert "needs root" in seen["stderr"]
    assert "Traceback" not in seen["stderr"]
    assert seen["state"] == "disabled"


def test_a_sudo_rule_for_the_holder_alone_is_enough(vm: ResilientVM) -> None:
    seen = session(vm, "with-holder", *SHORT)
    assert seen["exit_code"] == 0, seen
    assert "at_fifo" in seen["stdout"]
    assert seen["state"] == "disabled"


def test_a_password_given_to_sudo_at_the_terminal_is_no_root_and_that_is_said_before_the_baseline(
    vm: ResilientVM,
) -> None:
    """The holder has no terminal, where such a ticket would count."""
    seen = session(vm, "with-ticket", *SHORT[:-2], "sh", "-c", "touch /tmp/measured")
    assert seen["exit_code"] == 4, seen
    assert "the host cannot be used: switching schedulers needs root, and sudo asks for a password" in seen["stderr"]
    assert guest_run(vm, "test", "-e", "/tmp/measured").exit_code == 1
    seen = session(vm, "with-ticket", "--machine", "auto", "--dry-run", *SHORT)
    assert seen["exit_code"] == 0, seen
    assert "micro-VM" in seen["stdout"]
    assert "sudo asks for a password" in seen["stdout"]
