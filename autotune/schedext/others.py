# SPDX-License-Identifier: MIT
"""Schedulers that somebody else attached: what runs, by whom, and replacing it for a while with consent.

What always holds here:
- nothing is stopped that was not named to the user first, nor anything of another autotune, nor what has no process;
- who was stopped is started again in the way it came, by a process (`keeper`) that lives on a pipe from here: also when
  this process is killed;
- other people's programs (systemctl, scxctl) may be absent, and have a deadline.

Standard library only.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from autotune.errors import AttachError, AutotuneError, BusyError, PrivilegeError
from autotune.process import Worker
from autotune.records import KernelState, to_json
from autotune.schedext import kernel, loaders, owners
from autotune.schedext.attach import as_root
from autotune.schedext.holder import LOCK_PATH
from autotune.schedext.kernel import UNSUPPORTED, wait_for
from autotune.schedext.owners import Process

Origin = Literal["scx.service", "scx_loader", "autotune", "hand", "unknown"]
Ask = Callable[[str], str]
Tell = Callable[[str], None]

SETTLE_S = 3.0
STOP_S = 90.0
"""Deadline of stopping it: a service may take its time, a program is told three times."""
START_S = 480.0
"""Deadline of starting it again: the kernel verifies it anew, which emulation makes slow."""
_HERE = os.path.dirname(os.path.realpath(__file__))
_SENTENCE_CHARACTERS = 200
_COMMAND_CHARACTERS = 80


@dataclass(frozen=True)
class Other:
    """A scheduler that is attached and not ours."""

    ops: str
    """As the kernel shows it."""
    pid: int | None
    """Of the process that holds it, or of the autotune that started it; None when it is not known."""
    argv: tuple[str, ...]
    origin: Origin
    scheduler: str | None
    """The scx program, where it is one."""
    mode: str | None
    """The profile that scx_loader started it in."""
    flags: tuple[str, ...]
    """What the program was started with."""
    started: int = 0
    """Start of the process in clock ticks after boot: no other process is ever taken for it."""
    unit: str | None = None
    """The systemd service whose main process it is."""

    @property
    def sentence(self) -> str:
        """What it is and who started it, in a clause for people."""
        command = shlex.join([os.path.basename(self.argv[0]), *self.argv[1:]]) if self.argv else ""
        return _bounded(f"{self.ops}, {self._by(_bounded(command, _COMMAND_CHARACTERS))}", _SENTENCE_CHARACTERS)

    def _by(self, command: str) -> str:
        if self.origin == "scx_loader":
            how = f" (mode {self.mode})" if self.mode else f" ({command})" if command else ""
            return f"by scx_loader{how}"
        if self.origin == "autotune":
            return f"by another autotune{f' (process {self.pid})' if self.pid else ''}"
        if self.unit is not None or self.origin == "scx.service":
            return f"by {self.unit or loaders.SERVICE}{f' ({command})' if command else ''}"
        if self.pid is None:
            return "by a process that was not found"
        return f"by process {self.pid} ({command}), started by hand"


def _bounded(text: str, most: int) -> str:
    """Command lines are anybody's: no more than a line of printable text."""
    plain = "".join(character if character.isprintable() else "?" for character in text)
    return plain if len(plain) <= most else f"{plain[:most]}..."


# --- who it is ------------------------------------------------------------------------------------------


def look() -> Other | None:
    """What is attached now and by whom; None when nothing is. To be asked before we attach anything ourselves."""
    state = kernel.read_state()
    if state.state not in ("enabled", "disabled", UNSUPPORTED):  # it is being attached, or going
        _, state = wait_for(lambda seen: seen.state in ("enabled", "disabled", UNSUPPORTED), SETTLE_S)
    if state.state in ("disabled", UNSUPPORTED):
        return None
    return told(state, _owner(state.ops or ""))


def _owner(ops: str) -> Process | None:
    """Root sees what processes have open; an ordinary user asks through sudo, or goes by names."""
    if os.geteuid() == 0:
        pid = owners.find(ops)
    else:
        with contextlib.suppress(PrivilegeError, ValueError, TypeError, KeyError):
            seen = json.loads(loaders.ask(*as_root(os.path.join(_HERE, "owners.py")), ops) or "null")
            if seen is not None:
                return owners.process(int(seen["pid"]))
        pid = owners.find_by_name(ops)
    return None if pid is None else owners.process(pid)


def told(state: KernelState, owner: Process | None) -> Other:
    """What is attached, told from the process that holds it (None: not found) and from what loaders say."""
    ops = state.ops or "unknown"
    holders = owners.lock_holders(LOCK_PATH)
    line = {owner.pid, *(above.pid for above in owners.ancestors(owner))} if owner is not None else set()
    if holders and (owner is None or holders & line):
        return Other(ops, _lock_owner(), owner.argv if owner else (), "autotune", None, None, ())
    return _of_process(ops, owner) if owner is not None else _without_process(ops)


def _of_process(ops: str, owner: Process) -> Other:
    program, flags = owners.program_of(owner), owner.argv[1:]
    if any(above.name == owners.LOADER for above in owners.ancestors(owner)):
        said = loaders.scx_loader_says()
        mode = said[1] if said is not None and said[0] == program else None
        return Other(ops, owner.pid, owner.argv, "scx_loader", program, mode, flags, owner.started)
    unit = _unit_of(owner)
    origin: Origin = "scx.service" if unit is not None else "hand"
    return Other(ops, owner.pid, owner.argv, origin, program, None, flags if program else (), owner.started, unit)


def _unit_of(owner: Process) -> str | None:
    """The service that runs this process; of other services than scx's own only the main process counts, since what is
    started by hand may be below one (sshd) too."""
    main = loaders.main_pid(loaders.SERVICE)
    if main is not None and main in {owner.pid, *(above.pid for above in owners.ancestors(owner))}:
        return loaders.SERVICE
    return owner.unit if owner.unit is not None and loaders.main_pid(owner.unit) == owner.pid else None


def _without_process(ops: str) -> Other:
    said = loaders.scx_loader_says()
    if said is not None and owners.fits(said[0], ops):
        return Other(ops, None, (), "scx_loader", said[0], said[1], ())
    main = loaders.main_pid(loaders.SERVICE)
    if main is not None:
        found = owners.process(main)
        argv, started = (found.argv, found.started) if found is not None else ((), 0)
        return Other(ops, main, argv, "scx.service", owners.program_of(found), None, argv[1:], started, loaders.SERVICE)
    return Other(ops, None, (), "unknown", None, None, ())


def _lock_owner() -> int | None:
    """The autotune that the user started, as the lock's file names it."""
    try:
        with open(LOCK_PATH, encoding="utf-8", errors="replace") as file:
            text = file.read(32).strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


# --- replacing it ---------------------------------------------------------------------------------------

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
    worker = Worker(as_root(os.path.join(_HERE, "keeper.py")), _lost, stderr=subprocess.DEVNULL)
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
