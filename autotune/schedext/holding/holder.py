# SPDX-License-Identifier: MIT
"""The process that holds a scheduler: it owns the BPF link, or the program that does, and lives on a pipe from its
parent.

What always holds:
- end of file on the pipe, or the death of this process in whatever way, detaches: the kernel is back on EEVDF;
- nothing is attached while another autotune holds the machine-wide lock, or while somebody else's scheduler runs;
- "attached" and "detached" are what sysfs says, not what was asked for;
- a request that does not end ends the process, and that lets go.

Runs as root. Stays up for a session, so that a switch costs no start of Python. Standard library only.
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
from autotune.errors import AttachError, BusyError, DetachError, PrivilegeError
from autotune.process import Channel, EventHandler, Handler, Message, serve
from autotune.records import Attachment, AttachSpec, Detachment, KernelState, SchedulerExit
from autotune.schedext.holding.held import CONFIRM_S, Held, HeldObject, HeldProgram
from autotune.schedext.kernel import UNSUPPORTED, eject, ops_matches, read_state, wait_for
from autotune.schedext.libbpf import Libbpf
from autotune.wire import from_json, to_json

LOCK_PATH = "/run/autotune.lock"
_WHO = "end it if it is no autotune; 'fuser -v {}' as root shows it"
BY_HAND = "run 'echo S > /proc/sysrq-trigger' as root, and look with 'autotune doctor' who holds it"
SETTLE_S = 5.0
"""How long throwing out a scheduler may take, from the first sign of it to its exit record."""
REQUEST_S = 50
"""After this a request is stuck, and the process ends itself. Less than what its client waits for an answer. Starting
a program may take its own time besides."""


class Lock:
    """The machine-wide lease: one autotune at a time may switch schedulers. The kernel drops it with the process.
    `owner` is the process that others are shown: the autotune that the user started. Its number and ours are the
    file's content."""

    def __init__(self, path: str = LOCK_PATH, owner: int | None = None) -> None:
        self._path = path
        self._owner = os.getpid() if owner is None else owner
        self._fd: int | None = None

    def take(self) -> None:
        """Raises BusyError naming the process that has it; taking it twice is fine."""
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
    """The processes that have the machine-wide lock. Only root's and our own count: a lock of another user's, on a file
    that was open to all once, says nothing about who switches schedulers."""
    return {pid for pid in durable.lock_holders(Path(path)) if _uid(pid) in (0, os.geteuid())}


def lock_owner(path: str = LOCK_PATH) -> int | None:
    """The autotune that may switch schedulers now; None when none has the lock."""
    return next((_client(pid, path) for pid in sorted(lock_holders(path))), None)


def _client(pid: int, path: str) -> int:
    """Whom the process that has the lock works for: by the file, when it is that process's, or by its arguments; else
    itself."""
    words: list[str] = []
    with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as file:
        words = file.read(64).split()
    if len(words) != 2 or words[1] != str(pid):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="replace") as file:
            arguments = file.read().split("\0")
            words = arguments[arguments.index("--client") + 1 :] if "--client" in arguments else []
    return int(words[0]) if words and words[0].isdecimal() else pid


def _uid(pid: int) -> int | None:
    """The real user; the owner of /proc/PID would not do, since a process can make that root."""
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
    """Attaches one scheduler at a time. `libbpf` is a library file to prefer over the system's; `token` names the fence
    around programs, so that whoever knows it can end what they forked."""

    def __init__(self, libbpf: str | None, lock: Lock | None = None, token: str | None = None) -> None:
        self._token = token
        self._libbpf_path = libbpf
        self._lib: Libbpf | None = None
        self._lock = lock or Lock()
        self._held: Held | None = None

    def attach(self, spec: AttachSpec) -> Attachment:
        """Load, attach, confirm. Whatever fails, nothing stays behind; DetachError when something does. Raises
        AttachError, BusyError, UsageError."""
        started = time.monotonic()
        if self._held is not None:
            raise BusyError(f"{self._held.ops} is still held; detach it first")
        before = read_state()
        refuse_unsupported(before)
        self._lock.take()
        refuse_unless_free(before)
        held = self._open(spec)
        try:
            after = held.attach(before)
        except BaseException as error:
            held.close()
            if ops_matches(held.ops, read_state().ops):
                self._insist(held.ops, error)
            raise
        self._held = held
        return Attachment(after.ops or spec.ops, before, after, time.monotonic() - started)

    def _open(self, spec: AttachSpec) -> Held:
        if spec.program is not None:
            return HeldProgram(spec.ops, spec.program, self._token)
        return HeldObject(spec, self._library().open(spec.object_path, spec.object_sha256))

    def detach(self) -> Detachment:
        """Detach and confirm that the kernel is back on its own scheduler. `detach_s` is until the confirmation:
        freeing the programs afterwards is bookkeeping. Raises DetachError when the kernel is not back."""
        if self._held is None:
            raise AttachError("no scheduler is attached", stage="detach")
        started = time.monotonic()
        held, self._held = self._held, None
        note = held.let_go()
        try:
            state, ejected = self._insist(held.ops)
            detach_s = time.monotonic() - started
            reason = held.exit_record()
        finally:
            held.close()
        return Detachment(state, detach_s, reason, held.log, "; ".join(filter(None, (note, ejected))))

    def _insist(self, ops: str, cause: BaseException | None = None) -> tuple[KernelState, str]:
        """Wait until the kernel is back on its own scheduler; where ours does not go, have the kernel eject it. The
        state, and what was unusual. Raises DetachError."""
        note = ""

        def decided(seen: KernelState) -> bool:
            another = seen.state == "enabled" and seen.ops is not None and not ops_matches(ops, seen.ops)
            return seen.state == "disabled" or another

        is_decided, state = wait_for(decided, SETTLE_S)
        if not is_decided:
            if ops_matches(ops, state.ops) and eject(ops):
                note = f"{ops} stayed attached, and the kernel was told to eject it"
            _, state = wait_for(decided, CONFIRM_S)
        if state.state != "disabled":
            shown = f"state is {state.state}" + (f", {state.ops} is attached" if state.ops else "")
            raise DetachError(f"the kernel is not back on its own scheduler: {shown}", hint=BY_HAND) from cause
        return state, note

    def exit_record(self) -> SchedulerExit | None:
        """Why the scheduler that is held went; None while it runs, or when none is held. One that is just being
        thrown out is waited for, since its record comes last."""
        if self._held is None:
            return None
        wait_for(lambda seen: seen.state in ("enabled", "disabled"), SETTLE_S)
        return self._held.exit_record()

    def abandon(self) -> None:
        """The client is gone: end a program with all that it forked; an object's link goes with this process. The guard
        does the same and more, unless it was killed."""
        if isinstance(self._held, HeldProgram):
            signal.alarm(REQUEST_S)
            self._held.program.abandon()

    def _library(self) -> Libbpf:
        if self._lib is None:
            self._lib = Libbpf(self._libbpf_path)
        return self._lib


def refuse_unsupported(state: KernelState) -> None:
    """Raises AttachError where there is no sched_ext, PrivilegeError when we are not root."""
    if state.state == UNSUPPORTED:
        raise AttachError("this kernel has no sched_ext", hint="use --machine vm")
    if os.geteuid() != 0:
        raise PrivilegeError("switching schedulers needs root", hint="run as root, or use --machine vm")


def refuse_unless_free(state: KernelState) -> None:
    """Raises BusyError when a scheduler is attached that is not ours."""
    if state.state != "disabled":
        raise BusyError(
            f"the sched_ext scheduler '{state.ops or 'unknown'}' is attached already (state {state.state})",
            hint="stop it first (scxctl stop, or systemctl stop scx), or use --machine vm",
        )


def _obey_signals() -> None:
    """SIGTERM and SIGHUP end the process whatever our parent did about them: the kernel lets go of the link with it,
    and no code of ours can stand in the way. SIGALRM does so for a request that is stuck. The terminal's Ctrl-C is
    for autotune, which then lets go."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def _start_s(request: Message) -> float:
    """How long the program of a request may take to attach; 0 without one."""
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
    """Real-time, at the least priority: a scheduler that keeps everybody waiting must not keep who lets go of it."""
    with contextlib.suppress(OSError):  # a container may forbid it; then the kernel's watchdog is what is left
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))


def main() -> None:
    _obey_signals()
    _before_all_others()
    requests, answers = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(2, 1)
    client = _argument("--client")
    lock = Lock(owner=None if client is None else int(client))
    holder = Holder(_argument("--libbpf"), lock, _argument("--held"))
    operations = {
        "attach": lambda request: holder.attach(from_json(AttachSpec, request["spec"])),
        "detach": lambda _request: holder.detach(),
        "exit": lambda _request: holder.exit_record(),
    }
    serve(Channel(requests, answers), {name: _limited(handle) for name, handle in operations.items()})
    holder.abandon()
    os._exit(0)  # the kernel closes the link with the process: nothing must stand in the way of that


if __name__ == "__main__":
    main()
