# SPDX-License-Identifier: MIT
"""The process that holds a scheduler: it owns the BPF link, and lives on a pipe from its parent.

What always holds:
- end of file on the pipe, or the death of this process in whatever way, lets go: the kernel is back on EEVDF;
- nothing is attached while another autotune holds the machine-wide lock, or while somebody else's scheduler runs;
- "attached" and "detached" are what sysfs says, not what was asked for.

Runs as root. Stays up for a session, so that a switch costs no start of Python. Standard library only.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import time
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from autotune.errors import AttachError, BusyError
from autotune.process import Channel, EventHandler, Message, serve
from autotune.records import (
    Attachment,
    AttachSpec,
    Detachment,
    KernelState,
    SchedulerExit,
    from_json,
    to_json,
)
from autotune.schedext.kernel import UNSUPPORTED, ops_matches, read_state, wait_for
from autotune.schedext.libbpf import BpfObject, Libbpf

LOCK_PATH = "/run/autotune.lock"
CONFIRM_S = 15.0
"""How long the kernel may take to say what was asked for; an emulated machine under load is slow."""


class Lock:
    """The machine-wide lease: one autotune at a time may switch schedulers. The kernel drops it with the process."""

    def __init__(self, path: str = LOCK_PATH) -> None:
        self._path = path
        self._fd: int | None = None

    def take(self) -> None:
        """Raises BusyError naming the process that has it; taking it twice is fine."""
        if self._fd is not None:
            return
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.pread(fd, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(fd)
            raise BusyError(
                f"another autotune is switching schedulers on this machine (process {owner})",
                hint="wait for it to end",
            ) from error
        os.ftruncate(fd, 0)
        os.pwrite(fd, str(os.getpid()).encode(), 0)
        self._fd = fd


class Holder:
    """Attaches one scheduler at a time. `libbpf` is a library file to prefer over the system's."""

    def __init__(self, libbpf: str | None, lock: Lock | None = None) -> None:
        self._libbpf_path = libbpf
        self._lib: Libbpf | None = None
        self._lock = lock or Lock()
        self._held: BpfObject | None = None

    def attach(self, spec: AttachSpec) -> Attachment:
        """Load, attach, confirm. Whatever fails, nothing stays behind."""
        started = time.monotonic()
        self._lock.take()
        if self._held is not None:
            raise BusyError("a scheduler is still attached; detach it first")
        before = read_state()
        refuse_unless_free(before)
        found = self._library().open(spec.object_path)
        try:
            _configure(found, spec)
            found.load()
            found.attach()
            after = _confirm_attached(spec.ops, before, found)
        except BaseException:
            found.close()
            raise
        self._held = found
        return Attachment(after.ops or spec.ops, before, after, time.monotonic() - started)

    def detach(self) -> Detachment:
        """Let go and confirm that the kernel is back on its own scheduler. `detach_s` is until the confirmation:
        freeing the programs afterwards is bookkeeping."""
        if self._held is None:
            raise AttachError("no scheduler is attached", stage="detach")
        started = time.monotonic()
        held, self._held = self._held, None
        held.detach()
        gone, state = wait_for(lambda seen: seen.state == "disabled", CONFIRM_S)
        detach_s = time.monotonic() - started
        reason = held.exit_record()
        held.close()
        if not gone:
            raise AttachError(f"the kernel is not back on its own scheduler: state is {state.state}", stage="detach")
        return Detachment(state, detach_s, reason)

    def exit_record(self) -> SchedulerExit | None:
        """Why the scheduler that is held went; None while it runs, or when none is held."""
        return self._held.exit_record() if self._held is not None else None

    def _library(self) -> Libbpf:
        if self._lib is None:
            self._lib = Libbpf(self._libbpf_path)
        return self._lib


def refuse_unless_free(state: KernelState) -> None:
    """Raises AttachError where there is no sched_ext, BusyError when a scheduler is attached that is not ours."""
    if state.state == UNSUPPORTED:
        raise AttachError("this kernel has no sched_ext", hint="use --machine vm")
    if state.state != "disabled":
        raise BusyError(
            f"the sched_ext scheduler '{state.ops or 'unknown'}' is attached already (state {state.state})",
            hint="stop it first (scxctl stop, or systemctl stop scx), or use --machine vm",
        )


def _configure(found: BpfObject, spec: AttachSpec) -> None:
    for name, value in spec.rodata.items():
        found.set_knob(name, value)
    if spec.partial:
        found.set_partial()


def _confirm_attached(ops: str, before: KernelState, found: BpfObject) -> KernelState:
    def attached(seen: KernelState) -> bool:
        return seen.state == "enabled" and ops_matches(ops, seen.ops) and seen.enable_seq > before.enable_seq

    confirmed, state = wait_for(lambda seen: attached(seen) or found.exit_record() is not None, CONFIRM_S)
    if confirmed and attached(state):
        return state
    gone = found.exit_record()
    why = f"{gone.reason}: {gone.message}".strip(": ") if gone else f"state {state.state}, ops {state.ops}"
    raise AttachError(f"{ops} was not confirmed as attached: {why}")


def main() -> None:
    libbpf = sys.argv[sys.argv.index("--libbpf") + 1] if "--libbpf" in sys.argv else None
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's Ctrl-C is for autotune, which then lets go
    requests, answers = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(2, 1)
    holder = Holder(libbpf)

    def attach(request: Message, _emit: EventHandler) -> Any:
        return to_json(holder.attach(from_json(AttachSpec, request["spec"])))

    def detach(_request: Message, _emit: EventHandler) -> Any:
        return to_json(holder.detach())

    def exit_record(_request: Message, _emit: EventHandler) -> Any:
        return to_json(holder.exit_record())

    serve(Channel(requests, answers), {"attach": attach, "detach": detach, "exit": exit_record})
    os._exit(0)  # the kernel closes the link with the process: nothing must stand in the way of that


if __name__ == "__main__":
    main()
