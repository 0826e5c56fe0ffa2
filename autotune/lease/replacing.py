# SPDX-License-Identifier: MIT
"""Replacing somebody else's scheduler for a while, with consent.

What always holds here:
- nothing is stopped that was not named to the user first, nor anything of another autotune, nor what has no process;
- who was stopped is started again in the way it came, by a process (`keeper`) that lives on a pipe from here: also when
  this process is killed.

Standard library only.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator

from autotune.errors import AttachError, AutotuneError, BusyError
from autotune.lease import loaders, others
from autotune.lease.other import Other
from autotune.privilege import program_as_root
from autotune.process import Worker
from autotune.schedext import kernel
from autotune.wire import to_json

Ask = Callable[[str], str]
Tell = Callable[[str], None]
STOP_S = 90.0
"""Deadline of stopping it: a service may take its time, a program is told three times."""
START_S = 480.0
"""Deadline of starting it again: the kernel verifies it anew, which emulation makes slow."""

GOING_ON = "--replace-current stops it and puts it back afterwards; 'autotune cc --machine vm' leaves it alone"


def consent(other: Other, *, replace_current: bool, ask: Ask | None) -> bool:
    """True when the user wants it replaced: by `--replace-current`, or by a yes to `ask` (None: nobody can be asked).
    Raises BusyError otherwise, naming it and how to go on, and for what is never replaced."""
    refuse_unless_replaceable(other)
    if replace_current:
        return True
    if ask is not None:
        with contextlib.suppress(EOFError):
            answer = ask(f"{other.sentence} is attached. Replace it, and put it back afterwards? [y/N] ")
            if answer.strip().lower() in ("y", "yes"):
                return True
    raise BusyError(f"a sched_ext scheduler is attached already: {other.sentence}", hint=GOING_ON)


def refuse_unless_replaceable(other: Other) -> None:
    """Raises BusyError for what could not be put back: it says why, and what to do."""
    if other.origin == "autotune":
        raise BusyError(
            f"a sched_ext scheduler is attached already: {other.sentence}",
            hint="wait for it to end, or run 'autotune stop' if it was applied; --machine vm leaves it alone",
        )
    if other.pid is None and other.origin != "scx_loader":
        raise BusyError(
            f"{other.ops} is attached, and no process was found that holds it: it could not be put back",
            hint="stop it yourself (a pinned link is a file below /sys/fs/bpf), or use --machine vm",
        )
    if other.origin == "scx_loader" and loaders.scx_loader_says() is None:
        raise BusyError(
            f"{other.ops} was started by scx_loader, which cannot be asked to stop it (scxctl is absent or fails)",
            hint="stop it yourself (systemctl stop scx_loader), or use --machine vm",
        )

    if other.origin == "scx_loader" and other.mode is None and any("," in flag for flag in other.flags):
        raise BusyError(
            f"{other.ops} was started by scx_loader with arguments that have commas, which scxctl cannot pass again",
            hint="stop it yourself (scxctl stop), or use --machine vm",
        )


class Replaced:
    """A scheduler that was stopped for a while. The keeper's process puts it back when it is told to, and when its pipe
    closes because we are gone."""

    def __init__(self, other: Other, worker: Worker) -> None:
        self.other = other
        self._worker: Worker | None = worker

    def put_back(self) -> str:
        """Start it again, confirmed; a sentence on what was done. Raises AutotuneError saying what to do by hand.
        Doing it twice does it once."""
        worker, self._worker = self._worker, None
        if worker is None:
            return f"{self.other.ops} was put back"
        try:
            return str(worker.request("put_back", timeout_s=START_S))
        finally:
            worker.close()


def replace(other: Other) -> Replaced:
    """Stop it in the way it came, until the kernel is back on its own scheduler. Raises AttachError when it cannot be
    stopped, BusyError for what is never replaced, PrivilegeError. What fails half-way is put back."""
    refuse_unless_replaceable(other)
    worker = Worker(program_as_root(os.path.join(others.HERE, "keeper.py")), _lost, stderr=subprocess.DEVNULL)
    try:
        worker.request("stop", timeout_s=STOP_S, other=to_json(other))
    except BaseException:
        worker.close(grace_s=START_S)
        raise
    return Replaced(other, worker)


def _lost(what: str) -> AutotuneError:
    return AttachError(
        f"the process that keeps what was replaced failed: {what}; sched_ext is {kernel.read_state().state} now",
        hint="see what is attached with 'autotune doctor', and start the scheduler again yourself if it is missing",
    )


@contextlib.contextmanager
def replaced(other: Other | None, tell: Tell) -> Iterator[None]:
    """Without `other` meanwhile (None: nothing to replace), and with it again afterwards, however it ends. An error of
    putting it back is raised, or told where there is another error already."""
    if other is None:
        yield
        return
    tell(f"stopping {other.sentence}; it is put back afterwards")
    kept = replace(other)
    try:
        yield
    except BaseException:
        with _undisturbed():
            try:
                tell(kept.put_back())
            except AutotuneError as error:
                tell(str(error))
        raise
    with _undisturbed():
        tell(kept.put_back())


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Ctrl-C and the like do nothing meanwhile. By handlers rather than a mask: those are not inherited by programs
    that are started."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, lambda _number, _frame: None) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
