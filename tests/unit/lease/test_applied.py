# SPDX-License-Identifier: MIT
"""Keeping a scheduler attached until somebody says stop: real signals, real processes, a scripted kernel."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from autotune.errors import AttachError, AutotuneError, BusyError, DetachError, HolderLost, NotAttached
from autotune.lease import applied, owners
from autotune.lease.applied import Applied
from autotune.records import Attachment, AttachSpec, Candidate, Detachment, KernelState, ProgramSpec, SchedulerExit
from autotune.schedext import kernel as kernel_module

FIFO = Candidate("at_fifo", (("slice_us", 5000),))
SPEC = AttachSpec("at_fifo", "/nowhere/at_fifo.o")
OFF = KernelState("disabled", None, 1, 0, None)
ON = KernelState("enabled", "at_fifo", 2, 0, True)
ORDERLY = SchedulerExit(64, 0, "unregistered from user space", "")
STALL = SchedulerExit(1026, 0, "runnable task stall", "make[4] failed to run")


class Kernel:
    """Stands for a host: shows the states it was given, the last one for ever."""

    def __init__(self, *states: KernelState, gone: SchedulerExit | None = ORDERLY) -> None:
        self.states = list(states)
        self.gone = gone
        self.log: list[str] = []
        self.looks = 0

    def attach(self, spec: AttachSpec) -> Attachment:
        self.log.append(f"attach {spec.ops}")
        return Attachment(spec.ops, OFF, ON, 0.1)

    def detach(self) -> Detachment:
        self.log.append("detach")
        return Detachment(OFF, 0.1, self.gone)

    def state(self) -> KernelState:
        self.looks += 1
        return self.states.pop(0) if len(self.states) > 1 else self.states[0]


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(applied, "LOOK_S", 0.02)


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen(["sleep", "100"])
    yield child
    child.kill()
    child.wait()


def hold(kernel: Any, notices: list[str], spec: AttachSpec = SPEC) -> None:
    applied.keep(kernel, spec, FIFO, notices.append)


def later(action: Any) -> None:
    """Once it is applied."""

    def act() -> None:
        while applied.current() is None:
            time.sleep(0.01)
        action()

    threading.Thread(target=act, daemon=True).start()


def record_of(pid: int, **changed: Any) -> Applied:
    found = owners.process(pid)
    assert found is not None
    return replace(Applied(pid, found.started, applied._boot(), FIFO.key, "at_fifo", time.time()), **changed)


# --- keeping ---


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_is_kept_until_a_signal_and_then_detached(number: signal.Signals) -> None:
    kernel = Kernel(ON)
    notices: list[str] = []
    before = signal.getsignal(number)
    later(lambda: os.kill(os.getpid(), number))
    hold(kernel, notices)
    assert kernel.log == ["attach at_fifo", "detach"]
    assert notices == [
        "at_fifo:slice_us=5000 is applied; Ctrl-C or 'autotune stop' ends it",
        "at_fifo:slice_us=5000 is detached",
    ]
    assert applied.current() is None
    assert not applied.path().exists()
    assert signal.getsignal(number) is before


def test_when_the_kernel_ejects_it_its_reason_is_reported() -> None:
    kernel = Kernel(ON, ON, OFF, gone=STALL)
    notices: list[str] = []
    with pytest.raises(AttachError, match=r"not attached any more: ejected: runnable task stall \(make"):
        hold(kernel, notices)
    assert kernel.log[-1] == "detach"
    assert not applied.path().exists()


def test_when_another_one_is_attached_instead_that_is_reported() -> None:
    with pytest.raises(AttachError, match="scx_other was attached instead"):
        hold(Kernel(ON, replace(ON, ops="scx_other", enable_seq=3)), [])


def test_a_program_may_attach_itself_anew() -> None:
    spec = AttachSpec("bpfland", program=ProgramSpec(("/opt/scx_bpfland",), 1, 1))
    on = replace(ON, ops="bpfland_1.1.4_x86_64")
    kernel = Kernel(on, OFF, OFF, replace(on, enable_seq=4))

    def when_seen() -> None:
        while kernel.looks < 6:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    later(when_seen)
    hold(kernel, [], spec)
    assert kernel.log == ["attach bpfland", "detach"]


def test_a_program_that_does_not_come_back_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(applied, "RETURN_S", 0.1)
    spec = AttachSpec("bpfland", program=ProgramSpec(("/opt/scx_bpfland",), 1, 1))
    with pytest.raises(AttachError, match="not attached any more"):
        hold(Kernel(replace(ON, ops="bpfland"), OFF), [], spec)


def test_without_a_place_for_the_record_nothing_stays_attached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    kernel = Kernel(ON)
    with pytest.raises(AutotuneError, match="cannot be recorded"):
        hold(kernel, [])
    assert kernel.log == ["attach at_fifo", "detach"]


def test_a_second_one_is_refused_before_anything_is_attached(sleeper: subprocess.Popen[bytes]) -> None:
    applied._write(record_of(sleeper.pid))
    kernel = Kernel(ON)
    with pytest.raises(BusyError, match=f"applied already \\(process {sleeper.pid}\\)"):
        hold(kernel, [])
    assert kernel.log == []


class Stuck(Kernel):
    """One whose scheduler does not go, or whose holder is dead."""

    def __init__(self, *states: KernelState, detach: Any, state: AutotuneError | None = None) -> None:
        super().__init__(*states)
        self.answer, self.trouble = detach, state

    def detach(self) -> Detachment:
        self.log.append("detach")
        if isinstance(self.answer, BaseException):
            raise self.answer
        return Detachment(self.answer, 0.1, ORDERLY)

    def state(self) -> KernelState:
        if self.trouble is not None and self.looks > 2:
            raise self.trouble
        return super().state()


STILL = DetachError("the kernel is not back on its own scheduler: state is enabled", hint="do this")


@pytest.mark.parametrize("answer", [STILL, ON, replace(ON, state="disabling", ops=None), HolderLost("it died")])
def test_what_is_not_detached_is_an_error_when_its_end_was_requested(answer: Any) -> None:
    kernel = Stuck(ON, detach=answer)
    notices: list[str] = []
    later(lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises((DetachError, HolderLost)):
        hold(kernel, notices)
    assert not any("detached" in line for line in notices)
    assert not applied.path().exists()


def test_a_dead_holder_ends_it_at_once_with_its_reason() -> None:
    lost = HolderLost("the holder of the scheduler failed: it was ended by SIGKILL; the kernel is back")
    kernel = Stuck(ON, detach=NotAttached("no scheduler is attached"), state=lost)
    notices: list[str] = []
    with pytest.raises(HolderLost, match="SIGKILL"):
        hold(kernel, notices)
    assert not any("detached" in line for line in notices)


def test_a_dead_holder_whose_scheduler_stays_is_reported_as_that() -> None:
    with pytest.raises(DetachError):
        hold(Stuck(ON, detach=NotAttached("no scheduler is attached"), state=STILL), [])


def test_when_it_went_and_detaching_fails_the_failure_is_reported() -> None:
    with pytest.raises(DetachError):
        hold(Stuck(ON, replace(OFF, state="disabling"), detach=STILL), [])


def test_whatever_ends_it_a_scheduler_that_stays_is_what_is_reported() -> None:
    def full(_text: str) -> None:
        raise BrokenPipeError

    with pytest.raises(DetachError) as caught:
        applied.keep(Stuck(ON, detach=STILL), SPEC, FIFO, full)  # type: ignore[arg-type]
    assert isinstance(caught.value.__cause__, BrokenPipeError)


# --- stopping ---


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The kernel's word, as it is to be."""
    top = tmp_path / "sched_ext"
    (top / "root").mkdir(parents=True)
    monkeypatch.setattr(applied, "read_state", partial(kernel_module.read_state, top))
    monkeypatch.setattr(applied, "wait_for", partial(kernel_module.wait_for, sysfs=top))
    monkeypatch.setattr(applied, "GONE_S", 0.3)
    return top


def show(tree: Path, state: str, ops: str, seq: int) -> None:
    (tree / "root" / "ops").write_text(ops)
    (tree / "enable_seq").write_text(str(seq))
    (tree / "state").write_text(state)


@pytest.mark.parametrize(("state", "seq"), [("enabled", 7), ("disabling", 7)])
def test_stop_does_not_say_stopped_while_the_kernel_has_it(
    sleeper: subprocess.Popen[bytes], tree: Path, state: str, seq: int
) -> None:
    show(tree, state, "at_fifo" if state == "enabled" else "", seq)
    applied._write(record_of(sleeper.pid, enable_seq=7))
    reaper = threading.Thread(target=sleeper.wait)
    reaper.start()
    with pytest.raises(DetachError, match=f"which kept at_fifo:slice_us=5000, ended, but .*{state}") as caught:
        applied.stop()
    reaper.join()
    assert "sysrq" in caught.value.hint


@pytest.mark.parametrize(("ops", "seq"), [("scx_other", 8), ("at_fifo", 8)])
def test_stop_tells_which_one_was_restored(sleeper: subprocess.Popen[bytes], tree: Path, ops: str, seq: int) -> None:
    """Also one of the same name: that it is another is seen from the kernel's count."""
    show(tree, "enabled", ops, seq)
    applied._write(record_of(sleeper.pid, enable_seq=7))
    reaper = threading.Thread(target=sleeper.wait)
    reaper.start()
    assert applied.stop().endswith(f"was stopped; {ops} is attached now")
    reaper.join()


def test_nothing_is_applied_and_that_is_no_error() -> None:
    assert applied.stop().startswith("nothing is applied")


def test_stop_ends_the_one_that_keeps_it(sleeper: subprocess.Popen[bytes]) -> None:
    applied._write(record_of(sleeper.pid))
    reaper = threading.Thread(target=sleeper.wait)
    reaper.start()
    assert applied.stop().startswith("at_fifo:slice_us=5000 was stopped")
    reaper.join()
    assert sleeper.returncode == -signal.SIGTERM


@pytest.mark.parametrize("changed", [{"started": 1}, {"boot": "another boot"}])
def test_a_stranger_with_the_same_number_is_never_signalled(
    sleeper: subprocess.Popen[bytes], changed: dict[str, Any]
) -> None:
    applied._write(record_of(sleeper.pid, **changed))
    assert applied.current() is None
    assert applied.stop().startswith("nothing is applied")
    time.sleep(0.05)
    assert sleeper.poll() is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": "x"}', json.dumps({"pid": -1, "started": 0, "boot": ""})])
def test_a_damaged_record_is_no_record(text: str) -> None:
    applied.path().parent.mkdir(parents=True)
    applied.path().write_text(text)
    assert applied.current() is None


def test_one_that_does_not_end_is_reported_with_what_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(applied, "STOP_S", 0.3)
    script = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(99)"
    child = subprocess.Popen([sys.executable, "-S", "-c", script], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    applied._write(record_of(child.pid))
    with pytest.raises(AutotuneError) as refused:
        applied.stop()
    child.kill()
    child.communicate()
    assert f"kill -9 {child.pid}" in refused.value.hint
