# SPDX-License-Identifier: MIT
"""The holder: the process that owns the BPF link, or the program that does, and lives on a pipe from its parent.

What always holds:
- end of file on the pipe, or the death of this process for any reason, detaches: the kernel is back on EEVDF;
- nothing is attached while another autotune has the machine-wide lock, or while somebody else's scheduler runs;
- "attached" and "detached" are read from sysfs, never assumed from a request;
- a request that hangs ends the process, which detaches;
- a client that is silent for longer than its lease, since it is stopped, loses the scheduler.

Runs as root. Runs for a whole session, so that a switch need not start Python. Standard library only.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    if sys.argv[1:] == ["--probe"]:  # see autotune.privilege
        sys.exit(os.geteuid() != 0)
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))))

from autotune import durable
from autotune.errors import (
    AttachError,
    AutotuneError,
    BusyError,
    DetachError,
    LeaseLapsed,
    NotAttached,
    PrivilegeError,
)
from autotune.process import Channel, EventHandler, Handler, Message, serve
from autotune.records import Attachment, AttachSpec, Detachment, KernelState, SchedulerExit
from autotune.schedext.holding import fence
from autotune.schedext.holding.attached import CONFIRM_S, AttachedObject, AttachedProgram, AttachedScheduler
from autotune.schedext.kernel import UNSUPPORTED, eject, ops_matches, read_state, wait_for
from autotune.schedext.libbpf import Libbpf
from autotune.wire import from_json, to_json

LOCK_PATH = "/run/autotune.lock"
_WHO = "end it if it is no autotune; 'fuser -v {}' as root shows it"
BY_HAND = "run 'echo S > /proc/sysrq-trigger' as root; 'autotune doctor' shows who attached it"
SETTLE_S = 5.0
"""How long an ejection may take, from its first sign to the exit record."""
REQUEST_S = 50
"""How long a request may take before the process ends itself: less than its client waits for an answer. A program's own
start time comes on top."""


class Lock:
    """The machine-wide lease: one autotune at a time may switch schedulers. The kernel drops it with the process.
    `owner` is the process that BusyError names to others: the autotune that the user started. The file contains its
    number and ours."""

    def __init__(self, path: str = LOCK_PATH, owner: int | None = None) -> None:
        self._path = path
        self._owner = os.getpid() if owner is None else owner
        self._fd: int | None = None

    def take(self) -> None:
        """Take the lease; taking it again does nothing. Raises BusyError naming the process that has it."""
        if self._fd is not None:
            return
        with self._explained():
            fd = durable.open_lock(Path(self._path))
        try:
            with self._explained():
                if not durable.try_lock(fd):
                    raise _busy(self._path)
                os.ftruncate(fd, 0)
                os.pwrite(fd, f"{self._owner} {os.getpid()}".encode(), 0)
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd

    def _explained(self) -> contextlib.AbstractContextManager[None]:
        return durable.explained(f"the lock {self._path} cannot be taken", Path(self._path), error=AttachError)


def lock_holders(path: str = LOCK_PATH) -> set[int]:
    """Return the processes that have the machine-wide lock. Only root's and our own count: another user's lock, on a
    file that was once open to all, does not show who switches schedulers."""
    return {pid for pid in durable.lock_holders(Path(path)) if _uid(pid) in (0, os.geteuid())}


def lock_owner(path: str = LOCK_PATH) -> int | None:
    """Return the autotune that may switch schedulers now; None when none has the lock."""
    return next((_client(pid, path) for pid in sorted(lock_holders(path))), None)


def _client(pid: int, path: str) -> int:
    """Return the process for which the owner of the lock works: the one in the file, when the file is that process's,
    or in its arguments; else itself."""
    words: list[str] = []
    with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as file:
        words = file.read(64).split()
    if len(words) != 2 or words[1] != str(pid):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="replace") as file:
            arguments = file.read().split("\0")
            words = arguments[arguments.index("--client") + 1 :] if "--client" in arguments else []
    return int(words[0]) if words and words[0].isdecimal() else pid


def _uid(pid: int) -> int | None:
    """Return the real user; the owner of /proc/PID would not do, since a process can make that root."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.startswith("Uid:"):
                return int(line.split()[1])
    return None


def _busy(path: str) -> BusyError:
    owner = lock_owner(path)
    if owner is not None:
        return BusyError(
            f"another autotune is switching schedulers on this machine (process {owner})", hint="wait for it to end"
        )
    others = ", ".join(f"process {pid} of user {_uid(pid)}" for pid in sorted(durable.lock_holders(Path(path))))
    return BusyError(f"the lock {path} is taken by {others or 'a process that is not shown'}", hint=_WHO.format(path))


class Holder:
    """Attaches one scheduler at a time. `libbpf` is a library file to prefer over the system's. `token` names the fence
    around programs; whoever knows it can end what they forked."""

    def __init__(self, libbpf: str | None, lock: Lock | None = None, token: str | None = None) -> None:
        self._token = token
        self._libbpf_path = libbpf
        self._lib: Libbpf | None = None
        self._lock = lock or Lock()
        self._attached: AttachedScheduler | None = None
        self._lease_s: float | None = None
        self._heard_s = 0.0
        self._lapsed: AutotuneError | None = None
        """Outcome of detaching for a client that was silent for too long, until it asks."""

    # --- the lease ---

    def left_s(self) -> float | None:
        if self._attached is None or self._lease_s is None:
            return None
        return max(0.0, self._heard_s + self._lease_s - time.monotonic())

    def renew(self) -> None:
        self._heard_s = time.monotonic()

    def lapse(self) -> None:
        """Detach: whoever could see that something is wrong is stopped. The client hears of it at its next request."""
        assert self._attached is not None
        ops = self._attached.ops
        signal.alarm(REQUEST_S)
        try:
            self.detach()
        except AutotuneError as error:
            self._lapsed = error
        else:
            what = f"autotune was stopped for more than {self._lease_s:g} s, and {ops} was detached"
            self._lapsed = LeaseLapsed(what, hint="it is attached again for the next run")
        finally:
            signal.alarm(0)

    def _raise_lapsed(self) -> None:
        lapsed, self._lapsed = self._lapsed, None
        if lapsed is not None:
            raise lapsed

    # --- the scheduler ---

    def attach(self, spec: AttachSpec, lease_s: float | None = None) -> Attachment:
        """Load, attach, confirm. Leaves nothing attached when it fails; raises DetachError when something stays. A
        client that is silent for longer than `lease_s` loses it. Raises AttachError, BusyError, UsageError."""
        started = time.monotonic()
        self._lapsed = None
        if self._attached is not None:
            raise BusyError(f"{self._attached.ops} is still attached; detach it first")
        before = read_state()
        refuse_unsupported(before)
        self._lock.take()
        refuse_unless_free(before)
        scheduler = self._open(spec)
        try:
            after = scheduler.attach(before)
        except BaseException as error:
            scheduler.close()
            if ops_matches(scheduler.ops, read_state().ops):
                self._insist(scheduler.ops, error)
            raise
        self._attached, self._lease_s = scheduler, lease_s
        return Attachment(after.ops or spec.ops, before, after, time.monotonic() - started)

    def _open(self, spec: AttachSpec) -> AttachedScheduler:
        if spec.program is not None:
            return AttachedProgram(spec.ops, spec.program, self._token)
        if self._lib is None:
            self._lib = Libbpf(self._libbpf_path)
        return AttachedObject(spec, self._lib)

    def detach(self) -> Detachment:
        """Detach and confirm that the kernel is back on its own scheduler. `detach_s` ends with the confirmation:
        freeing the programs afterwards is bookkeeping. Raises NotAttached when nothing is, LeaseLapsed when that is
        since the client was silent, DetachError when the kernel is not back."""
        self._raise_lapsed()
        if self._attached is None:
            raise NotAttached("no scheduler is attached")
        started = time.monotonic()
        scheduler, self._attached = self._attached, None
        note = scheduler.detach()
        try:
            state, ejected = self._insist(scheduler.ops)
            detach_s = time.monotonic() - started
            reason = scheduler.exit_record()
        finally:
            scheduler.close()
        return Detachment(state, detach_s, reason, scheduler.log, "; ".join(filter(None, (note, ejected))))

    def _insist(self, ops: str, cause: BaseException | None = None) -> tuple[KernelState, str]:
        """Wait until the kernel is back on its own scheduler; make it eject ours if that does not go. Returns the state
        and a note about anything unusual. Raises DetachError."""
        note = ""

        def decided(seen: KernelState) -> bool:
            another = seen.state == "enabled" and seen.ops is not None and not ops_matches(ops, seen.ops)
            return seen.state == "disabled" or another

        is_decided, state = wait_for(decided, SETTLE_S)
        if not is_decided:
            if ops_matches(ops, state.ops) and eject(ops):
                note = f"{ops} stayed attached, and had to be ejected"
            _, state = wait_for(decided, CONFIRM_S)
        if state.state != "disabled":
            shown = f"state is {state.state}" + (f", {state.ops} is attached" if state.ops else "")
            raise DetachError(f"the kernel is not back on its own scheduler: {shown}", hint=BY_HAND) from cause
        return state, note

    def exit_record(self) -> SchedulerExit | None:
        """Return why the attached scheduler went; None while it runs, or when none is attached. Waits for an ejection
        that is under way, since its record comes last."""
        if self._attached is None:
            return None
        wait_for(lambda seen: seen.state in ("enabled", "disabled"), SETTLE_S)
        return self._attached.exit_record()

    def abandon(self) -> None:
        """End a program with all that it forked, because the client is gone; an object's link ends with this process.
        The guard does the same and more, unless it was killed."""
        if isinstance(self._attached, AttachedProgram):
            signal.alarm(REQUEST_S)
            self._attached.program.abandon()


def refuse_unsupported(state: KernelState) -> None:
    """Raise AttachError where there is no sched_ext, PrivilegeError when we are not root."""
    if state.state == UNSUPPORTED:
        raise AttachError("this kernel has no sched_ext", hint="use --machine vm")
    if os.geteuid() != 0:
        raise PrivilegeError("switching schedulers needs root", hint="run as root, or use --machine vm")


def refuse_unless_free(state: KernelState) -> None:
    """Raise BusyError when a scheduler is attached that is not ours."""
    if state.state != "disabled":
        raise BusyError(
            f"the sched_ext scheduler '{state.ops or 'unknown'}' is attached already (state {state.state})",
            hint="stop it first (scxctl stop, or systemctl stop scx), or use --machine vm",
        )


def _obey_signals() -> None:
    """Let SIGTERM and SIGHUP end the process whatever our parent set for them: the kernel then closes the link, and no
    code of ours can stand in the way. SIGALRM does so for a request that is stuck. The terminal's Ctrl-C is for
    autotune, which then detaches."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def _start_s(request: Message) -> float:
    """Return how long the program of a request may take to attach; 0 without one."""
    program = (request.get("spec") or {}).get("program") or {}
    return float(program.get("start_s") or 0.0)


def _limited(handle: Callable[[Message], Any]) -> Handler:
    def handler(request: Message, _emit: EventHandler) -> Any:
        signal.alarm(REQUEST_S + math.ceil(_start_s(request)))
        try:
            return to_json(handle(request))
        finally:
            signal.alarm(0)

    return handler


def _argument(name: str) -> str | None:
    return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else None


def _before_all_others() -> None:
    """Run under SCHED_FIFO, so that a scheduler that starves every task cannot starve the process that detaches it."""
    with contextlib.suppress(OSError):  # a container may forbid it; then only the kernel's watchdog is left
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))


def _leave_control_group() -> None:
    """Move to the topmost control group, where we may: what freezes autotune's must not stop who detaches then."""
    for mount in fence.mounts():
        with contextlib.suppress(OSError):
            (mount / "cgroup.procs").write_text("0")


def main() -> None:
    _obey_signals()
    _before_all_others()
    _leave_control_group()
    requests, answers = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(2, 1)
    client = _argument("--client")
    lock = Lock(owner=None if client is None else int(client))
    holder = Holder(_argument("--libbpf"), lock, _argument("--token"))
    operations = {
        "attach": lambda request: holder.attach(from_json(AttachSpec, request["spec"]), request.get("lease_s")),
        "detach": lambda _request: holder.detach(),
        "exit": lambda _request: holder.exit_record(),
    }
    serve(Channel(requests, answers), {name: _limited(handle) for name, handle in operations.items()}, holder)
    holder.abandon()
    os._exit(0)  # the kernel closes the link with the process: nothing must stand in the way of that


if __name__ == "__main__":
    main()
