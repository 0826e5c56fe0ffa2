# SPDX-License-Identifier: MIT
"""Chooses where a session runs: the host when its kernel has sched_ext and we may use it, else a micro-VM."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from autotune.deadline import Deadline
from autotune.errors import AutotuneError, NoMachineError, UsageError
from autotune.events import Listener, Step, Warned
from autotune.frozen import dataclass
from autotune.knowledge.best import Whereabouts
from autotune.machine import here, ways
from autotune.machine.base import Machine, Place
from autotune.machine.vm import healing, kernels
from autotune.schedext import kernel as sched_ext

if TYPE_CHECKING:
    from autotune.machine.vm.resilient import ResilientVM

MachineKind: TypeAlias = Literal["auto", "host", "vm"]

HIDDEN_IN_VM = ("/dev", "/proc", "/run", "/sys")
"""Directories that the micro-VM has of its own, so that no workload can be in them."""


@dataclass(frozen=True)
class MachineChoice:
    """Host or micro-VM, and the reason as a clause."""

    kind: Literal["host", "vm"]
    why: str


def decide(kind: MachineKind) -> MachineChoice:
    """Choose where to run. Raises NoMachineError when `host` was requested and cannot be used."""
    problem = host_problem()
    if kind == "vm":
        return MachineChoice("vm", "requested by --machine vm")
    if problem is None:
        why = "requested by --machine host" if kind == "host" else "its kernel has sched_ext and we may use it"
        return MachineChoice("host", why)
    if kind == "host":
        raise NoMachineError(f"the host cannot be used: {problem}", hint="use --machine vm, or see 'autotune doctor'")
    return MachineChoice("vm", problem)


def host_problem() -> str | None:
    """Return why schedulers cannot be switched on this host; None when they can."""
    if sched_ext.read_state().state == "unsupported":
        return "the host kernel has no sched_ext"
    if sched_ext.too_old(os.uname().release):
        return f"the host kernel {os.uname().release} is older than {sched_ext.LEAST_KERNEL}, which schedulers need"
    found = ways.way()
    return found.problem if found.name is None else None


def describe(kind: MachineKind, *, cpus: int | None, memory_bytes: int | None, kernel: Path | None) -> str:
    """Describe in a sentence where a session would run, for `--dry-run`; starts nothing."""
    choice = decide(kind)
    if choice.kind == "host":
        return f"host, kernel {os.uname().release}: {choice.why}"
    found = kernels.find(kernel)
    size = memory_bytes or default_memory_bytes()
    return (
        f"micro-VM, kernel {found.version} ({found.source}), {cpus or default_cpus()} CPUs, {size >> 20} MiB: "
        f"{choice.why}"
    )


def whereabouts() -> Whereabouts:
    """Return where a session would run now: on this host or, where that cannot be, in a micro-VM with the kernel that
    it would boot, of which no more is known before."""
    if host_problem() is None:
        return here.whereabouts()
    unknown = {"acceleration": "", "cpus": 0, "cpu_model": "", "memory_bytes": 0, "topology": ""}
    try:
        return Whereabouts(where="vm", kernel=kernels.find(None).version, **unknown)
    except AutotuneError:
        return here.whereabouts()


def default_cpus() -> int:
    return len(os.sched_getaffinity(0))


def default_memory_bytes() -> int:
    """Return half of the host's memory, 4 GiB at most: what the workload writes lives there too."""
    return min(4 << 30, host_memory_bytes() // 2)


def host_memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@contextlib.contextmanager
def choose(
    kind: MachineKind,
    *,
    place: Place,
    cpus: int | None,
    memory_bytes: int | None,
    kernel: Path | None,
    keep_writes: Path | None,
    lease_s: float,
    listener: Listener,
    deadline: Deadline | None = None,
) -> Iterator[Machine]:
    """Yield the machine of a session and restore it at the end, whatever happens. On the host a scheduler is detached
    when we are stopped for `lease_s`; a micro-VM is given up at the `deadline`. Raises NoMachineError when there is
    none, UsageError for options that do not fit the machine."""
    choice = decide(kind)
    if choice.kind == "host":
        refuse_vm_options(cpus=cpus, memory_bytes=memory_bytes, kernel=kernel, keep_writes=keep_writes)
        with _host(place, choice.why, lease_s, listener, deadline) as machine:
            yield machine
        return
    with _vm(place, choice.why, cpus, memory_bytes, kernel, keep_writes, listener, deadline) as machine:
        yield machine


def refuse_vm_options(**options: object) -> None:
    """Raise UsageError for options of the micro-VM that were given for a session on the host."""
    given = [f"--{name.removesuffix('_bytes').replace('_', '-')}" for name, value in options.items() if value]
    if given:
        raise UsageError(
            f"{', '.join(given)} only applies to a micro-VM, and this session would run on the host",
            hint="leave it out, or add --machine vm",
        )


@contextlib.contextmanager
def _host(place: Place, why: str, lease_s: float, listener: Listener, deadline: Deadline | None) -> Iterator[Machine]:
    from autotune.machine.guarded import GuardedMachine
    from autotune.machine.local import LocalMachine

    fetched = healing.sound_parts(lambda text: listener(Warned(text)))
    libbpf = str(fetched.libbpf) if fetched and fetched.libbpf else None
    headers = str(fetched.headers) if fetched and fetched.headers else None
    by_daemon = ways.way().name == "daemon"
    host = LocalMachine(
        place, why=why, libbpf=libbpf, headers=headers, lease_s=lease_s, deadline=deadline, by_daemon=by_daemon
    )
    machine = GuardedMachine(host, lambda text: listener(Step("canary", text)))
    try:
        yield machine
    finally:
        machine.close()


@contextlib.contextmanager
def _vm(
    place: Place,
    why: str,
    cpus: int | None,
    memory_bytes: int | None,
    kernel: Path | None,
    keep_writes: Path | None,
    listener: Listener,
    deadline: Deadline | None,
) -> Iterator[Machine]:
    from autotune.machine.vm import microvm
    from autotune.machine.vm.resilient import ResilientVM

    refuse_hidden(place.cwd)
    options = microvm.VmOptions(
        cpus=cpus or default_cpus(),
        memory_bytes=memory_bytes or default_memory_bytes(),
        keep_writes=_writable_directory(keep_writes),
    )
    found = healing.sound(kernel, lambda text: listener(Warned(text)))

    def boot() -> microvm.MicroVM:
        def notify(text: str) -> None:
            listener(Step("boot", text))

        return microvm.boot(found, place, options, why, notify=notify, deadline=deadline)

    machine = ResilientVM(boot, lambda text: listener(Warned(text)), deadline)
    try:
        yield machine
        if keep_writes is not None:
            _keep(machine, keep_writes, listener)
    finally:
        machine.close()


def _keep(machine: ResilientVM, directory: Path, listener: Listener) -> None:
    listener(Step("keep", f"copying what was written to {directory}"))
    try:
        kept = machine.keep_writes()
    except AutotuneError as error:
        listener(Warned(f"what was written inside could not be kept: {error}"))
        return
    for problem in kept["problems"][:3]:
        listener(Warned(f"not kept: {problem}"))


def refuse_hidden(cwd: str) -> None:
    """Raise UsageError for a directory that the micro-VM does not share."""
    if any(cwd == top or cwd.startswith(f"{top}/") for top in HIDDEN_IN_VM):
        raise UsageError(f"directory {cwd} does not exist inside the micro-VM", hint="run from another directory")


def _writable_directory(path: Path | None) -> Path | None:
    if path is None:
        return None
    from autotune.machine.vm import account, microvm

    is_new = not path.exists()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--keep-writes {path}: {error.strerror}", hint="name a directory you may write") from error
    setpriv = microvm.find_setpriv()
    if is_new:
        account.hand_over(setpriv, path)
    if not account.may_write(setpriv, path):
        raise UsageError(f"--keep-writes {path} cannot be written", hint="name a directory you may write")
    return path.resolve()
