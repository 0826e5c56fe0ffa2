# SPDX-License-Identifier: MIT
"""A micro-VM as a machine: boots once, exchanges JSON lines with its agent, and ends with autotune.

What always holds:
- the host's files are shared read-only; everything written inside lives in the VM's memory;
- QEMU dies with autotune, even when that is killed: the kernel sees to it (`setpriv --pdeathsig`), and the agent powers
  the VM off when its port closes;
- QEMU is not root, where that can be (`account`);
- every request has a deadline on this side; "the VM is lost" (MachineLost) differs from "the command failed".
"""

from __future__ import annotations

import contextlib
import math
import os
import platform
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from autotune import durable, trust
from autotune.deadline import Deadline, unlimited
from autotune.errors import AutotuneError, MachineFault, MachineLost, NoMachineError
from autotune.frozen import dataclass
from autotune.machine.base import OutputHandler, Place
from autotune.machine.executor import wire_output
from autotune.machine.pauses import PauseWatch
from autotune.machine.vm import debugger, guest, inherited, initramfs, pace
from autotune.machine.vm.account import Account, choose
from autotune.machine.vm.kernels import Kernel
from autotune.machine.vm.kvm import KvmResults
from autotune.measure import surroundings
from autotune.process import EventHandler, Message, Worker
from autotune.records import (
    Acceleration,
    Attachment,
    AttachSpec,
    Detachment,
    KernelState,
    MachineInfo,
    Measurement,
    ProbeSpec,
    Run,
    RunSpec,
    Sample,
    Watched,
)
from autotune.resources import state_dir
from autotune.schedext.holding.client import start_s
from autotune.wire import from_json, to_json

PORT = "autotune"
KVM_BOOT_S = 30.0
"""KVM boots in a few seconds; a longer boot hangs."""
TCG_BOOT_S = 180.0
"""Emulation boots in 3 to 5 s on a quiet machine; a busy one may take many times that."""
BOOT_TRIES = 4
"""Emulated kernels sometimes die at boot; see `resilient`."""
STOPPED_S = 60.0
"""How long QEMU may be stopped by a signal until the VM counts as lost."""
ANSWER_S = 60.0
"""Deadline of every request except runs."""
RUN_MARGIN_S = 60.0
"""Time that a run may take beyond its own timeout: ending its processes, transferring the output."""
ENDING_S = 15.0
"""Time that a request gets at least, also when the session's budget is used up."""
KVM_LEAST_S = 10.0
"""A boot with KVM that got less time shows nothing about KVM."""
DEBUGGER = "debugger/socket"
"""QEMU's debugger stub, a socket in a directory of its own beside the console."""

_PROGRAMS = {"setpriv": "util-linux", "busybox": "busybox-static", "modprobe": "kmod"}
"""Programs that a boot needs beside QEMU, by Debian package."""
_QEMU = {"x86_64": "qemu-system-x86_64"}


@dataclass(frozen=True)
class VmOptions:
    """Size and sharing of the VM. `keep_writes` is a host directory for files written inside; None discards them."""

    cpus: int
    memory_bytes: int
    keep_writes: Path | None = None
    process_1: str = ""
    """Name that process 1 shows; empty: the shell's."""
    open_memory: bool = False
    """Whether `add_to_memory` works."""
    run_margin_s: float = RUN_MARGIN_S


def find_tool(name: str, package: str) -> str:
    """Find a program and return its path. Raises NoMachineError naming the Debian package that has it."""
    path = trust.find_program(name, "/usr/sbin", "/sbin")
    if path is None:
        raise NoMachineError(f"{name} is not installed", hint=f"install it: apt-get install {package}")
    return path


def find_setpriv() -> str:
    """Find setpriv, which starts QEMU as who it should be."""
    return find_tool("setpriv", "util-linux")


def require_programs(kernel: Kernel) -> None:
    """Raise NoMachineError unless there is all that booting a kernel runs on the host."""
    qemu_program(kernel)
    for name, package in _PROGRAMS.items():
        find_tool(name, package)


SANDBOX = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"
"""Privileges that QEMU drops by seccomp, should a guest break out of the machine: other programs, other users,
priorities."""


UNGUARDED = "mitigations=off init_on_alloc=0 randomize_kstack_offset=off"
"""Kernel parameters under emulation: an emulated CPU does not speculate, and nobody else's data is in the machine. The
guards against that take a fifth of all that an emulated kernel does, and a quarter of a fork."""


def qemu_argv(
    kernel: Kernel, options: VmOptions, acceleration: Acceleration, initrd: Path, console: Path, account: Account
) -> list[str]:
    """Return the command line of QEMU, with no device that is not used."""
    machine = platform.machine()
    if machine not in _QEMU:
        raise NoMachineError(f"micro-VMs are not supported on {machine}", hint="use --machine host")
    accel = "kvm" if acceleration == "kvm" else "tcg,thread=multi"
    argv = [find_setpriv(), *account.options(), "--pdeathsig", "KILL", "--"]
    argv += [*qemu_program(kernel), "-nodefaults", "-no-user-config", "-no-reboot"]
    argv += ["-sandbox", SANDBOX]
    argv += ["-machine", "q35", "-accel", accel, "-cpu", "host" if acceleration == "kvm" else "max"]
    argv += ["-smp", str(options.cpus), "-m", f"{options.memory_bytes >> 20}M", "-display", "none"]
    if options.open_memory:
        argv += ["-gdb", debugger.listening(console.parent / DEBUGGER)]
    argv += ["-serial", f"file:{console}", "-device", "virtio-serial-pci"]
    argv += ["-chardev", "stdio,id=agent,signal=off", "-device", f"virtserialport,name={PORT},chardev=agent"]
    argv += _share("root", Path("/"), readonly=True)
    if options.keep_writes is not None:
        argv += _share("keep", options.keep_writes, readonly=False)
    argv += ["-kernel", str(kernel.unpacked or kernel.image), "-initrd", str(initrd)]
    # no_timer_check, tsc=reliable: calibration that emulation makes slow and that proves nothing in a VM.
    # The rest spares the self-tests of ciphers and the security modules, which take a tenth of an emulated boot.
    quiet = "console=ttyS0 quiet loglevel=1 panic=-1 no_timer_check tsc=reliable random.trust_cpu=on nokaslr"
    quiet += " cryptomgr.notests audit=0 lsm="
    return [*argv, "-append", f"{quiet} {UNGUARDED}" if acceleration == "tcg" else quiet]


def qemu_program(kernel: Kernel) -> list[str]:
    """Return the fetched QEMU with its firmware, when the kernel's set has one; else the system's."""
    name = _QEMU.get(platform.machine(), "qemu-system-x86_64")
    if kernel.qemu is not None and (kernel.qemu / "bin" / name).is_file():
        return [str(kernel.qemu / "bin" / name), "-L", str(kernel.qemu / "share")]
    return [find_tool(name, "qemu-system-x86")]


def _share(tag: str, path: Path, *, readonly: bool) -> list[str]:
    access = ",readonly=on" if readonly else ""
    quoted = str(path).replace(",", ",,")  # as QEMU's option syntax requires
    share = f"local,id={tag},path={quoted},security_model=none,multidevs=remap{access}"
    return ["-fsdev", share, "-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}"]


def guest_program() -> list[str]:
    """Return the command with which init starts the agent: this very Python and package, since the guest sees the
    host's files."""
    python = os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)
    return [python, "-S", "-E", "-I", os.path.realpath(guest.__file__), PORT]


RanT = TypeVar("RanT", Run, Measurement, Watched)
"""What comes of a command that is run inside."""


class MicroVM:
    """A booted VM. Construction boots it; raises MachineLost when it does not come up within `boot_s`. A request that
    outlasts the `deadline` is given up: the VM is lost."""

    def __init__(
        self,
        kernel: Kernel,
        place: Place,
        options: VmOptions,
        *,
        account: Account,
        acceleration: Acceleration,
        why: str,
        boot_s: float,
        deadline: Deadline | None = None,
    ) -> None:
        self._options = options
        self._deadline = deadline or unlimited()
        self._headers = kernel.headers
        self._scratch = durable.Scratch(Path(tempfile.gettempdir()), "autotune-vm")
        self._directory = self._scratch.path
        self._console = self._directory / "console"
        self._worker: Worker | None = None
        self._is_busy = False
        """A request was abandoned (Ctrl-C), and the agent may still work on it."""
        self._pauses = PauseWatch()
        try:
            initrd = self._write_initrd(kernel)
            # QEMU may write the console's file; its directory stays ours, so what we read later is what we made.
            _give(account, self._console, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            if options.open_memory:
                self._make_place_of_debugger(account)
            argv = qemu_argv(kernel, options, acceleration, initrd, self._console, account)
            # QEMU's own messages, in a file beside the console, explain a boot that failed.
            log = os.open(self._directory / "qemu", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._started_s = pace.now_s()
            self._worker = Worker(argv, self._lost, stderr=log, env=_qemu_env(kernel))
            self._info = self._begin(kernel, place, acceleration, why, boot_s)
        except BaseException:
            self.close()
            raise

    def _make_place_of_debugger(self, account: Account) -> None:
        """Make the directory in which QEMU makes the socket of its debugger stub."""
        place = (self._directory / DEBUGGER).parent
        place.mkdir(mode=0o700)
        _give(account, place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)

    def _write_initrd(self, kernel: Kernel) -> Path:
        initrd = self._directory / "initrd"
        initramfs.write_initramfs(
            initrd,
            busybox=find_tool("busybox", "busybox-static"),
            modules=initramfs.find_modules(Path(kernel.modules), kernel.version),
            program=guest_program(),
            hostname=platform.node() or "autotune",
            keep=self._options.keep_writes is not None,
            process_1=self._options.process_1,
            config=kernel.config,
        )
        return initrd

    def _begin(self, kernel: Kernel, place: Place, acceleration: Acceleration, why: str, boot_s: float) -> MachineInfo:
        answer = self._request(
            "begin",
            timeout_s=boot_s,
            cwd=place.cwd,
            pristine=place.pristine,
            identity=to_json(place.identity),
            libbpf=str(kernel.libbpf) if kernel.libbpf else None,
            why=why,
            acceleration=acceleration,
            inherited=inherited.read(),
        )
        self._refuse_fast_clock(answer["uptime_s"], pace.now_s() - self._started_s)
        return from_json(MachineInfo, answer["machine"])

    # --- the Machine protocol ---

    @property
    def info(self) -> MachineInfo:
        return self._info

    @property
    def generation(self) -> int:
        return 0

    @property
    def headers(self) -> str | None:
        return str(self._headers) if self._headers else None

    def run(self, spec: RunSpec, on_output: OutputHandler | None = None) -> Run:
        run = self._ask_run("run", Run, spec, on_output)
        if run.timed_out:
            self._refuse_pause()
        return run

    def measure(self, spec: RunSpec, ops: str | None, on_output: OutputHandler | None = None) -> Measurement:
        around = surroundings.read()
        measured = self._ask_run("measure", Measurement, spec, on_output, ops=ops)
        seen = surroundings.between(around, surroundings.read())
        self._refuse_pause()
        return replace(measured, surroundings=surroundings.with_guest(seen, measured.surroundings))

    def watch(self, spec: RunSpec, probe: ProbeSpec, on_output: OutputHandler | None = None) -> Watched:
        watched = self._ask_run("watch", Watched, spec, on_output, probe=to_json(probe))
        self._refuse_pause()
        return watched

    def fresh(self) -> None:
        self._ask("fresh")

    def attach(self, spec: AttachSpec) -> Attachment:
        limit_s = 2 * ANSWER_S + start_s(spec)  # the nearer deadline passes first, with the better error
        with self._nobody_blamed_for_pauses():
            return from_json(Attachment, self._ask("attach", timeout_s=limit_s, spec=to_json(spec)))

    def detach(self) -> Detachment:
        return from_json(Detachment, self._ask("detach"))

    def state(self) -> KernelState:
        return from_json(KernelState, self._ask("state"))

    def sample(self) -> Sample:
        return from_json(Sample, self._ask("sample"))

    def keep_writes(self) -> Message:
        """Copy what was written inside to the directory of `keep_writes`. Returns the fields of `writes.KeptWrites`."""
        answer: Message = self._request("keep_writes", timeout_s=600.0)  # the session is over
        return answer

    def release(self) -> None:
        """Detach inside; close the VM when it is busy with what was abandoned."""
        if self._is_busy:
            self.close()
        else:
            self._ask("release")

    def add_to_memory(self, address: int, amount: int) -> None:
        """Add to a number of 64 bits in the kernel's data (`open_memory`). Raises AutotuneError."""
        debugger.add(self._directory / DEBUGGER, address, amount)

    def close(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.kill()  # nothing inside is worth a shutdown: its disk is memory
            worker.close()
        self._scratch.close()

    # --- requests to the agent ---

    def _ask_run(
        self, op: str, kind: type[RanT], spec: RunSpec, on_output: OutputHandler | None, **fields: Any
    ) -> RanT:
        """Have a command run, and return what came of it. Raises MachineLost also when the clock inside is wrong."""
        began_s = pace.now_s()
        own_s = math.inf if spec.timeout_s is None else spec.timeout_s
        limit_s = self._deadline.bound(own_s + self._options.run_margin_s, least_s=own_s + ENDING_S)
        spec = replace(spec, env=inherited.environment(spec.env, self._options.cpus))
        with self._nobody_blamed_for_pauses():
            answer = self._request(op, timeout_s=limit_s, on_event=_to_output(on_output), spec=to_json(spec), **fields)
        found = from_json(kind, answer)
        run = found if isinstance(found, Run) else found.run
        self._refuse_fast_clock(run.wall_s, pace.now_s() - began_s)
        return found

    @contextlib.contextmanager
    def _nobody_blamed_for_pauses(self) -> Iterator[None]:
        """Turn an error of the block into a MachineFault when the machine stood still meanwhile."""
        self._pauses = PauseWatch(lambda: self._worker is not None and self._worker.is_stopped())
        try:
            yield
        except MachineLost:
            raise
        except AutotuneError:
            self._refuse_pause()
            raise

    def _refuse_pause(self) -> None:
        """Raise MachineFault when the machine stood still: a command may have timed out by that, or a scheduler been
        ejected."""
        problem = self._pauses.problem()
        if problem is not None:
            raise MachineFault(problem)

    def _refuse_fast_clock(self, inside_s: float, outside_s: float) -> None:
        """Raise MachineLost when no true clock can have shown what the one inside did."""
        problem = pace.problem(inside_s, outside_s)
        if problem is not None:
            raise self._lost(problem)

    def _look(self) -> None:
        self._pauses.look()
        if self._pauses.stopped_s >= STOPPED_S:
            raise self._lost(f"QEMU has been stopped for {STOPPED_S:.0f} s")

    def _ask(self, op: str, *, timeout_s: float = ANSWER_S, **fields: Any) -> Any:
        return self._request(op, timeout_s=self._deadline.bound(timeout_s, least_s=ENDING_S), **fields)

    def _request(self, op: str, *, timeout_s: float, on_event: EventHandler | None = None, **fields: Any) -> Any:
        if self._worker is None:
            raise MachineLost("the micro-VM has been closed")
        limit_s = timeout_s if math.isfinite(timeout_s) else None
        try:
            answer = self._worker.request(op, timeout_s=limit_s, on_event=on_event, look=self._look, **fields)
        except AutotuneError:
            raise
        except BaseException:
            self._is_busy = True
            raise
        self._is_busy = False  # it answers one after the other
        return answer

    def _keep_console(self, detail: str) -> None:
        """Keep the console of the last lost VM, for a bug report."""
        with contextlib.suppress(OSError):
            state_dir().mkdir(parents=True, exist_ok=True)
            durable.replace(state_dir() / "console.log", detail.encode("utf-8", "backslashreplace"))

    def _lost(self, what: str) -> AutotuneError:
        detail = "\n".join(filter(None, (_tail(self._directory / "qemu"), _tail(self._console))))
        last = last_words(detail)
        shown = f": {last[:200]}" if last else ""
        self._keep_console(detail)
        return MachineLost(
            f"the micro-VM is lost, {what}{shown}",
            hint="run again; if it repeats, give it more --memory or see 'autotune doctor'",
            detail=detail,
        )


def last_words(console: str) -> str:
    """Return the most telling line of a console: the kernel's first complaint, else the last line."""
    lines = [line.strip() for line in console.splitlines() if line.strip()]
    complaint = next((line for line in lines if _COMPLAINT.search(line)), None)
    return complaint or (lines[-1] if lines else "")


_COMPLAINT = re.compile(r"Kernel panic|BUG: |Oops|general protection|Out of memory|qemu-system\S*: ")


def _qemu_env(kernel: Kernel) -> dict[str, str]:
    """Return the environment in which a fetched QEMU finds its accelerators, which are modules beside it."""
    env = dict(os.environ)
    if kernel.qemu is not None:
        env["QEMU_MODULE_DIR"] = str(kernel.qemu / "lib")
    return env


def _to_output(on_output: OutputHandler | None) -> EventHandler | None:
    if on_output is None:
        return None
    return lambda event: on_output(*wire_output(event))


def _tail(path: Path, limit_bytes: int = 16000) -> str:
    try:
        return path.read_bytes()[-limit_bytes:].decode(errors="replace")
    except OSError:
        return ""


def boot(
    kernel: Kernel,
    place: Place,
    options: VmOptions,
    why: str,
    *,
    kvm_results: KvmResults | None = None,
    notify: Callable[[str], None] = lambda _text: None,
    deadline: Deadline | None = None,
) -> MicroVM:
    """Boot with KVM where that works, else under emulation; the result is remembered. Raises MachineLost when neither
    boots before the `deadline`."""
    deadline, kvm_results = deadline or unlimited(), kvm_results or KvmResults()
    qemu = qemu_program(kernel)[0]
    trust.refuse_foreign(Path(qemu), would="would run the micro-VM", stage="boot")
    account = choose(find_setpriv(), keeps_writes=options.keep_writes is not None)
    if account.why_root:
        notify(f"QEMU runs as root: {account.why_root}")
    if account.kvm and kvm_results.recall(kernel.version, qemu) is not False:
        notify("booting a micro-VM with KVM")
        kvm_s = min(KVM_BOOT_S, deadline.left_s() / 2)  # emulation needs the other half
        try:
            vm = MicroVM(
                kernel, place, options, account=account, acceleration="kvm", why=why, boot_s=kvm_s, deadline=deadline
            )
        except MachineLost:
            if kvm_s >= KVM_LEAST_S:
                kvm_results.remember(kernel.version, qemu, False)
            notify("KVM does not boot here" + ("; remembered for next time" if kvm_s >= KVM_LEAST_S else ""))
        else:
            kvm_results.remember(kernel.version, qemu, True)
            return vm
    notify("booting a micro-VM under emulation")
    return _boot_emulated(
        lambda boot_s: MicroVM(
            kernel, place, options, account=account, acceleration="tcg", why=why, boot_s=boot_s, deadline=deadline
        ),
        notify,
        deadline,
    )


def _give(account: Account, path: Path, flags: int) -> None:
    """Open or make a file, or open a directory, and make it the account's."""
    fd = os.open(path, flags | os.O_CLOEXEC, 0o600)
    try:
        account.own(fd)
    finally:
        os.close(fd)


def _boot_emulated(start: Callable[[float], MicroVM], notify: Callable[[str], None], deadline: Deadline) -> MicroVM:
    for left in reversed(range(BOOT_TRIES)):
        try:
            return start(deadline.bound(TCG_BOOT_S))
        except MachineLost as error:
            if deadline.is_over:
                what, hint = "the micro-VM did not boot within the budget", "give a larger --budget"
                raise MachineLost(what, hint=hint, detail=error.detail) from error
            if not left:
                raise
            notify(f"{error.message}; trying again")
    raise AssertionError("unreachable")
