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
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from autotune import resources
from autotune.errors import AttachError, AutotuneError, BusyError, PrivilegeError
from autotune.machine.base import Machine
from autotune.records import AttachSpec, Candidate, Detachment, KernelState, from_json, to_json
from autotune.schedext import owners
from autotune.schedext.attach import exit_text
from autotune.schedext.kernel import ops_matches, read_state

Tell = Callable[[str], None]

LOOK_S = 0.5
"""How often it is looked whether the kernel still has it."""
RETURN_S = 20.0
"""How long one that attaches itself anew (a CPU came or went) may take for that."""
STOP_S = 120.0
"""How long letting go may take, what was replaced put back included; an emulated machine is slow."""
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


# --- keeping it -----------------------------------------------------------------------------------------


def hold(machine: Machine, spec: AttachSpec, candidate: Candidate, tell: Tell) -> None:
    """Attach it and keep it until Ctrl-C, SIGTERM, SIGHUP or `autotune stop`; then the kernel is back on its own
    scheduler. Raises AttachError, with the reason, when the kernel throws it out, BusyError when one is applied
    already, and what attaching raises. For the main thread, whose signals it takes over meanwhile."""
    refuse_second()
    with _asked_to_end() as asked:
        attachment = machine.attach(spec)
        try:
            with _recorded(candidate, attachment.ops):
                tell(f"{candidate.key} is applied; Ctrl-C or 'autotune stop' ends it")
                lost = _watch(machine, spec, asked)
        finally:
            detached = _let_go(machine)
    if lost is not None:
        raise AttachError(f"{candidate.key} is not attached any more: {_why(lost, detached)}", stage="apply")
    tell(f"{candidate.key} was let go")


def refuse_second() -> None:
    """Raises BusyError when a scheduler is applied already."""
    other = current()
    if other is not None:
        raise BusyError(f"{other.candidate} is applied already (process {other.pid})", hint="run 'autotune stop' first")


def _watch(machine: Machine, spec: AttachSpec, asked: threading.Event) -> KernelState | None:
    """Until it is asked to end: None. Or until another scheduler, or none, is attached: the state then."""
    missing_since: float | None = None
    while not asked.wait(LOOK_S):
        state = machine.state()
        if state.state == "enabled" and ops_matches(spec.ops, state.ops):
            missing_since = None
            continue
        missing_since = missing_since or time.monotonic()
        restarts = spec.program is not None and state.ops is None
        if not restarts or time.monotonic() - missing_since > RETURN_S:
            return state
    return None


def _let_go(machine: Machine) -> Detachment | AutotuneError:
    """Never raises: what kept it from being orderly is part of the answer."""
    try:
        return machine.detach()
    except AutotuneError as error:
        return error


def _why(lost: KernelState, detached: Detachment | AutotuneError) -> str:
    if isinstance(detached, AutotuneError):
        return str(detached)
    if detached.exit is not None and (detached.exit.is_error or lost.ops is None):
        return exit_text(detached.exit)
    return f"{lost.ops} was attached instead" if lost.ops else f"state is {lost.state}"


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


@contextlib.contextmanager
def _recorded(candidate: Candidate, ops: str) -> Iterator[None]:
    me = owners.process(os.getpid())
    assert me is not None
    record = Applied(me.pid, me.started, _boot(), candidate.key, ops, time.time())
    _write(record)
    try:
        yield
    finally:
        if current() == record:
            with contextlib.suppress(OSError):
                path().unlink()


def _write(record: Applied) -> None:
    target = path()
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd, draft = tempfile.mkstemp(prefix=".applied.", dir=target.parent)
        with open(fd, "w", encoding="utf-8") as file:
            json.dump(to_json(record), file)
        os.replace(draft, target)
    except OSError as error:
        raise AutotuneError(
            f"who keeps the scheduler cannot be noted in {target}: {error.strerror}",
            hint="'autotune stop' could not find it; make room there, or set XDG_STATE_HOME",
            stage="apply",
        ) from error


# --- ending it ------------------------------------------------------------------------------------------


def stop() -> str:
    """End what is applied; a sentence on what was done. Raises AutotuneError when it does not end."""
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
    state = read_state()
    after = f"{state.ops} is attached now" if state.ops else "the kernel is back on its own scheduler"
    return f"{record.candidate} was stopped; {after}"


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
            hint=f"'kill -9 {record.pid}' ends it, and the kernel lets go of the scheduler with it",
            stage="stop",
        )


def _nothing() -> str:
    state = read_state()
    if state.ops is None:
        return "nothing is applied"
    return f"nothing is applied by autotune for this user; {state.ops} is attached ('autotune doctor' says by whom)"
