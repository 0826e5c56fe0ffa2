# SPDX-License-Identifier: MIT
"""The holder's client: how it is started, and what is said when it dies or hangs."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from autotune.deadline import Deadline
from autotune.errors import DetachError, HolderLost, LeaseLapsed, NotAttached, PrivilegeError
from autotune.records import KernelState
from autotune.schedext.holding import client as module
from autotune.schedext.holding import holder as holder_module
from autotune.schedext.holding.client import HolderClient, holder_argv
from tests.support.scripted_holder import DIE, EEVDF, HANG, OURS, SPEC, scripted, show
from tests.support.waiting import wait_until

# --- starting it -----------------------------------------------------------------------------------------


@pytest.fixture
def as_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Be an ordinary user whose `sudo` is this shell script."""

    def become(script: str) -> Path:
        sudo = tmp_path / "bin" / "sudo"
        sudo.parent.mkdir()
        sudo.write_text(f"#!/bin/sh\n{script}\n")
        sudo.chmod(stat.S_IRWXU)
        monkeypatch.setenv("PATH", f"{sudo.parent}:/usr/bin:/bin")
        return sudo

    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    return become


def test_root_starts_it_directly_and_isolated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    python, *options = holder_argv("/lib/libbpf.so.1", "0123abcd")
    assert os.path.isabs(python)
    assert options == [
        *("-S", "-E", "-I", os.path.realpath(holder_module.__file__)),
        *("--client", str(os.getpid()), "--token", "0123abcd", "--libbpf", "/lib/libbpf.so.1"),
    ]
    assert "--libbpf" not in holder_argv(None, "0123abcd")


def test_an_ordinary_user_starts_it_through_sudo_without_a_prompt(as_user: Callable[[str], Path]) -> None:
    sudo = as_user('echo "asked: $*" > "$(dirname "$0")/asked"')
    argv = holder_argv(None, "0123abcd")
    assert argv[:3] == [str(sudo), "-n", "--"]
    assert argv[4:7] == ["-S", "-E", "-I"]
    probed = [*argv[2 : argv.index("--client")], "--probe"]
    assert (sudo.parent / "asked").read_text() == f"asked: -n {' '.join(probed)}\n"


def test_a_sudo_that_asks_for_a_password_is_a_clear_error(as_user: Callable[[str], Path]) -> None:
    as_user("echo 'sudo: a password is required' >&2; exit 1")
    with pytest.raises(PrivilegeError, match="sudo asks for a password") as caught:
        HolderClient()
    assert "NOPASSWD" in caught.value.hint


def test_no_sudo_at_all_is_a_clear_error(as_user: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    as_user("exit 0").unlink()
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(PrivilegeError, match="there is no sudo"):
        HolderClient()


def test_a_sudo_that_refuses_only_the_holder_is_a_clear_error(as_user: Callable[[str], Path], tree: Path) -> None:
    as_user('echo "sudo: not allowed to run this" >&2; exit 1')
    assert tree
    with pytest.raises(PrivilegeError, match="sudo refuses: not allowed to run this"):
        HolderClient()


def test_a_sudo_that_refuses_after_it_was_probed_is_a_clear_error(as_user: Callable[[str], Path], tree: Path) -> None:
    as_user('case "$*" in *--probe) exit 0;; esac; echo "sudo: not allowed to run this" >&2; exit 1')
    assert tree
    holder = HolderClient()
    with pytest.raises(PrivilegeError, match="sudo refused to start the holder: not allowed to run this"):
        holder.attach(SPEC)
    holder.close()


def test_the_real_process_answers(tree: Path) -> None:
    assert tree
    holder = HolderClient(argv=[sys.executable, "-S", "-E", "-I", holder_module.__file__])
    assert holder.exit_record() is None
    with pytest.raises(NotAttached, match="no scheduler is attached"):
        holder.detach()
    holder.close()
    holder.close()


# --- when it dies or hangs -------------------------------------------------------------------------------


def alive(holder: HolderClient) -> bool:
    return holder._worker.process.poll() is None


def test_what_is_attached_is_known_until_it_is_detached(tree: Path) -> None:
    assert tree
    holder = scripted()
    assert holder.attachment is None
    assert holder.attach(SPEC) == holder.attachment
    assert holder.attachment is not None
    assert holder.attachment.after == OURS
    assert holder.detach().state == EEVDF
    assert holder.attachment is None
    holder.close()


def test_dying_in_the_middle_of_a_request_is_told_with_what_became_of_the_machine(tree: Path) -> None:
    assert tree
    holder = scripted(detach=DIE)
    holder.attach(SPEC)
    with pytest.raises(HolderLost, match=r"it is gone .*; the kernel is back on its own scheduler"):
        holder.detach()
    assert holder.attachment is None
    assert not alive(holder)
    holder.close()


def test_dying_between_two_requests_is_told_at_the_next(tree: Path) -> None:
    assert tree
    holder = scripted()
    holder.attach(SPEC)
    holder._worker.process.kill()
    holder._worker.process.wait()
    with pytest.raises(HolderLost, match="it is gone"):
        holder.exit_record()
    holder.close()


def test_what_it_said_before_it_died_is_kept(tree: Path) -> None:
    assert tree
    holder = scripted(attach="sys.stderr.write('x' * 9000 + ' the last word'); sys.stderr.flush(); " + DIE)
    with pytest.raises(HolderLost) as caught:
        holder.attach(SPEC)
    assert caught.value.detail.endswith("the last word")
    assert len(caught.value.detail) <= 4096
    holder.close()


@pytest.mark.slow
@pytest.mark.parametrize("what", ["attach", "detach"])
def test_a_holder_that_hangs_is_waited_for_no_longer_than_the_budget(
    tree: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr(module, "LEAST_ANSWER_S", 0.5)
    show(tree, EEVDF)
    holder = scripted(**{what: HANG}, deadline=Deadline(0.0))
    with pytest.raises(HolderLost, match=f"no answer to '{what}' within 0.5 s"):
        holder.attach(SPEC) if what == "attach" else holder.detach()
    holder.close()


@pytest.mark.slow
def test_hanging_ends_it_before_it_is_reported(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the kernel: the scheduler goes when its holder does, and not before."""
    monkeypatch.setattr(module, "ANSWER_S", 0.5)
    show(tree, OURS)
    holder = scripted(detach=HANG)
    holder._worker.request("exit", timeout_s=10.0)
    really = holder._worker.close

    def close(grace_s: float = 5.0) -> int | None:
        code = really(grace_s)
        show(tree, EEVDF)
        return code

    monkeypatch.setattr(holder._worker, "close", close)
    with pytest.raises(HolderLost, match=r"no answer to 'detach' within 0.5 s; the kernel is back"):
        holder.detach()
    assert not alive(holder)
    holder.close()


def test_a_scheduler_that_stays_though_its_holder_is_gone_is_said_to_be_there(tree: Path) -> None:
    show(tree, OURS)
    holder = scripted(attach=DIE)
    with pytest.raises(DetachError, match=r"sched_ext is still enabled \(at_test\)") as caught:
        holder.attach(SPEC)
    assert "sysrq" in caught.value.hint
    holder.close()


def test_on_a_kernel_without_sched_ext_a_lost_holder_holds_nothing(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that there is nothing to wait for."""
    (tree / "state").unlink()
    monkeypatch.setattr(module, "DETACH_S", 60.0)
    monkeypatch.setattr(module, "GUARD_S", 60.0)
    holder = scripted(attach=DIE)
    started = time.monotonic()
    with pytest.raises(HolderLost, match="the kernel is back"):
        holder.attach(SPEC)
    assert time.monotonic() - started < module.DETACH_S
    holder.close()


def test_a_lease_that_lapsed_leaves_nothing_to_be_sorry_for(tree: Path) -> None:
    assert tree
    lapse = "from autotune.errors import LeaseLapsed; raise LeaseLapsed('autotune was stopped')"
    holder = scripted(detach=lapse)
    holder.attach(SPEC)
    with pytest.raises(LeaseLapsed):
        holder.detach()
    assert alive(holder)
    show(tree, OURS)  # somebody else's by now
    holder.close()


@pytest.mark.parametrize(
    ("guarded", "generated", "lease_s"),
    [(True, False, 30.0), (True, True, 5.0), (False, False, None), (False, True, None)],
)
def test_a_lease_is_for_hosts_and_short_for_generated_ones(
    tree: Path, monkeypatch: pytest.MonkeyPatch, guarded: bool, generated: bool, lease_s: float | None
) -> None:
    assert tree
    monkeypatch.setattr("autotune.schedext.seal.check", lambda *_args, **_options: None)
    check = f"assert request['lease_s'] == {lease_s}, request['lease_s']"
    holder = scripted(attach=check)
    holder._guarded = guarded
    holder.attach(replace(SPEC, generated=generated))
    assert (holder._heart._thread is not None) == guarded
    holder.close()
    assert holder._heart._thread is None


def test_nonsense_instead_of_an_answer_is_a_lost_holder(tree: Path) -> None:
    assert tree
    holder = scripted(attach="os.write(1, b'hello\\n')")
    with pytest.raises(HolderLost, match="not JSON"):
        holder.attach(SPEC)
    assert not alive(holder)
    holder.close()


def test_closing_ends_the_process_and_leaves_no_file_open(tree: Path) -> None:
    assert tree
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        holder = scripted()
        holder.attach(SPEC)
        holder.close()
        holder.close()
        assert not alive(holder)
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("ending", ["killed", "closed its pipe"])
def test_one_that_died_is_noticed_without_asking_it(tree: Path, ending: str) -> None:
    assert tree
    holder = scripted(exit="os.close(1); time.sleep(60)")
    holder.attach(SPEC)
    holder.check()
    assert not holder.is_dead
    if ending == "killed":
        holder._worker.process.kill()
    else:
        holder._worker.notify("exit")
    wait_until(lambda: holder.is_dead)
    with pytest.raises(HolderLost, match=r"(was ended by SIGKILL|it is gone); the kernel is back"):
        holder.check()
    assert holder.attachment is None
    holder.close()


@pytest.mark.slow
def test_one_that_died_and_left_its_scheduler_attached_is_said_so_at_once(tree: Path) -> None:
    holder = scripted()
    holder.attach(SPEC)
    show(tree, OURS)
    holder._worker.process.kill()
    wait_until(lambda: holder.is_dead)
    with pytest.raises(DetachError, match=r"sched_ext is still enabled \(at_test\)"):
        holder.check()
    with pytest.raises(DetachError, match="at_test could not be detached"):
        holder.close()
    holder.close()


def test_what_a_dead_holder_left_is_ended_by_its_client(tree: Path) -> None:
    """Also when its guard was killed with it."""
    holder = scripted()
    holder.attach(SPEC)
    left = subprocess.Popen(["sleep", "300"], env={"AUTOTUNE_FENCE": holder._token}, start_new_session=True)
    other = subprocess.Popen(["sleep", "300"], env={"AUTOTUNE_FENCE": "0123456789abcdef"}, start_new_session=True)
    holder._worker.process.kill()
    wait_until(lambda: holder.is_dead)
    with pytest.raises(HolderLost):
        holder.check()
    assert left.wait(60) == -signal.SIGKILL
    assert other.poll() is None
    other.kill()
    other.wait()
    holder.close()
    assert tree


def test_closing_says_so_when_the_kernel_is_not_back(tree: Path) -> None:
    holder = scripted()
    holder.attach(SPEC)
    show(tree, OURS)
    with pytest.raises(DetachError, match=r"at_test could not be detached: sched_ext is still enabled") as caught:
        holder.close()
    assert "sysrq" in caught.value.hint


def test_closing_is_silent_about_the_scheduler_of_somebody_else(tree: Path) -> None:
    holder = scripted()
    holder.attach(SPEC)
    show(tree, KernelState("enabled", "scx_other", 9, 0, True))
    holder.close()


def test_a_detach_that_failed_is_not_forgotten_at_the_end(tree: Path) -> None:
    holder = scripted(detach="raise __import__('autotune.errors').errors.DetachError('it stays')")
    holder.attach(SPEC)
    show(tree, OURS)
    with pytest.raises(DetachError, match="it stays"):
        holder.detach()
    with pytest.raises(DetachError, match="could not be detached"):
        holder.close()
