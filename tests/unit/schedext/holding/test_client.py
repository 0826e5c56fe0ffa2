# SPDX-License-Identifier: MIT
"""The holder's client: how it is started, what is said when it dies or hangs, and the evidence about a run."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from autotune.errors import DetachError, HolderLost, NotAttached, PrivilegeError
from autotune.records import AttachSpec, Evidence, KernelState, SchedulerExit
from autotune.schedext import evidence as schedext_evidence
from autotune.schedext import kernel
from autotune.schedext.evidence import EvidenceTaker, compare, exit_text
from autotune.schedext.holding import client as module
from autotune.schedext.holding import holder as holder_module
from autotune.schedext.holding.client import HolderClient, holder_argv

TOP = Path(__file__).resolve().parents[4]
SPEC = AttachSpec("at_test", "/objects/at_test.o")
EEVDF = KernelState("disabled", None, 4, 0, False)
OURS = KernelState("enabled", "at_test", 5, 0, True)
STALLED = SchedulerExit(1026, 0, "runnable task stall", "make[7] failed to run for 2.0s")


def show(tree: Path, state: KernelState) -> None:
    """Make the sysfs tree say this."""
    (tree / "root").mkdir(parents=True, exist_ok=True)
    (tree / "root" / "ops").unlink(missing_ok=True)
    if state.ops is not None:
        (tree / "root" / "ops").write_text(state.ops)
    (tree / "enable_seq").write_text(str(state.enable_seq))
    (tree / "switch_all").write_text(str(int(bool(state.switch_all))))
    (tree / "state").write_text(state.state)


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sysfs tree that the client looks at; at first nothing is attached."""
    top = tmp_path / "sched_ext"
    show(top, EEVDF)
    monkeypatch.setattr(schedext_evidence, "read_state", partial(kernel.read_state, top))
    monkeypatch.setattr(module, "wait_for", partial(kernel.wait_for, sysfs=top))
    monkeypatch.setattr(module, "DETACH_S", 0.3)
    return top


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

SCRIPT = """
import os, signal, sys, time
sys.path.insert(0, {top!r})
from autotune.process import Channel, serve
from autotune.records import *; from autotune.wire import *
before, after = KernelState("disabled", None, 4, 0, False), KernelState("enabled", "at_test", 5, 0, True)
def attach(request, emit):
    {attach}
    return to_json(Attachment("at_test", before, after, 0.1))
def detach(request, emit):
    {detach}
    return to_json(Detachment(before, 0.1, None))
def exit_record(request, emit):
    {exit}
    return {record}
serve(Channel(0, 1), {{"attach": attach, "detach": detach, "exit": exit_record}})
"""
DIE = "os.kill(os.getpid(), signal.SIGKILL)"
HANG = "time.sleep(60)"


def scripted(attach: str = "", detach: str = "", exit: str = "", record: str = "None") -> HolderClient:
    """A holder that does what is asked of it, or something else."""
    code = SCRIPT.format(top=str(TOP), attach=attach, detach=detach, exit=exit, record=record)
    return HolderClient(argv=[sys.executable, "-S", "-E", "-c", code])


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
    assert left.wait(10) == -signal.SIGKILL
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


def wait_until(wanted: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not wanted():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# --- evidence --------------------------------------------------------------------------------------------


def evidence(
    tree: Path, holder: HolderClient | None, ops: str | None, before: KernelState, after: KernelState
) -> Evidence:
    show(tree, before)
    taker = EvidenceTaker(holder)
    taker.begin(ops)
    show(tree, after)
    return taker.finish()


def test_a_baseline_that_nobody_disturbed(tree: Path) -> None:
    assert evidence(tree, None, None, EEVDF, EEVDF) == Evidence(None, EEVDF, EEVDF, None)


def test_a_run_under_its_scheduler(tree: Path) -> None:
    holder = scripted()
    holder.attach(SPEC)
    assert evidence(tree, holder, "at_test", OURS, OURS) == Evidence("at_test", OURS, OURS, None)
    show(tree, EEVDF)
    holder.close()


def test_an_ejection_is_told_with_the_kernel_s_reason(tree: Path) -> None:
    holder = scripted(record="to_json(SchedulerExit(1026, 0, 'runnable task stall', 'make[7] failed to run for 2.0s'))")
    holder.attach(SPEC)
    gone = KernelState("disabled", None, 5, 0, False)
    seen = evidence(tree, holder, "at_test", OURS, gone)
    assert seen.problem == "ejected: runnable task stall (make[7] failed to run for 2.0s)"
    assert (seen.before, seen.after) == (OURS, gone)
    holder.close()


def test_a_scheduler_that_went_without_a_reason(tree: Path) -> None:
    holder = scripted()
    holder.attach(SPEC)
    seen = evidence(tree, holder, "at_test", OURS, KernelState("disabled", None, 5, 0, False))
    assert seen.problem == "at_test was not attached after the run (state disabled)"
    holder.close()


def test_a_holder_that_died_during_the_run(tree: Path) -> None:
    holder = scripted(exit=DIE)
    holder.attach(SPEC)
    seen = evidence(tree, holder, "at_test", OURS, KernelState("disabled", None, 5, 0, False))
    assert seen.problem == "the holder of the scheduler died"
    holder.close()


def test_a_run_whose_holder_died_is_invalid_whatever_the_kernel_says(tree: Path) -> None:
    """A scheduler that its holder's death left attached vouches for nothing."""
    holder = scripted()
    holder.attach(SPEC)
    show(tree, OURS)
    taker = EvidenceTaker(holder)
    taker.begin("at_test")
    holder._worker.process.kill()
    holder._worker.process.wait()
    assert taker.finish().problem == "the holder of the scheduler died"
    show(tree, EEVDF)
    holder.close()


def test_a_scheduler_that_was_attached_anew_before_the_run(tree: Path) -> None:
    """The same name in the same state, but not the one that was confirmed."""
    holder = scripted()
    holder.attach(SPEC)
    again = KernelState("enabled", "at_test", 7, 0, True)
    assert evidence(tree, holder, "at_test", again, again).problem == "another scheduler was attached before the run"
    show(tree, EEVDF)
    holder.close()


def state(name: str, ops: str | None = None, seq: int = 5) -> KernelState:
    return KernelState(name, ops, seq, 0, None)


@pytest.mark.parametrize(
    ("expected", "before", "after", "problem"),
    [
        (None, state("disabled"), state("disabled"), None),
        (None, state("unsupported", None, 0), state("unsupported", None, 0), None),
        (None, state("enabled", "scx_x"), state("enabled", "scx_x"), "'scx_x' was attached before the run"),
        (None, state("disabled"), state("enabled", "scx_x"), "'scx_x' was attached after the run"),
        (None, state("disabled"), state("disabled", None, 6), "attached during the run"),
        (None, state("enabling"), state("enabling"), "attached before the run"),
        ("at_a", state("enabled", "at_a"), state("enabled", "at_a"), None),
        ("at_a", state("enabled", "at_a_1.2.3"), state("enabled", "at_a_1.2.3"), None),
        ("at_a", state("disabled"), state("disabled"), "at_a was not attached before the run (state disabled)"),
        ("at_a", state("enabled", "at_a"), state("disabling", "at_a"), "after the run (state disabling)"),
        ("at_a", state("enabled", "at_a"), state("enabled", "at_a", 6), "attached itself again during the run"),
        (
            "at_a",
            state("enabled", "at_a"),
            state("enabled", "at_b", 6),
            "another scheduler was attached during the run",
        ),
        (
            "at_a",
            state("enabled", "at_b"),
            state("enabled", "at_b"),
            "'at_b' was attached before the run instead of at_a",
        ),
        ("at_a", state("enabled", "at_a"), state("enabled", "at_a_2"), "'at_a_2' was attached after the run"),
    ],
)
def test_what_counts_as_evidence(
    expected: str | None, before: KernelState, after: KernelState, problem: str | None
) -> None:
    found = compare(expected, before, after)
    assert (found is None) == (problem is None)
    assert (problem or "") in (found or "")


@pytest.mark.parametrize(
    ("gone", "text"),
    [
        (STALLED, "ejected: runnable task stall (make[7] failed to run for 2.0s)"),
        (SchedulerExit(1024, 0, "runtime error", ""), "ejected: runtime error"),
        (SchedulerExit(1025, 0, "scx_bpf_error", "no queue\nline two"), "ejected: scx_bpf_error (no queue)"),
        (SchedulerExit(64, 0, "unregistered from user space", ""), "left: unregistered from user space"),
        (SchedulerExit(67, 0, "disabled by sysrq-S", ""), "left: disabled by sysrq-S"),
        (SchedulerExit(1027, 0, "", ""), "ejected: exit kind 1027"),
    ],
)
def test_why_a_scheduler_went_in_the_table_s_words(gone: SchedulerExit, text: str) -> None:
    assert exit_text(gone) == text
