# SPDX-License-Identifier: MIT
"""Keeps a scheduler attached on this host until it is stopped, and records which process keeps it.

The record names that process together with what distinguishes it from a later one of the same number; no other process
is ever signalled. It lives in the user's state directory and is replaced as a whole.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from autotune import durable, reading, resources
from autotune.errors import AttachError, AutotuneError, BusyError, DetachError, HolderLost, LeaseLapsed, PrivilegeError
from autotune.frozen import dataclass
from autotune.lease import owners
from autotune.machine.base import Machine
from autotune.records import Attachment, AttachSpec, Candidate, Detachment, KernelState
from autotune.schedext.evidence import exit_text
from autotune.schedext.kernel import ops_matches, read_state, wait_for
from autotune.wire import from_json, to_json

Notify = Callable[[str], None]

LOOK_S = 0.5
"""How often to check that the kernel still has the scheduler."""
RETURN_S = 20.0
"""How long a scheduler may take to attach itself again after a CPU came or went."""
STOP_S = 120.0
"""How long detaching may take, including the restoring of a replaced scheduler; an emulated machine is slow."""
GONE_S = 10.0
"""How long, after the keeping process ended, the kernel may take to be on another scheduler: the process may have been
killed."""
BY_HAND = "run 'echo S > /proc/sysrq-trigger' as root; 'autotune doctor' shows who attached it"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Applied:
    """Which process keeps which scheduler attached."""

    pid: int
    started: int
    """Start of the process, in clock ticks after boot."""
    boot: str
    """Identifies the boot from which the ticks are counted."""
    candidate: str
    ops: str
    since: float
    """Unix time."""
    enable_seq: int = 0
    """The kernel's count when it was attached. It distinguishes this scheduler from one of the same name that was
    attached before and is restored."""


# --- keeping it -----------------------------------------------------------------------------------------


def keep(machine: Machine, spec: AttachSpec, candidate: Candidate, notify: Notify) -> None:
    """Keep the scheduler attached until Ctrl-C, SIGTERM, SIGHUP or `autotune stop`; then the kernel is back on its own.
    While this process is stopped (Ctrl-Z) it is detached, and attached again when that goes on. Raises AttachError,
    with the reason, when the kernel ejects it, HolderLost when its holder dies, DetachError when it stays attached,
    BusyError when one is applied already, and what attaching raises. For the main thread, whose signals it handles
    meanwhile."""
    refuse_second()
    with _requests() as requests:
        attachment = machine.attach(spec)
        try:
            with _recorded(candidate, attachment) as record:
                notify(f"{candidate.key} is applied; Ctrl-C or 'autotune stop' ends it")
                while _is_to_go_on(machine, spec, candidate, requests, record, notify):
                    record.renew(machine.attach(spec).after.enable_seq)
                    notify(f"{candidate.key} is applied again")
        except HolderLost:
            raise  # the holder's client has made sure that nothing is attached
        except BaseException as error:
            _detach_after(machine, error)
            raise
    notify(f"{candidate.key} is detached")


def _is_to_go_on(
    machine: Machine, spec: AttachSpec, candidate: Candidate, requests: _Requests, record: _Record, notify: Notify
) -> bool:
    """Watch until it is detached, and return whether it is to be attached again: this process was only stopped for a
    while."""
    lost = _watch(machine, spec, requests, record)
    try:
        if lost is not None:
            raise AttachError(f"{candidate.key} is not attached any more: {_why(lost, machine)}", stage="apply")
        _detach(machine)
    except LeaseLapsed as error:
        if not requests.end:
            notify(error.message)
    else:
        if requests.pause and not requests.end:
            notify(f"{candidate.key} is detached until this process goes on (fg)")
            os.kill(os.getpid(), signal.SIGSTOP)
    requests.go_on()
    return not requests.end


def refuse_second() -> None:
    """Raise BusyError when a scheduler is applied already."""
    other = current()
    if other is not None:
        raise BusyError(f"{other.candidate} is applied already (process {other.pid})", hint="run 'autotune stop' first")


def _watch(machine: Machine, spec: AttachSpec, requests: _Requests, record: _Record) -> KernelState | None:
    """Wait for a request, or until another scheduler, or none, is attached. Returns that state; None for a request.
    Raises HolderLost, or DetachError, when the holder is dead."""
    missing_since: float | None = None
    while not requests.wait(LOOK_S):
        state = machine.state()
        if state.state == "enabled" and ops_matches(spec.ops, state.ops):
            missing_since = None
            record.renew(state.enable_seq)
            continue
        missing_since = missing_since or time.monotonic()
        restarts = spec.program is not None and state.ops is None
        if not restarts or time.monotonic() - missing_since > RETURN_S:
            return state
    return None


def _detach(machine: Machine) -> Detachment:
    """Detach and confirm. Raises DetachError when the kernel is not back on its own scheduler, HolderLost when the
    holder died before."""
    detached = machine.detach()
    if detached.state.state != "disabled":
        raise DetachError(_still(detached.state), hint=BY_HAND)
    return detached


def _detach_after(machine: Machine, error: BaseException) -> None:
    """Detach after an error. That error stays the one to report unless the scheduler is still attached."""
    if isinstance(error, DetachError):
        return
    try:
        _detach(machine)
    except DetachError as worse:
        raise worse from error
    except AutotuneError:
        pass  # the error that is being handled, or its consequence; nothing is attached


def _why(lost: KernelState, machine: Machine) -> str:
    """Detach what is left and return why the scheduler went. Raises DetachError or HolderLost when that fails."""
    gone = None
    try:
        gone = _detach(machine).exit
    except DetachError:
        if lost.ops is None:
            raise  # else another one is attached, which is the answer
    if gone is not None and (gone.is_error or lost.ops is None):
        return exit_text(gone)
    return f"{lost.ops} was attached instead" if lost.ops else f"state is {lost.state}"


def _still(state: KernelState) -> str:
    return f"the kernel is not back on its own scheduler: state is {state.state} ({state.ops or 'no name'})"


class _Requests:
    """Requests of signals: to detach for good or, by Ctrl-Z, until this process goes on."""

    def __init__(self) -> None:
        self.end = False
        self.pause = False
        self._any = threading.Event()

    def heard(self, number: int, _frame: object) -> None:
        self.pause = self.pause or number == signal.SIGTSTP
        self.end = self.end or number != signal.SIGTSTP
        self._any.set()

    def wait(self, timeout_s: float) -> bool:
        """Wait for one, and return whether there is one."""
        return self._any.wait(timeout_s)

    def go_on(self) -> None:
        self.pause = False
        self._any.clear()


@contextlib.contextmanager
def _requests() -> Iterator[_Requests]:
    """Take signals as requests from now on: one that comes while the scheduler is still being attached counts too. A
    Ctrl-Z that a shell without job control ignores stays ignored."""
    requests = _Requests()
    numbers = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
    if signal.getsignal(signal.SIGTSTP) != signal.SIG_IGN:
        numbers.append(signal.SIGTSTP)
    before = {number: signal.signal(number, requests.heard) for number in numbers}
    try:
        yield requests
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# --- the record -----------------------------------------------------------------------------------------


def path() -> Path:
    return resources.state_dir() / "applied.json"


def current() -> Applied | None:
    """Return what is applied now; None when nothing is, even if an old record exists."""
    try:
        record = reading.record(lambda found: from_json(Applied, found), path(), follow=False)
    except (OSError, ValueError):
        return None
    return record if _is_alive(record) else None


def _is_alive(record: Applied) -> bool:
    try:
        found = owners.process(record.pid)
    except (TypeError, ValueError):
        return False
    return found is not None and found.started == record.started and record.boot == _boot()


def _boot() -> str:
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


class _Record:
    """The record of what is applied; the file exists as long as this object is in use."""

    def __init__(self, applied: Applied) -> None:
        self.applied = applied
        _write(applied)

    def renew(self, enable_seq: int) -> None:
        """Note the new count after the scheduler attached itself again."""
        if enable_seq != self.applied.enable_seq:
            self.applied = replace(self.applied, enable_seq=enable_seq)
            _write(self.applied)


@contextlib.contextmanager
def _recorded(candidate: Candidate, attachment: Attachment) -> Iterator[_Record]:
    me = owners.process(os.getpid())
    assert me is not None
    seq = attachment.after.enable_seq
    record = _Record(Applied(me.pid, me.started, _boot(), candidate.key, attachment.ops, time.time(), seq))
    try:
        yield record
    finally:
        if current() == record.applied:
            with contextlib.suppress(OSError):
                path().unlink()


def _write(record: Applied) -> None:
    target = path()
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        durable.replace(target, json.dumps(to_json(record)).encode())
    except OSError as error:
        raise AutotuneError(
            f"the process that keeps the scheduler cannot be recorded in {target}: {error.strerror}",
            hint=f"'autotune stop' could not find it; {durable.advice(error, target)}, or set XDG_STATE_HOME",
            stage="apply",
        ) from error


# --- ending it ------------------------------------------------------------------------------------------


def stop() -> str:
    """End what is applied, and describe in a sentence what was done. Raises AutotuneError when the process does not
    end, DetachError when the kernel still has its scheduler."""
    record = current()
    if record is None:
        return _nothing()
    try:
        fd = os.pidfd_open(record.pid)
    except OSError:
        return _nothing()
    try:
        if not _is_alive(record):  # another process may have the number since we looked; from here on it cannot
            return _nothing()
        _end(fd, record)
    finally:
        os.close(fd)
    return f"{record.candidate} was stopped; {_after(record)}"


def _after(record: Applied) -> str:
    """Describe what is attached after the keeping process ended: the restored scheduler, or none. Raises
    DetachError."""
    gone, state = wait_for(lambda seen: _is_settled(seen) and not _is_there(record, seen), GONE_S)
    if not gone:
        raise DetachError(
            f"process {record.pid}, which kept {record.candidate}, ended, but {_still(state)}", hint=BY_HAND
        )
    return f"{state.ops} is attached now" if state.ops else "the kernel is back on its own scheduler"


def _is_settled(state: KernelState) -> bool:
    return state.state in ("enabled", "disabled", "unsupported")


def _is_there(record: Applied, state: KernelState) -> bool:
    """Return whether the recorded scheduler itself is attached, not another of the same name attached before or
    after."""
    return ops_matches(record.ops, state.ops) and state.enable_seq == record.enable_seq


def _end(fd: int, record: Applied) -> None:
    try:
        signal.pidfd_send_signal(fd, signal.SIGTERM)
        signal.pidfd_send_signal(fd, signal.SIGCONT)  # one that is stopped would not heed it
    except ProcessLookupError:
        return
    except PermissionError as error:
        raise PrivilegeError(
            f"{record.candidate} was applied by another user (process {record.pid})", hint="sudo autotune stop"
        ) from error
    if not select.select([fd], [], [], STOP_S)[0]:
        raise AutotuneError(
            f"process {record.pid}, which keeps {record.candidate}, did not end within {STOP_S:g} s",
            hint=f"'kill -9 {record.pid}' ends it, and the scheduler is detached with it",
            stage="stop",
        )


def _nothing() -> str:
    state = read_state()
    if state.ops is None:
        return "nothing is applied"
    return f"nothing is applied by autotune for this user; {state.ops} is attached ('autotune doctor' shows by whom)"
