# SPDX-License-Identifier: MIT
"""The client of the holder: starts it, sends it requests, and ends it.

Standard library only, since the guest agent uses it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from autotune.deadline import Deadline, unlimited
from autotune.errors import AutotuneError, DetachError, HolderLost, LeaseLapsed, PrivilegeError
from autotune.privilege import program_as_root, program_problem
from autotune.process import Worker
from autotune.records import Attachment, AttachSpec, Detachment, KernelState, SchedulerExit
from autotune.schedext.holding.fence import Fence, new_token
from autotune.schedext.kernel import ops_matches, wait_for
from autotune.wire import from_json, to_json

ANSWER_S = 60.0
"""Deadline of a switch: loading may take seconds under emulation. A stuck holder ends itself earlier."""
LEAST_ANSWER_S = 15.0
"""The same once the budget is over: a switch that began before, and detaching, still end in order."""
DETACH_S = 5.0
"""How long the kernel may take to be back on its own scheduler after the holder died."""
LEASE_S = 30.0
"""How long the holder keeps a scheduler attached for a client that is stopped."""
GENERATED_LEASE_S = 5.0
"""The same for a generated scheduler, which nobody watches meanwhile."""
BEATS = 4
"""Heartbeats of a client in that time."""
GUARD_S = 1.0
"""How long a program's guard may take to end it; then the client does."""
SWEEP_S = 20.0
HOLDER = os.path.join(os.path.dirname(os.path.realpath(__file__)), "holder.py")
_FENCE = os.path.join(os.path.dirname(HOLDER), "fence.py")
BY_HAND = "if that is not another program's, press Alt-SysRq-S or run 'echo S > /proc/sysrq-trigger' as root"
DIED = "the holder of the scheduler died"
_COMPLAINT_BYTES = 4096


def _refuse_foreign(path: str | None) -> None:
    """Raise AutotuneError for what root would run or load, the holder and this file, if somebody else could change it.
    What is not there is for the holder to report."""
    from autotune import trust  # here, not above: no micro-VM needs it

    trust.refuse_foreign_code(Path(HOLDER))
    if path and os.path.exists(path):
        trust.refuse_foreign(Path(path), would="would be loaded as root", stage="attach")


def start_s(spec: AttachSpec) -> float:
    """Return the extra time to attach for a program, which attaches by itself."""
    return spec.program.start_s if spec.program is not None else 0.0


def bounded(spec: AttachSpec, deadline: Deadline) -> AttachSpec:
    """Bound the time to attach of a program by what is left."""
    if spec.program is None:
        return spec
    return replace(spec, program=replace(spec.program, start_s=deadline.bound(spec.program.start_s)))


def holder_argv(libbpf: str | None, token: str) -> list[str]:
    """Return the command that starts the holder. `token` names the fence around programs. Raises PrivilegeError without
    root."""
    argv = program_as_root(HOLDER, "--client", str(os.getpid()), "--token", token)
    return argv if libbpf is None else [*argv, "--libbpf", libbpf]


def privilege_problem() -> str | None:
    """Return why the holder cannot be started as root, as a clause; None when it can."""
    return program_problem(HOLDER)


class SchedulerHolder(Protocol):
    """Whoever attaches for a machine: a holder of our own, or a service. Its methods are those of HolderClient."""

    attachment: Attachment | None

    def attach(self, spec: AttachSpec) -> Attachment: ...

    def detach(self) -> Detachment: ...

    def check(self) -> None: ...

    @property
    def is_dead(self) -> bool: ...

    def exit_record(self) -> SchedulerExit | None: ...

    def close(self) -> None: ...


class HolderClient:
    """A client with its holder process. Raises what the holder raises; HolderLost when it dies or hangs, once nothing
    of it is left and the kernel is back on its own scheduler; DetachError when that fails. `guarded` (a host, not a
    micro-VM): generated schedulers need a valid seal, and what is attached is leased, for `lease_s` or, when it is
    generated, less. No answer is waited for longer than the deadline allows. `argv` starts another program instead, for
    tests."""

    def __init__(
        self,
        *,
        libbpf: str | None = None,
        guarded: bool = True,
        lease_s: float = LEASE_S,
        deadline: Deadline | None = None,
        argv: Sequence[str] | None = None,
    ) -> None:
        self._token = new_token()
        if guarded and argv is None:
            _refuse_foreign(libbpf)
        started = holder_argv(libbpf, self._token) if argv is None else argv
        self._by_sudo = argv is None and os.geteuid() != 0
        self._guarded = guarded
        self._lease_s = lease_s
        self._deadline = deadline or unlimited()
        self._heart = _Heart(lambda: self._worker.beat())
        self._requests = threading.Lock()  # a watch detaches in its own thread while a run reads the exit record
        self.attachment: Attachment | None = None
        """The scheduler that is attached now, as far as we know; None when none is."""
        self._owed: Attachment | None = None
        """The scheduler that was attached last and is not confirmed as detached."""
        self._complaints = os.memfd_create("autotune-holder")
        self._worker = Worker(started, self._lost, stderr=self._complaints)

    def attach(self, spec: AttachSpec) -> Attachment:
        """Attach and confirm. Raises AttachError, BusyError, UsageError, PrivilegeError, HolderLost."""
        if self._guarded:
            _refuse_foreign(spec.object_path)
            if spec.guide is not None:
                _refuse_foreign(spec.guide.object_path)
        if spec.generated and self._guarded:
            from autotune.schedext import seal  # here, not above: no micro-VM needs it

            seal.check(spec.seal, spec.object_sha256, settings=spec.rodata, kernel=os.uname().release)
        lease_s = self._lease_of(spec)
        if lease_s is not None:
            self._heart.start(lease_s / BEATS)
        with self._requests:
            timeout_s = self._answer_s() + start_s(spec)
            answer = self._worker.request("attach", timeout_s=timeout_s, spec=to_json(spec), lease_s=lease_s)
        self.attachment = self._owed = from_json(Attachment, answer)
        return self.attachment

    def _answer_s(self) -> float:
        return self._deadline.bound(ANSWER_S, least_s=LEAST_ANSWER_S)

    def _lease_of(self, spec: AttachSpec) -> float | None:
        if not self._guarded:
            return None
        return min(self._lease_s, GENERATED_LEASE_S) if spec.generated else self._lease_s

    def detach(self) -> Detachment:
        """Detach and confirm. Raises NotAttached when nothing is, DetachError when the kernel is not back on its own
        scheduler, HolderLost."""
        with self._requests:
            self.attachment = None
            try:
                answer = self._worker.request("detach", timeout_s=self._answer_s())
            except LeaseLapsed:
                self._owed = None
                raise
        self._owed = None
        return from_json(Detachment, answer)

    def check(self) -> None:
        """Raise HolderLost, or DetachError, if the holder died between requests."""
        with self._requests:
            gone = self._worker.gone()
            if gone is not None:
                raise self._lost(gone)

    @property
    def is_dead(self) -> bool:
        return self._worker.gone() is not None

    def exit_record(self) -> SchedulerExit | None:
        """Return why the attached scheduler went; None while it runs."""
        with self._requests:
            answer = self._worker.request("exit", timeout_s=self._answer_s())
        return None if answer is None else from_json(SchedulerExit, answer)

    def close(self) -> None:
        """End the holder, which detaches: afterwards the kernel is back on its own scheduler. Raises DetachError when
        it is not. May be called again."""
        self.attachment = None
        self._heart.stop()
        self._worker.close()
        fd, self._complaints = self._complaints, -1
        if fd >= 0:
            os.close(fd)
        owed, self._owed = self._owed, None
        if owed is None:
            return
        gone, state = self._end_what_was_attached(lambda seen: not _is_there(owed, seen))
        if not gone:
            raise DetachError(f"{owed.ops} could not be detached: {_still(state)}", hint=BY_HAND)

    def _lost(self, what: str) -> AutotuneError:
        """Make sure that nothing is left of a holder that died or does not answer, and return the error to raise."""
        self.attachment = None
        self._heart.stop()
        self._worker.close(grace_s=0.5)
        output = self._stderr_text()
        if output.startswith("sudo:"):
            return PrivilegeError(f"sudo refused to start the holder: {output[5:].strip()}", hint="run as root")
        gone, state = self._end_what_was_attached(lambda seen: seen.state in ("disabled", "unsupported"))
        if not gone:
            why = f"the holder of the scheduler failed: {what}; {_still(state)}"
            return DetachError(why, hint=BY_HAND, detail=output)
        self._owed = None
        ending = "the kernel is back on its own scheduler"
        return HolderLost(f"the holder of the scheduler failed: {what}; {ending}", hint="run again", detail=output)

    def _end_what_was_attached(self, wanted: Callable[[KernelState], bool]) -> tuple[bool, KernelState]:
        """Wait until the guard has ended what the holder left, else end it here. Returns whether the kernel's state is
        the wanted one, and the state."""
        gone, _ = wait_for(wanted, min(GUARD_S, DETACH_S))
        if self._by_sudo:
            if not gone:
                _sweep_by_sudo(self._token)
        else:
            Fence(self._token).end()
        return wait_for(wanted, DETACH_S)

    def _stderr_text(self) -> str:
        """Return the end of what the holder, or sudo, wrote to its standard error."""
        if self._complaints < 0:
            return ""
        size = os.fstat(self._complaints).st_size
        data = os.pread(self._complaints, _COMPLAINT_BYTES, max(0, size - _COMPLAINT_BYTES))
        return data.decode(errors="replace").strip()


class _Heart:
    """A thread that calls `beat` every so often, and stands still when the process is stopped."""

    def __init__(self, beat: Callable[[], None]) -> None:
        self._beat = beat
        self._stopping = threading.Event()
        self._period_s = 0.0
        self._thread: threading.Thread | None = None

    def start(self, period_s: float) -> None:
        """Begin; again with a shorter period is faster from now on."""
        is_slower = self._thread is None or period_s >= self._period_s
        self._period_s = period_s
        if self._thread is not None and is_slower:
            return
        self.stop()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(self._stopping,), name="at-lease", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread = None

    def _run(self, stopping: threading.Event) -> None:
        while not stopping.wait(self._period_s):
            self._beat()


def _is_there(attachment: Attachment, seen: KernelState) -> bool:
    """Return whether the scheduler is still attached: itself, or under the same name after it attached itself again."""
    if seen.state in ("disabled", "unsupported"):
        return False
    return seen.ops is None or ops_matches(attachment.ops, seen.ops)


def _still(state: KernelState) -> str:
    return f"sched_ext is still {state.state} ({state.ops or 'no name'})"


def _sweep_by_sudo(token: str) -> None:
    """End what a holder that ran as root left behind. The kernel's state shows whether that worked."""
    import contextlib
    import subprocess

    with contextlib.suppress(PrivilegeError, OSError, subprocess.TimeoutExpired):
        argv = program_as_root(_FENCE, token)
        subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=SWEEP_S)
