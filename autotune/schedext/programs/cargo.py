# SPDX-License-Identifier: MIT
"""Runs `cargo install`: reports progress as it goes, keeps the output in a log, and sums up a failure in a sentence."""

from __future__ import annotations

import collections
import contextlib
import os
import re
import select
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO

from autotune import trust
from autotune.errors import AutotuneError, UsageError
from autotune.frozen import dataclass
from autotune.measure import descendants

STAGE = "install"
TICK_S = 1.0
TERMINATE_S = 5.0
MOST_LOG_BYTES = 16 << 20
TAIL_LINES = 400
"""Last lines kept, to find the reason of a failure."""
_BAR = re.compile(r"^\s*(Building|Fetch)\s+\[.*?\]\s+(?:(\d+)/(\d+)(?::\s*([^,\s(]+))?)?")
_STEP = re.compile(r"^\s*(Compiling|Downloaded) (\S+)")


@dataclass(frozen=True)
class Order:
    """The crate to install, and where."""

    crate: str
    version: str
    root: Path
    target: Path
    clang: str


@dataclass(frozen=True)
class BuildProgress:
    """How far a build is. `total` is None until cargo knows."""

    done: int = 0
    total: int | None = None
    doing: str = "connecting to crates.io"
    elapsed_s: float = 0.0


Listener = Callable[[BuildProgress], None]
"""Called with the progress about once a second."""


def install(order: Order, *, cwd: Path, log: Path, listener: Listener) -> None:
    """Build and install. Raises AutotuneError with the reason of a failure; cargo and all that it started have ended
    then, also after an interrupt."""
    child = _start(order, cwd)
    output = _CargoOutput(log, listener)
    try:
        output.follow(child)
        code = child.wait()
    finally:
        _end(child)
        output.close()
    if code != 0:
        raise _failure(order, list(output.tail), log)


def _start(order: Order, cwd: Path) -> subprocess.Popen[bytes]:
    cargo = trust.find_program("cargo")
    if cargo is None:
        raise AutotuneError("cargo cannot be started: it is not there", hint="see 'cargo --version'", stage=STAGE)
    argv = [cargo, "install", "--locked", "--root", str(order.root), f"{order.crate}@{order.version}"]
    environ = {
        **os.environ,
        "CARGO_TARGET_DIR": str(order.target),
        "BPF_CLANG": order.clang,
        "CARGO_TERM_COLOR": "never",
        "CARGO_TERM_PROGRESS_WHEN": "always",  # the only way to learn how many crates there are
        "CARGO_TERM_PROGRESS_WIDTH": "100",
        "LC_ALL": "C.UTF-8",
    }
    try:
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=environ,
            start_new_session=True,
            preexec_fn=lambda: descendants.die_with_parent(signal.SIGTERM),
            bufsize=0,
        )
    except (OSError, subprocess.SubprocessError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise AutotuneError(f"cargo cannot be started: {why}", hint="see 'cargo --version'", stage=STAGE) from error


def _end(child: subprocess.Popen[bytes]) -> None:
    """End its whole process group, compilers too."""
    for number, limit_s in ((signal.SIGTERM, TERMINATE_S), (signal.SIGKILL, TERMINATE_S)):
        if child.poll() is not None:
            break
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(limit_s)
    descendants.kill_group(child.pid)
    if child.stdout is not None:
        child.stdout.close()


class _CargoOutput:
    """Reads cargo's output until it ends."""

    def __init__(self, log: Path, listener: Listener) -> None:
        self.tail: collections.deque[str] = collections.deque(maxlen=TAIL_LINES)
        self._listener = listener
        self._started = time.monotonic()
        self._progress = BuildProgress()
        self._log = _opened(log)
        self._logged_bytes = 0

    def follow(self, child: subprocess.Popen[bytes]) -> None:
        assert child.stdout is not None
        fd, left = child.stdout.fileno(), b""
        reported_s = -TICK_S
        while True:
            ready, _, _ = select.select([fd], [], [], TICK_S)
            if ready:
                chunk = os.read(fd, 1 << 16)
                if not chunk:
                    break
                *lines, left = re.split(rb"[\r\n]", left[-65536:] + chunk)
                for line in lines:
                    self._take(line.decode(errors="replace").rstrip())
            elif child.poll() is not None:  # a process left behind has the pipe open
                break
            elapsed_s = time.monotonic() - self._started
            if elapsed_s - reported_s >= TICK_S:
                reported_s = elapsed_s
                self._listener(replace(self._progress, elapsed_s=elapsed_s))
        self._take(left.decode(errors="replace").rstrip())

    def _take(self, line: str) -> None:
        bar = _BAR.match(line)
        if bar is not None:
            if bar[3]:
                self._progress = BuildProgress(int(bar[2]), int(bar[3]), bar[4] or self._progress.doing)
            return
        if not line:
            return
        step = _STEP.match(line)
        if step is not None:
            self._progress = replace(self._progress, doing=step[2])
        self.tail.append(line)
        self._write(line)

    def _write(self, line: str) -> None:
        if self._log is None or self._logged_bytes > MOST_LOG_BYTES:
            return
        with contextlib.suppress(OSError):  # a full disk must not hide why the build failed
            data = line.encode() + b"\n"
            self._log.write(data)
            self._logged_bytes += len(data)

    def close(self) -> None:
        if self._log is not None:
            with contextlib.suppress(OSError):
                self._log.close()


def _opened(log: Path) -> IO[bytes] | None:
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        return open(log, "wb", buffering=0)
    except OSError:
        return None


# --- why it failed ---------------------------------------------------------------------------------------

_REASONS: tuple[tuple[str, str, str], ...] = (
    (
        # a linker that writes through a mapping meets a full disk as SIGBUS
        r"No space left on device|Disk quota exceeded|signal 7 \[Bus error\]|signal: 7, SIGBUS",
        "the disk is full",
        "make room in {target} and {root}",
    ),
    (
        r"requires rustc \d|is not supported by the following package|is unstable and its feature|edition2024",
        "this Rust is too old for it",
        "rustup update, or try an older --version",
    ),
    (
        r"signal: 9, SIGKILL",
        "a compiler was killed, most likely because memory ran out",
        "close other programs, or set CARGO_BUILD_JOBS=1",
    ),
    (
        r"ould not resolve host|ould not connect|onnection (refused|timed out|reset)|imeout was reached|"
        r"failed to download from|download of config.json failed|spurious network error|SSL|--offline was specified",
        "crates.io cannot be reached",
        "check the network and the proxy settings (https_proxy), and try again",
    ),
)
"""Pattern in the last lines, its meaning, and what to do."""


def _failure(order: Order, tail: Sequence[str], log: Path) -> AutotuneError:
    text = "\n".join(tail)
    whole = f"{order.crate} {order.version}"
    kept = f"the whole output is in {log}" if log.is_file() else "run cargo by hand to see more"
    if re.search(r"could not find `[^`]*` in registry", text):
        return UsageError(f"crates.io has no {whole}", hint=f"see https://crates.io/crates/{order.crate}/versions")
    for pattern, meaning, advice in _REASONS:
        if re.search(pattern, text):
            hint = f"{advice.format(target=order.target, root=order.root.parent.parent)}; {kept}"
            return AutotuneError(f"{whole} could not be built: {meaning}", hint=hint, stage=STAGE, detail=text)
    return AutotuneError(f"{whole} could not be built: {_last_error(tail)}", hint=kept, stage=STAGE, detail=text)


def _last_error(tail: Sequence[str]) -> str:
    """Return the first error of the crate that failed: the rest are consequences."""
    errors = [line for line in tail if re.match(r"error(\[\w+\])?:", line)]
    reason = errors[0] if errors else next((line for line in reversed(tail) if line.strip()), "cargo printed nothing")
    return reason.removeprefix("error: ").strip()[:300]
