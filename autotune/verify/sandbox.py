# SPDX-License-Identifier: MIT
"""Runs a program that reads untrusted text: no network, no files but those it is given, all resources bounded.

bubblewrap isolates it (its own namespaces for users, mounts, processes, network and IPC; no privilege and no further
namespaces inside; it ends with us), and a seccomp filter leaves it the system calls of a compiler (`syscalls`). Limits
of the kernel (`prlimit`) bound memory, CPU time and file sizes; wall time and output are bounded here. CPU time is the
bound that does not depend on how busy the machine is; wall time ends the rest.
"""

from __future__ import annotations

import contextlib
import os
import resource
import selectors
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

from autotune import trust
from autotune.errors import BuildError
from autotune.frozen import dataclass
from autotune.measure import descendants
from autotune.verify import syscalls

NOBODY = "65534"
SYSTEM = ("/usr", "/lib", "/lib64", "/bin")
"""Programs and their libraries; no configuration, no home, no user's files, no devices, no /proc."""
WORK = "/scratch"
"""The one writable directory inside: a file system in memory."""
NO_NAMESPACES = ("--disable-userns",)
"""Options of bubblewrap 0.8, not of one that is setuid, nor of one that cannot write to /proc/sys."""
_READ_BYTES = 65536


@dataclass(frozen=True)
class SandboxLimits:
    """Bounds on a program's resources."""

    wall_s: float = 30.0
    cpu_s: int = 20
    """Bound on the memory of each process."""
    memory_bytes: int = 2 << 30
    output_bytes: int = 1 << 20
    """Bound on standard output and on standard error, each; the program is ended when it writes more."""
    file_bytes: int = 16 << 20


USUAL_LIMITS = SandboxLimits()


@dataclass(frozen=True)
class Done:
    """How a program ended. `exit_code` is negative for a signal; `ended_for` names the exceeded bound, if any."""

    exit_code: int
    stdout: bytes
    stderr: bytes
    wall_s: float
    ended_for: str = ""


def run(
    argv: Sequence[str],
    *,
    shown: Mapping[Path, str],
    given: Mapping[str, bytes] | None = None,
    limits: SandboxLimits = USUAL_LIMITS,
    stdin: bytes = b"",
) -> Done:
    """Run a program. `shown` maps files and directories to where they appear, read-only; `given` maps places inside to
    the content of a file there. Untrusted or judged content goes in by `given` and `stdin` and comes out by `stdout`:
    by descriptors, which nobody else can open, never by a path that another user could name. Raises BuildError when
    bubblewrap is missing, or not allowed to work."""
    extra = hardening()
    started = time.monotonic()
    with contextlib.ExitStack() as stack:
        files = {place: stack.enter_context(_in_memory(content)) for place, content in (given or {}).items()}
        walls, fds = _walls(shown, files), tuple(files.values())
        walls += extra.options
        if extra.seccomp_filter is not None:
            fds += (stack.enter_context(_in_memory(extra.seccomp_filter)),)
            walls += ["--seccomp", str(fds[-1])]
        child = _start([*walls, "--", *argv], fds, limits)
    stdout, stderr, ended_for = _drained(child, stdin, limits, started)
    exit_code = _reaped(child, limits, started)
    if exit_code == 1 and stderr.startswith(b"bwrap: "):
        complaint = stderr.decode(errors="replace").strip()[:200]
        raise BuildError(f"the sandbox cannot be built: {complaint}", hint="allow user namespaces, or run as root")
    wall_s = time.monotonic() - started
    if not ended_for and _out_of_cpu(exit_code, wall_s, limits):
        ended_for = f"it took over {limits.cpu_s} s of CPU time"
    return Done(exit_code, stdout, stderr, wall_s, ended_for)


def _start(command: Sequence[str], descriptors: tuple[int, ...], limits: SandboxLimits) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HOME": WORK, "TMPDIR": WORK},
            pass_fds=descriptors,
            start_new_session=True,
            preexec_fn=lambda: _bound(limits),
        )
    except (OSError, subprocess.SubprocessError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise BuildError(f"the sandbox cannot be started: {why}", hint="see 'autotune doctor'") from error


@contextlib.contextmanager
def _in_memory(content: bytes) -> Iterator[int]:
    """Yield a descriptor from which to read the content, of a file that has no name."""
    fd = os.memfd_create("autotune-given")
    try:
        with open(fd, "wb", closefd=False) as file:
            file.write(content)
        os.lseek(fd, 0, os.SEEK_SET)
        yield fd
    finally:
        os.close(fd)


@dataclass(frozen=True)
class Hardening:
    """Walls that not every machine can build. `missing` has a clause for each that this one cannot."""

    options: tuple[str, ...] = ()
    seccomp_filter: bytes | None = None
    missing: tuple[str, ...] = ()


@cache
def hardening() -> Hardening:
    """Find out, once, which of the further walls work here, by building each around `true`. Raises BuildError when
    bubblewrap is missing."""
    options: tuple[str, ...] = NO_NAMESPACES
    missing: list[str] = []
    seccomp_filter: bytes | None = None
    fault = _fault_with(options, None)
    if fault is not None:
        options = ()
        missing.append(f"further namespaces are not forbidden: {fault}")
    try:
        seccomp_filter = syscalls.compiler_filter()
        fault = _fault_with((), seccomp_filter)
    except syscalls.FilterError as error:
        fault = str(error)
    if fault is not None:
        seccomp_filter = None
        missing.append(f"system calls are not filtered: {fault}")
    return Hardening(options, seccomp_filter, tuple(missing))


def _fault_with(options: Sequence[str], seccomp_filter: bytes | None) -> str | None:
    """Return why bubblewrap cannot use the options, in its own words; None when it can, or could not do without them
    either."""
    argv = [find_bubblewrap(), "--unshare-user", "--ro-bind", "/", "/"]
    with contextlib.ExitStack() as stack:
        fds: tuple[int, ...] = ()
        wanted = [*options]
        if seccomp_filter is not None:
            fds = (stack.enter_context(_in_memory(seccomp_filter)),)
            wanted += ["--seccomp", str(fds[0])]
        done = _probe([*argv, *wanted, "--", "true"], fds)
    if done.returncode == 0 or _probe([*argv, "--", "true"]).returncode != 0:
        return None
    return (done.stderr.decode(errors="replace").strip().splitlines() or ["it failed"])[0][:200]


def _probe(argv: Sequence[str], fds: tuple[int, ...] = ()) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, pass_fds=fds, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildError(f"the sandbox cannot be started: {error}", hint="see 'autotune doctor'") from error


def find_bubblewrap() -> str:
    """Return the path of bubblewrap. Raises BuildError when it is not installed."""
    found = trust.find_program("bwrap")
    if found is None:
        raise BuildError("bubblewrap is not installed", hint="install it: apt-get install bubblewrap")
    return found


def _walls(shown: Mapping[Path, str], files: Mapping[str, int]) -> list[str]:
    walls = [
        find_bubblewrap(),
        "--unshare-all",
        "--unshare-user",
        "--die-with-parent",
        "--new-session",
        "--clearenv",
        "--cap-drop",
        "ALL",
    ]
    walls += ["--uid", NOBODY, "--gid", NOBODY, "--hostname", "sandbox"]
    for name, value in (("PATH", "/usr/bin:/bin"), ("LC_ALL", "C.UTF-8"), ("HOME", WORK), ("TMPDIR", WORK)):
        walls += ["--setenv", name, value]
    for place in SYSTEM:
        if os.path.islink(place):
            walls += ["--symlink", os.readlink(place), place]
        elif os.path.isdir(place):
            walls += ["--ro-bind", place, place]
    walls += ["--tmpfs", WORK]
    for source, place in shown.items():
        walls += ["--ro-bind", str(source), place]
    for place, fd in files.items():
        walls += ["--perms", "0444", "--ro-bind-data", str(fd), place]
    return [*walls, "--chdir", WORK]


def _bound(limits: SandboxLimits) -> None:
    """Set the limits in the child, before the program begins; everything that it starts inherits them."""
    # SIGXCPU first, which shows the reason; a program that ignores it is killed.
    _limit(resource.RLIMIT_CPU, limits.cpu_s, limits.cpu_s + 1)
    for what, most in (
        (resource.RLIMIT_AS, limits.memory_bytes),
        (resource.RLIMIT_FSIZE, limits.file_bytes),
        (resource.RLIMIT_CORE, 0),
    ):
        _limit(what, most, most)


def _limit(what: int, soft: int, hard: int) -> None:
    """Set a limit, or keep the lower one that we have ourselves: only root could raise it."""
    own = resource.getrlimit(what)[1]
    hard = hard if own == resource.RLIM_INFINITY else min(hard, own)
    resource.setrlimit(what, (min(soft, hard), hard))


def _reaped(child: subprocess.Popen[bytes], limits: SandboxLimits, started: float) -> int:
    """Return the exit code; a program that closed its output and keeps running is ended at the same deadline."""
    try:
        return child.wait(max(0.1, started + limits.wall_s - time.monotonic()))
    except subprocess.TimeoutExpired:
        descendants.kill_group(child.pid)
        return child.wait()


def _out_of_cpu(exit_code: int, wall_s: float, limits: SandboxLimits) -> bool:
    """Return whether the kernel ended it for its CPU time. bubblewrap reports a signal as shells do."""
    ended_by = exit_code - 128 if exit_code > 128 else -exit_code
    return ended_by == signal.SIGXCPU or (ended_by == signal.SIGKILL and wall_s > limits.cpu_s)


def _drained(
    child: subprocess.Popen[bytes], stdin: bytes, limits: SandboxLimits, started: float
) -> tuple[bytes, bytes, str]:
    """Read all its output, up to the bounds; past one the whole sandbox is ended."""
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stderr is not None
    kept = {child.stdout: bytearray(), child.stderr: bytearray()}
    left, ended_for = memoryview(stdin), ""
    with selectors.DefaultSelector() as selector, child.stdin, child.stdout, child.stderr:
        selector.register(child.stdout, selectors.EVENT_READ)
        selector.register(child.stderr, selectors.EVENT_READ)
        os.set_blocking(child.stdin.fileno(), False)
        if stdin:
            selector.register(child.stdin, selectors.EVENT_WRITE)
        else:
            child.stdin.close()
        while selector.get_map() and not ended_for:
            for key, _ in selector.select(max(0.0, started + limits.wall_s - time.monotonic())):
                if key.fileobj is child.stdin:
                    left = _fed(child, left, selector)
                    continue
                stream = key.fileobj
                data = os.read(key.fd, _READ_BYTES)
                if not data:
                    selector.unregister(stream)
                kept[stream] += data  # type: ignore[index]
                if len(kept[stream]) > limits.output_bytes:  # type: ignore[index]
                    ended_for = f"it wrote more than {limits.output_bytes >> 10} KiB"
            if time.monotonic() >= started + limits.wall_s:
                ended_for = ended_for or f"it took over {limits.wall_s:g} s"
        if ended_for:
            descendants.kill_group(child.pid)
    most = limits.output_bytes
    return bytes(kept[child.stdout][:most]), bytes(kept[child.stderr][:most]), ended_for


def _fed(child: subprocess.Popen[bytes], left: memoryview, selector: selectors.BaseSelector) -> memoryview:
    """Pass input on; a program may refuse it."""
    assert child.stdin is not None
    try:
        left = left[os.write(child.stdin.fileno(), left[:_READ_BYTES]) :]
    except BrokenPipeError:
        left = left[len(left) :]
    if not left:
        selector.unregister(child.stdin)
        child.stdin.close()
    return left
