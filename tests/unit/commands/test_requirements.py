# SPDX-License-Identifier: MIT
"""What doctor looks at, what it concludes, and that it says how to mend what is missing."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from autotune.commands import requirements
from autotune.commands.requirements import BOTH, HOST, OPTIONAL, VM, can_run
from autotune.machine import select
from autotune.machine.vm import kernels, kvm
from autotune.records import KernelState
from autotune.schedext import build, kernel
from autotune.views.checks import Check
from tests.support import btf_files


def check(required_for: tuple[str, ...], found: bool = True) -> Check:
    return Check("thing", found, "", "purpose", "fix", required_for)


def named(name: str) -> Check:
    return next(row for row in requirements.collect() if row.name == name)


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine where nothing was installed or fetched."""
    for variable in ("XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(variable, str(tmp_path / variable))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(build, "_clangs", lambda: iter(()))  # it looks into /usr/bin whatever PATH says
    monkeypatch.setattr(kernels, "_host", lambda: None)
    monkeypatch.setattr(shutil, "which", lambda *_args, **_named: None)
    return tmp_path


@pytest.mark.parametrize(
    ("missing", "host", "vm"),
    [(BOTH, False, False), (HOST, False, True), (VM, True, False), (OPTIONAL, True, True)],
)
def test_a_machine_can_run_schedulers_when_all_that_it_needs_is_there(
    missing: tuple[str, ...], host: bool, vm: bool
) -> None:
    rows = [check(BOTH), check(HOST), check(VM), check(missing, found=False)]
    assert can_run(rows) == {"host": host, "vm": vm}


def test_every_check_has_its_own_name_a_purpose_and_a_known_machine() -> None:
    rows = requirements.collect()
    assert len({row.name for row in rows}) == len(rows)
    assert all(row.purpose for row in rows)
    assert {machine for row in rows for machine in row.required_for} == {"host", "vm"}


@pytest.mark.usefixtures("bare")
def test_what_is_missing_comes_with_what_mends_it() -> None:
    missing = [row for row in requirements.collect() if not row.found]
    assert {"clang", "qemu-system-x86_64", "busybox", "VM kernel"} <= {row.name for row in missing}
    assert [row.name for row in missing if not row.fix and row.required_for] == []


@pytest.mark.usefixtures("bare")
def test_nothing_installed_means_that_nothing_can_run() -> None:
    assert can_run(requirements.collect()) == {"host": False, "vm": False}


@pytest.mark.usefixtures("bare")
def test_a_kernel_that_is_not_there_is_fetched_by_vm_setup() -> None:
    assert named("VM kernel").fix == "autotune vm setup"


def test_a_program_outside_the_users_path_is_found_where_root_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert named("modprobe").detail.endswith("sbin/modprobe")


@pytest.mark.slow
def test_another_scheduler_that_is_attached_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    attached = KernelState(state="enabled", ops="rusty_1.0", enable_seq=1, nr_rejected=0, switch_all=True)
    monkeypatch.setattr(kernel, "read_state", lambda: attached)
    assert named("sched_ext").found
    assert not named("other scheduler").found
    assert "rusty_1.0" in named("other scheduler").detail


def test_a_kernel_without_sched_ext_cannot_be_used_as_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    without = KernelState(state=kernel.UNSUPPORTED, ops=None, enable_seq=0, nr_rejected=0, switch_all=None)
    monkeypatch.setattr(kernel, "read_state", lambda: without)
    assert not named("sched_ext").found
    assert not can_run(requirements.collect())["host"]


@pytest.mark.first
@pytest.mark.parametrize(("functions", "found"), [(btf_files.BROKEN, False), (btf_files.GOOD, True)])
def test_a_host_kernel_that_cannot_load_any_scheduler_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, functions: btf_files.Functions, found: bool
) -> None:
    usable = KernelState(state="disabled", ops=None, enable_seq=0, nr_rejected=0, switch_all=False)
    (tmp_path / "vmlinux").write_bytes(btf_files.btf(functions))
    monkeypatch.setattr(kernel, "read_state", lambda: usable)
    monkeypatch.setattr(kernel, "too_old", lambda _release: False)
    monkeypatch.setattr(build, "KERNEL_BTF", tmp_path / "vmlinux")
    assert named("sched_ext").found is found
    assert ("scx_bpf_kick_cpu" in named("sched_ext").detail) is not found


@pytest.mark.first
@pytest.mark.parametrize(("functions", "found"), [(btf_files.BROKEN, False), (btf_files.GOOD, True)])
def test_a_kernel_of_the_micro_vm_that_cannot_load_any_scheduler_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, functions: btf_files.Functions, found: bool
) -> None:
    (tmp_path / "vmlinux").write_bytes(btf_files.elf(btf_files.btf(functions)))
    kept = kernels.Kernel("7.2.12", tmp_path / "vmlinuz", tmp_path, "host", unpacked=tmp_path / "vmlinux")
    monkeypatch.setattr(kernels, "find", lambda _given: kept)
    assert named("VM kernel").found is found
    assert (named("VM kernel").fix == "autotune vm setup") is not found


@pytest.mark.first
@pytest.mark.parametrize(
    ("script", "found", "detail"),
    [
        ("exit 0", True, "sudo starts the holder without a password"),
        ("echo 'sudo: a password is required' >&2; exit 1", False, "sudo asks for a password"),
        ("echo 'sudo: eve is not in the sudoers file' >&2; exit 1", False, "sudo refuses: eve is not in the sudoers"),
        # A ticket that `sudo -v` left counts at a terminal, which the holder has not.
        ("test -t 0 || { echo 'sudo: a password is required' >&2; exit 1; }", False, "sudo asks for a password"),
    ],
)
def test_an_ordinary_user_needs_a_sudo_that_starts_the_holder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, found: bool, detail: str
) -> None:
    (tmp_path / "sudo").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "sudo").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    row = named("root")
    assert row.found is found
    assert detail in row.detail
    assert "NOPASSWD" in row.fix
    assert "sudo -v" not in row.fix
    problem = row.detail if not found else None
    monkeypatch.setattr(kernel, "read_state", lambda: KernelState("disabled", None, 1, 0, None))
    monkeypatch.setattr(kernel, "too_old", lambda _release: False)
    assert select.host_problem() == problem, "who chooses the machine and who advises must agree"


@pytest.mark.parametrize(
    ("boots", "found", "detail"), [(True, True, "proven"), (False, False, "does not boot"), (None, True, "not tried")]
)
def test_kvm_is_what_a_boot_has_shown(
    bare: Path, monkeypatch: pytest.MonkeyPatch, boots: bool | None, found: bool, detail: str
) -> None:
    monkeypatch.setattr(kvm, "usable_device", lambda: True)
    if boots is not None:
        kvm.KvmResults().remember("", "", boots)
    assert named("KVM").found == found
    assert detail in named("KVM").detail
    assert (bare / "XDG_STATE_HOME").exists() == (boots is not None)


@pytest.mark.slow
def test_a_busy_machine_is_reported_as_noisy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (64.0, 1.0, 1.0))
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    assert not named("quiet machine").found
    assert named("quiet machine").required_for == OPTIONAL


@pytest.mark.slow
def test_whether_knobs_can_be_searched_is_said_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert named("search").found
    monkeypatch.setitem(sys.modules, "optuna", None)
    missing = named("search")
    assert not missing.found
    assert missing.required_for == ()
    assert missing.fix == "pip install 'autotune-sched[search]'"
