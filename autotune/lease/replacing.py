# SPDX-License-Identifier: MIT
"""Replaces somebody else's scheduler for a while, with consent.

What always holds here:
- nothing is stopped unless the user saw its name first; another autotune's scheduler, or one without a process, never;
- what was stopped is started again the same way, by a process (`keeper`) that lives on a pipe from here, also when this
  process is killed.

Standard library only.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from autotune import signals, trust
from autotune.errors import AttachError, AutotuneError, BusyError
from autotune.lease import loaders, others
from autotune.lease.other import Other
from autotune.privilege import program_as_root
from autotune.process import Worker
from autotune.schedext import kernel
from autotune.wire import to_json

Ask = Callable[[str], str]
Notify = Callable[[str], None]
STOP_S = 90.0
"""Deadline for stopping: a service may take its time, a program gets up to three signals."""
START_S = 480.0
"""Deadline for starting it again: the kernel verifies it once more, which is slow under emulation."""

GOING_ON = "--replace-current stops it and restores it afterwards; 'autotune cc --machine vm' leaves it alone"


def consent(other: Other, *, replace_current: bool, ask: Ask | None) -> bool:
    """Return whether the user wants it replaced: by `--replace-current`, or by a yes to `ask` (None: there is no
    terminal). Raises BusyError otherwise, naming it and the alternatives, and for a scheduler that is never
    replaced."""
    refuse_unless_replaceable(other)
    if replace_current:
        return True
    if ask is not None:
        with contextlib.suppress(EOFError):
            answer = ask(f"{other.sentence} is attached. Replace it, and restore it afterwards? [y/N] ")
            if answer.strip().lower() in ("y", "yes"):
                return True
    raise BusyError(f"a sched_ext scheduler is attached already: {other.sentence}", hint=GOING_ON)


def refuse_unless_replaceable(other: Other) -> None:
    """Raise BusyError, with reason and advice, for a scheduler that could not be restored."""
    if other.origin == "autotune":
        raise BusyError(
            f"a sched_ext scheduler is attached already: {other.sentence}",
            hint="wait for it to end, or run 'autotune stop' if it was applied; --machine vm leaves it alone",
        )
    if other.pid is None and other.origin != "scx_loader":
        raise BusyError(
            f"{other.ops} is attached, and no process was found that owns it: it could not be restored",
            hint="stop it yourself (a pinned link is a file below /sys/fs/bpf), or use --machine vm",
        )
    if other.origin == "scx_loader" and loaders.scx_loader_says() is None:
        raise BusyError(
            f"{other.ops} was started by scx_loader, which cannot stop it here (scxctl is absent or fails)",
            hint="stop it yourself (systemctl stop scx_loader), or use --machine vm",
        )

    if other.origin == "scx_loader" and other.mode is None and any("," in flag for flag in other.flags):
        raise BusyError(
            f"{other.ops} was started by scx_loader with arguments that have commas, which scxctl cannot pass again",
            hint="stop it yourself (scxctl stop), or use --machine vm",
        )


class Replaced:
    """A scheduler that is stopped for a while. The keeper's process restores it on request, and when its pipe closes
    because this process is gone."""

    def __init__(self, other: Other, worker: Worker) -> None:
        self.other = other
        self._worker: Worker | None = worker

    def restore(self) -> str:
        """Start it again, confirm, and describe what was done. Raises AutotuneError saying what to do by hand. A second
        call does nothing."""
        worker, self._worker = self._worker, None
        if worker is None:
            return f"{self.other.ops} was restored"
        try:
            return str(worker.request("restore", timeout_s=START_S))
        finally:
            worker.close()


def replace(other: Other) -> Replaced:
    """Stop it by the means that started it, and wait until the kernel is back on its own scheduler. Raises AttachError
    when it cannot be stopped, BusyError for one that is never replaced, PrivilegeError. When that fails half-way, it is
    restored."""
    refuse_unless_replaceable(other)
    program = os.path.join(others.HERE, "keeper.py")
    trust.refuse_foreign_code(Path(program))
    worker = Worker(program_as_root(program), _lost, stderr=subprocess.DEVNULL)
    try:
        worker.request("stop", timeout_s=STOP_S, other=to_json(other))
    except BaseException:
        worker.close(grace_s=START_S)
        raise
    return Replaced(other, worker)


def _lost(what: str) -> AutotuneError:
    return AttachError(
        f"the process that restores what was replaced failed: {what}; sched_ext is {kernel.read_state().state} now",
        hint="see what is attached with 'autotune doctor', and start the scheduler again yourself if it is missing",
    )


@contextlib.contextmanager
def replaced(other: Other | None, notify: Notify) -> Iterator[None]:
    """Run the body without `other` (None: nothing to replace) and restore it afterwards, however the body ends. An
    error while restoring is raised, or passed to `notify` when another error is on its way."""
    if other is None:
        yield
        return
    notify(f"stopping {other.sentence}; it is restored afterwards")
    kept = replace(other)
    try:
        yield
    except BaseException:
        with signals.delayed():
            try:
                notify(kept.restore())
            except AutotuneError as error:
                notify(str(error))
        raise
    with signals.delayed():
        notify(kept.restore())
