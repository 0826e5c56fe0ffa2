# SPDX-License-Identifier: MIT
"""What a program of a scheduler cannot get out of, whatever it forks: a control group, and a mark in the environment.

What always holds:
- every process that descends from the program is in the group and has the mark, also one that forked twice, has a
  session of its own or ignores signals; a parent-death signal reaches the first of them only;
- `end` leaves none of them, and needs nothing but the token: whoever knows it can end them, also after the holder died.

The mark finds what is left where no group can be made, and what another tool moved out of it. A PID namespace would do
as much, but some programs of the scx family go by their own process number, which then would not be the kernel's.

Runs as root. Standard library only. Run as a program, it ends what is behind the token that it is given.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

MARK = "AUTOTUNE_HELD"
"""The variable whose value is the token."""
GROUP = "autotune-held-"
"""What the name of the control group begins with; the token follows."""
END_S = 5.0
"""How long SIGKILL is repeated before a process counts as impossible to end."""
_PAUSE_S = 0.01
_TOKEN = re.compile(r"[0-9a-f]{8,64}")
PROC = Path("/proc")


def new_token() -> str:
    return os.urandom(8).hex()


class Fence:
    """The fence of one token. It is there once `make` was called; `end` takes it away again."""

    def __init__(self, token: str) -> None:
        if not _TOKEN.fullmatch(token):
            raise ValueError(f"{token!r} is no token")
        self.token = token
        self._group: Path | None = None

    # --- going in ---

    def make(self) -> None:
        """Make the control group, below our own where that can be: then the program's share of the CPUs stays that of
        whoever started it. Without one the mark is all there is."""
        for place in _own_groups():
            group = place / f"{GROUP}{self.token}"
            with contextlib.suppress(OSError):
                group.mkdir(exist_ok=True)
                if os.access(group / "cgroup.kill", os.W_OK):
                    self._group = group
                    return
                group.rmdir()

    def environment(self) -> dict[str, str]:
        """What the program's environment has to hold."""
        return {MARK: self.token}

    @contextlib.contextmanager
    def door(self) -> Iterator[Callable[[], None]]:
        """For a child between fork and exec: puts it behind the fence. Where that fails the mark still holds it."""
        fd = -1
        if self._group is not None:
            with contextlib.suppress(OSError):
                fd = os.open(self._group / "cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)

        def enter() -> None:
            if fd >= 0:
                with contextlib.suppress(OSError):
                    os.write(fd, b"0")

        try:
            yield enter
        finally:
            if fd >= 0:
                os.close(fd)

    # --- ending it ---

    def end(self, limit_s: float = END_S) -> bool:
        """SIGKILL to everything behind the fence until nothing is left, and take the fence away. False when something
        outlived it. Never raises."""
        groups = self._groups()
        deadline = time.monotonic() + limit_s
        while True:
            for group in groups:
                _write(group / "cgroup.kill", "1")
            for pid in self._marked():
                _kill_marked(pid, self._words)
            if not any(_populated(group) for group in groups) and not any(self._marked()):
                break
            if time.monotonic() >= deadline:
                return False
            time.sleep(_PAUSE_S)
        for group in groups:
            _remove(group)
        return True

    @property
    def _words(self) -> bytes:
        return f"{MARK}={self.token}".encode()

    def _groups(self) -> list[Path]:
        if self._group is not None:
            return [self._group]
        return list(_find(f"{GROUP}{self.token}"))

    def _marked(self) -> Iterator[int]:
        for name in os.listdir(PROC):
            if name.isdigit() and int(name) != os.getpid() and _has(int(name), self._words):
                yield int(name)


# --- the mark -------------------------------------------------------------------------------------------


def _has(pid: int, words: bytes) -> bool:
    """Whether a living process was started with this in its environment."""
    try:
        return words in (PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return False


def _kill_marked(pid: int, words: bytes) -> None:
    """By a descriptor, and looked at again: the number may be another process's by now."""
    with contextlib.suppress(OSError):
        fd = os.pidfd_open(pid)
        try:
            if _has(pid, words):
                signal.pidfd_send_signal(fd, signal.SIGKILL)
        finally:
            os.close(fd)


# --- the group ------------------------------------------------------------------------------------------


def _mounts() -> list[Path]:
    """Where control groups of version 2 are mounted."""
    with contextlib.suppress(OSError):
        lines = (PROC / "self/mountinfo").read_text(errors="replace").splitlines()
        return [Path(_unescaped(line.split()[4])) for line in lines if " - cgroup2 " in line]
    return []


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)


def _own_groups() -> Iterator[Path]:
    """Where a group of ours may be made: in the one that we are in, else at the top."""
    with contextlib.suppress(OSError):
        lines = (PROC / "self/cgroup").read_text(errors="replace").splitlines()
        own = next((line[3:] for line in lines if line.startswith("0::")), "/")
        for mount in _mounts():
            if not own.startswith("/.."):  # outside of what we can see
                yield mount / own.lstrip("/")
            yield mount


def _find(name: str) -> Iterator[Path]:
    for mount in _mounts():
        for place, groups, _ in os.walk(mount):
            if name in groups:
                yield Path(place) / name


def _populated(group: Path) -> bool:
    try:
        return "populated 1" in (group / "cgroup.events").read_text()
    except OSError:
        return False


def _remove(group: Path) -> None:
    """With those that the program made inside it."""
    for place, _, _ in os.walk(group, topdown=False):
        with contextlib.suppress(OSError):
            os.rmdir(place)


def _write(path: Path, text: str) -> None:
    with contextlib.suppress(OSError):
        path.write_text(text)


if __name__ == "__main__":
    if sys.argv[1:] == ["--probe"]:  # see autotune.privilege
        sys.exit(os.geteuid() != 0)
    sys.exit(0 if Fence(sys.argv[1]).end() else 1)
