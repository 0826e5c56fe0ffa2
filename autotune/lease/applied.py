# SPDX-License-Identifier: MIT
"""A scheduler that is kept attached on this host until somebody says stop, and the record of who keeps it.

The record names the process that keeps it, with what tells it from a later process of the same number: nobody else is
ever signalled. It lives in the user's state directory and is replaced as a whole.
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
from dataclasses import dataclass, replace
from pathlib import Path

from autotune import durable, resources
from autotune.errors import AttachError, AutotuneError, BusyError, DetachError, HolderLost, PrivilegeError
from autotune.lease import owners
from autotune.machine.base import Machine
from autotune.records import Attachment, AttachSpec, Candidate, Detachment, KernelState
from autotune.schedext.evidence import exit_text
from autotune.schedext.kernel import ops_matches, read_state, wait_for
from autotune.wire import from_json, to_json

Tell = Callable[[str], None]

LOOK_S = 0.5
"""How often it is looked whether the kernel still has it."""
RETURN_S = 20.0
"""How long one that attaches itself anew (a CPU came or went) may take for that."""
STOP_S = 120.0
"""How long detaching may take, what was replaced included; an emulated machine is slow."""
GONE_S = 10.0
"""From the end of who kept it until the kernel must be on another scheduler: it may have been killed meanwhile."""
BY_HAND = "run 'echo S > /proc/sysrq-trigger' as root, and look with 'autotune doctor' who holds it"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Applied:
    """Who keeps which scheduler attached."""

    pid: int
    started: int
    """Clock ticks from the boot to the start of the process."""
    boot: str
    """Names the boot: ticks are counted from it."""
    candidate: str
    ops: str
    since: float
    """Unix time."""
    enable_seq: int = 0
    """The kernel's count when it was attached: tells it from one of the same name that was there before and is
    restored."""


# --- keeping it -----------------------------------------------------------------------------------------


def hold(machine: Machine, spec: AttachSpec, candidate: Candidate, tell: Tell) -> None:
    """Attach it and keep it until Ctrl-C, SIGTERM, SIGHUP or `autotune stop`; then the kernel is back on its own
    scheduler. Raises AttachError, with the reason, when the kernel ejects it, HolderLost when its holder dies,
    DetachError when it does not go, BusyError when one is applied already, and what attaching raises. For the main
    thread, whose signals it takes over meanwhile."""
    refuse_second()
    with _asked_to_end() as asked:
        attachment = machine.attach(spec)
        try:
            with _recorded(candidate, attachment) as record:
                tell(f"{candidate.key} is applied; Ctrl-C or 'autotune stop' ends it")
                lost = _watch(machine, spec, asked, record)
        except HolderLost:
            raise  # by then it was made sure that nothing is attached
        except BaseException as error:
            _detach_after(machine, error)
            raise
        if lost is not None:
            raise AttachError(f"{candidate.key} is not attached any more: {_why(lost, machine)}", stage="apply")
        _detach(machine)
    tell(f"{candidate.key} is detached")


def refuse_second() -> None:
    """Raises BusyError when a scheduler is applied already."""
    other = current()
    if other is not None:
        raise BusyError(f"{other.candidate} is applied already (process {other.pid})", hint="run 'autotune stop' first")


def _watch(machine: Machine, spec: AttachSpec, asked: threading.Event, record: _Record) -> KernelState | None:
    """Until it is asked to end: None. Or until another scheduler, or none, is attached: the state then. Raises
    HolderLost, or DetachError, when its holder is dead."""
    missing_since: float | None = None
    while not asked.wait(LOOK_S):
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
    """Raises DetachError unless the kernel says that it is back on its own scheduler, HolderLost when its holder died
    before it was asked."""
    detached = machine.detach()
    if detached.state.state != "disabled":
        raise DetachError(_still(detached.state), hint=BY_HAND)
    return detached


def _detach_after(machine: Machine, error: BaseException) -> None:
    """What ended it is told, unless the scheduler is still there: then that is what matters."""
    if isinstance(error, DetachError):
        return
    try:
        _detach(machine)
    except DetachError as worse:
        raise worse from error
    except AutotuneError:
        pass  # the same that ended it, or its consequence; nothing is attached


def _why(lost: KernelState, machine: Machine) -> str:
    """Why it went; whatever is left of it is detached. Raises DetachError, HolderLost when it is not."""
    gone = None
    try:
        gone = _detach(machine).exit
    except DetachError:
        if lost.ops is None:
            raise  # else the other one is attached, which is told
    if gone is not None and (gone.is_error or lost.ops is None):
        return exit_text(gone)
    return f"{lost.ops} was attached instead" if lost.ops else f"state is {lost.state}"


def _still(state: KernelState) -> str:
    return f"the kernel is not back on its own scheduler: state is {state.state} ({state.ops or 'no name'})"


@contextlib.contextmanager
def _asked_to_end() -> Iterator[threading.Event]:
    """An event that the signals set which end programs, from now on: one that comes while the scheduler is still being
    attached counts too."""
    asked = threading.Event()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, lambda _number, _frame: asked.set()) for number in numbers}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# --- the record -----------------------------------------------------------------------------------------


def path() -> Path:
    return resources.state_dir() / "applied.json"


def current() -> Applied | None:
    """What is applied now; None when nothing is, whatever an old record says."""
    try:
        record = from_json(Applied, json.loads(path().read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
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
    """The record of what is applied, while it is."""

    def __init__(self, applied: Applied) -> None:
        self.applied = applied
        _write(applied)

    def renew(self, enable_seq: int) -> None:
        """It attached itself anew."""
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
            f"who keeps the scheduler cannot be noted in {target}: {error.strerror}",
            hint=f"'autotune stop' could not find it; {durable.advice(error, target)}, or set XDG_STATE_HOME",
            stage="apply",
        ) from error


# --- ending it ------------------------------------------------------------------------------------------


def stop() -> str:
    """End what is applied; a sentence on what was done. Raises AutotuneError when it does not end, DetachError when
    the kernel has its scheduler still."""
    record = current()
    if record is None:
        return _nothing()
    try:
        fd = os.pidfd_open(record.pid)
    except OSError:
        return _nothing()
    try:
        if not _is_alive(record):  # the number may be another process's since we looked; from here on it cannot
            return _nothing()
        _end(fd, record)
    finally:
        os.close(fd)
    return f"{record.candidate} was stopped; {_after(record)}"


def _after(record: Applied) -> str:
    """What the kernel says once who kept it has ended: the one that was replaced, or none. Raises DetachError."""
    gone, state = wait_for(lambda seen: _is_settled(seen) and not _is_there(record, seen), GONE_S)
    if not gone:
        raise DetachError(
            f"process {record.pid}, which kept {record.candidate}, ended, but {_still(state)}", hint=BY_HAND
        )
    return f"{state.ops} is attached now" if state.ops else "the kernel is back on its own scheduler"


def _is_settled(state: KernelState) -> bool:
    return state.state in ("enabled", "disabled", "unsupported")


def _is_there(record: Applied, state: KernelState) -> bool:
    """The very one that was kept, not another of the same name that was attached before or after."""
    return ops_matches(record.ops, state.ops) and state.enable_seq == record.enable_seq


def _end(fd: int, record: Applied) -> None:
    try:
        signal.pidfd_send_signal(fd, signal.SIGTERM)
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
    return f"nothing is applied by autotune for this user; {state.ops} is attached ('autotune doctor' says by whom)"
