# SPDX-License-Identifier: MIT
"""The keeper: the process that stops somebody else's scheduler and restores it. It lives on a pipe from its parent.

What always holds:
- end of file on the pipe, or SIGTERM, restores what was stopped, also when autotune is killed;
- a process is signalled only while it is the very one that was named (by pidfd and start time);
- nothing is restored over a scheduler that somebody else attached meanwhile.

Runs as root. Standard library only.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import shlex
import signal
import subprocess
import sys
import time
from typing import NoReturn

if __name__ == "__main__":
    if sys.argv[1:] == ["--probe"]:  # see autotune.privilege
        sys.exit(os.geteuid() != 0)
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from autotune.errors import AttachError, AutotuneError, BusyError
from autotune.frozen import dataclass
from autotune.lease import owners
from autotune.lease.loaders import SERVICE, run_bounded
from autotune.lease.other import Other
from autotune.process import Channel, EventHandler, Message, serve
from autotune.records import KernelState
from autotune.schedext.kernel import ops_matches, read_state, wait_for
from autotune.wire import from_json

COMMAND_S = 30.0
"""How long systemctl and scxctl may take; a service has its own time to stop."""
STEPS = ((signal.SIGINT, 5.0), (signal.SIGTERM, 3.0), (signal.SIGKILL, 3.0))
"""The signals that stop a program, and how long each may take."""
GONE_S = 10.0
"""How long, after the process or the command ended, the kernel may take to be back on its own scheduler."""
PATIENCE_S = 5.0
"""How long to wait before restoring while another scheduler is attached: our own holder may just be detaching."""
ATTACH_S = 200.0
"""How long the kernel may take to attach it again: it verifies it once more, which emulation makes slow."""
_POLL_S = 0.1


@dataclass(frozen=True)
class ProcessStart:
    """What is needed to start a process again as it was."""

    program: str
    argv: tuple[bytes, ...]
    env: dict[bytes, bytes]
    cwd: str
    uids: tuple[int, int, int]
    gids: tuple[int, int, int]
    groups: tuple[int, ...]

    @property
    def command(self) -> str:
        return f"cd {shlex.quote(self.cwd)} && {shlex.join(word.decode(errors='replace') for word in self.argv)}"


class Keeper:
    """Stops one scheduler, and starts it again."""

    def __init__(self) -> None:
        self._other: Other | None = None
        """The scheduler that was stopped and is not restored yet."""
        self._start: ProcessStart | None = None
        self._child: int | None = None

    def stop(self, other: Other) -> None:
        """Stop it. Raises AttachError when it keeps running, BusyError when it is not the named one any more."""
        state = read_state()
        if state.ops != other.ops:
            raise BusyError(f"{other.ops} is not attached any more", hint="run again")
        if other.unit is not None or other.origin == "scx.service":
            self._other = other
            _command("systemctl", "stop", other.unit or SERVICE)
        elif other.origin == "scx_loader":
            self._other = other
            _command("scxctl", "stop")
        else:
            self._stop_process(other)
        gone, state = wait_for(lambda seen: seen.state == "disabled", GONE_S)
        if not gone:
            raise AttachError(
                f"{state.ops or other.ops} is still attached (state {state.state}) after it was stopped",
                hint="something starts it again, or its link is pinned below /sys/fs/bpf; use --machine vm",
            )

    def _stop_process(self, other: Other) -> None:
        assert other.pid is not None
        try:
            fd = os.pidfd_open(other.pid)
        except ProcessLookupError as error:
            raise BusyError(f"process {other.pid} is gone", hint="run again") from error
        try:
            found = owners.process(other.pid)
            if found is None or found.started != other.started:
                raise BusyError(f"process {other.pid} is a different one by now", hint="run again")
            if not owners.owns(other.pid, other.ops):  # anybody can give a process a name
                raise BusyError(
                    f"process {other.pid} is named like {other.ops} and does not have it open",
                    hint="stop the scheduler yourself, or use --machine vm",
                )
            self._start = start_of(other.pid)
            self._other = other
            _end(fd, other)
        finally:
            os.close(fd)

    def restore(self, patience_s: float = PATIENCE_S) -> str:
        """Start it again, and describe what was done. Raises AttachError saying what to do by hand."""
        other, self._other = self._other, None
        if other is None:
            return "nothing was stopped"
        free, state = wait_for(lambda seen: seen.state == "disabled", patience_s)
        if not free and _is_back(other, state):
            return f"{other.ops} is attached again"
        if not free:
            return f"{state.ops} was attached meanwhile and is left alone; {other.ops} was not restored"
        try:
            self._start_again(other)
            back = self._wait_until_back(other)
            if not back:
                raise AttachError(f"it was not attached again within {ATTACH_S:g} s, or ended")
            self._correct_flags(other)
        except (AutotuneError, OSError) as error:
            raise AttachError(
                f"{other.ops} could not be restored: {error}", hint=f"start it yourself: {self._by_hand(other)}"
            ) from error
        return f"{read_state().ops or other.ops} is attached again"

    def _start_again(self, other: Other) -> None:
        if self._start is not None:
            self._child = spawn(self._start)
        elif other.origin == "scx_loader":
            _command(*_loader_start(other))
        else:
            _command("systemctl", "start", other.unit or SERVICE)

    def _wait_until_back(self, other: Other) -> bool:
        """Wait until it is attached again. Returns False when its process ended, or time is up."""
        deadline = time.monotonic() + ATTACH_S
        while time.monotonic() < deadline:
            if wait_for(lambda seen: _is_back(other, seen), _POLL_S)[0]:
                return True
            if self._child is not None and os.waitpid(self._child, os.WNOHANG)[0]:
                return False
        return False

    def _correct_flags(self, other: Other) -> None:
        """Restore its arguments, where it runs with others: some versions of scxctl report a mode
        although the scheduler was started with arguments."""
        if other.origin != "scx_loader" or other.pid is None or other.mode is None or other.scheduler is None:
            return
        pid = owners.find(read_state().ops or other.ops)
        found = None if pid is None else owners.process(pid)
        if found is None or found.argv[1:] == other.flags:
            return
        before = read_state().enable_seq
        _command("scxctl", "switch", "--sched", other.scheduler.removeprefix("scx_"), _loader_arguments(other))
        if not wait_for(lambda seen: _is_back(other, seen) and seen.enable_seq > before, ATTACH_S)[0]:
            raise AttachError("scx_loader did not start it with its earlier arguments")

    def _by_hand(self, other: Other) -> str:
        if self._start is not None:
            return self._start.command
        if other.origin == "scx_loader":
            with contextlib.suppress(AutotuneError):
                return shlex.join(_loader_start(other))
            return shlex.join(other.argv)
        return f"systemctl start {other.unit or SERVICE}"


def _is_back(other: Other, state: KernelState) -> bool:
    return state.state == "enabled" and ops_matches(owners.base_name(other.ops), state.ops)


def _loader_start(other: Other) -> list[str]:
    """Return `scxctl start` in the mode that it had, else with its arguments."""
    if other.scheduler is None:
        raise AttachError("it is not known what scx_loader ran")
    how = ["--mode", other.mode] if other.mode else [_loader_arguments(other)] if other.flags else []
    return ["scxctl", "start", "--sched", other.scheduler.removeprefix("scx_"), *how]


def _loader_arguments(other: Other) -> str:
    """Join the arguments with commas: scxctl takes them as one word."""
    if any("," in flag for flag in other.flags):
        raise AttachError("scxctl cannot pass arguments with commas in them")
    return f"--args={','.join(other.flags)}"


def _command(*argv: str) -> None:
    """Run a command. Raises AttachError when it is absent, fails, or takes too long."""
    try:
        exit_code, output = run_bounded(argv, COMMAND_S)
    except FileNotFoundError as error:
        raise AttachError(f"there is no {argv[0]}") from error
    except subprocess.TimeoutExpired as error:
        raise AttachError(f"'{shlex.join(argv)}' did not end within {COMMAND_S:g} s") from error
    if exit_code != 0:
        plain = " ".join(re.sub(r"\x1b\[[0-9;]*m", "", output).split())
        raise AttachError(f"'{shlex.join(argv)}' failed: {plain[:200] or f'exit {exit_code}'}")


# --- processes ------------------------------------------------------------------------------------------


def start_of(pid: int) -> ProcessStart:
    """Find out how a process could be started again. Raises BusyError when it could not."""
    place = f"/proc/{pid}"
    try:
        with open(f"{place}/cmdline", "rb") as file:
            argv = tuple(file.read().split(b"\0")[:-1])
        with open(f"{place}/environ", "rb") as file:
            pairs = [pair.partition(b"=") for pair in file.read().split(b"\0") if b"=" in pair]
        with open(f"{place}/status", encoding="utf-8", errors="replace") as file:
            status = dict(line.split(":", 1) for line in file if ":" in line)
        program, cwd = os.readlink(f"{place}/exe"), os.readlink(f"{place}/cwd")
    except OSError as error:
        raise BusyError(f"process {pid} cannot be inspected: {error.strerror}", hint="use --machine vm") from error
    if not argv or not os.access(program, os.X_OK) or not os.path.isdir(cwd):
        raise BusyError(
            f"process {pid} could not be started again: its program or its directory no longer exists",
            hint="stop it yourself, or use --machine vm",
        )
    uids, gids = (tuple(int(word) for word in status[name].split()[:3]) for name in ("Uid", "Gid"))
    groups = tuple(int(word) for word in status.get("Groups", "").split())
    env = {name: value for name, _, value in pairs if name}
    return ProcessStart(program, argv, env, cwd, (uids[0], uids[1], uids[2]), (gids[0], gids[1], gids[2]), groups)


def spawn(start: ProcessStart) -> int:
    """Start it in a session of its own, with nothing of ours; its output is discarded. Returns its process number."""
    pid = os.fork()
    if pid == 0:
        _become(start)
    return pid


def _become(start: ProcessStart) -> NoReturn:
    try:
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        os.closerange(3, 1 << 16)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        os.setgroups(start.groups)
        os.setresgid(*start.gids)
        os.setresuid(*start.uids)
        os.chdir(start.cwd)
        os.execve(start.program, start.argv, start.env)
    except BaseException:
        os._exit(127)


def _end(fd: int, other: Other) -> None:
    """End a process. Raises AttachError when it survives even SIGKILL."""
    for number, limit_s in STEPS:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(fd, number)
        if select.select([fd], [], [], limit_s)[0]:
            return
    raise AttachError(f"process {other.pid} does not end", hint="use --machine vm")


# --- the process ----------------------------------------------------------------------------------------


class _Terminated(BaseException):
    """SIGTERM."""


def _obey_signals() -> None:
    def end(_number: int, _frame: object) -> None:
        raise _Terminated

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def main() -> None:
    requests, answers = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(2, 1)
    _obey_signals()
    keeper = Keeper()

    def stop(request: Message, _emit: EventHandler) -> None:
        keeper.stop(from_json(Other, request["other"]))

    def restore(_request: Message, _emit: EventHandler) -> str:
        return keeper.restore()

    with contextlib.suppress(_Terminated):
        serve(Channel(requests, answers), {"stop": stop, "restore": restore})
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(AutotuneError):
        keeper.restore(patience_s=GONE_S)


if __name__ == "__main__":
    main()
