# SPDX-License-Identifier: MIT
"""A fence that a scheduler's program cannot leave, whatever it forks: a control group and a mark in its environment.

What always holds:
- every descendant of the program is in the group and has the mark, even one that forked twice, has a session of its own
  or ignores signals; a parent-death signal reaches only the first of them;
- `end` leaves none of them and needs only the token, so it also works after the holder died.

The mark finds what is left where no group can be made, and what another tool moved out of it. A PID namespace would do
as much, but some scx schedulers use their own process number, which then would not be the kernel's.

Runs as root. Standard library only. Run as a program, it ends what is behind the fence of the given token.
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

MARK = "AUTOTUNE_FENCE"
"""The variable whose value is the token."""
GROUP = "autotune-fence-"
"""Prefix of the control group's name; the token follows."""
END_S = 5.0
"""How long SIGKILL is repeated before a process counts as impossible to end."""
_PAUSE_S = 0.01
_TOKEN = re.compile(r"[0-9a-f]{8,64}")
PROC = Path("/proc")


def new_token() -> str:
    return os.urandom(8).hex()


class Fence:
    """The fence of one token. `make` sets it up, `end` removes it."""

    def __init__(self, token: str) -> None:
        if not _TOKEN.fullmatch(token):
            raise ValueError(f"{token!r} is no token")
        self.token = token
        self._group: Path | None = None

    # --- going in ---

    def make(self) -> None:
        """Make the control group, if possible below our own, so that the program has the CPU share of whoever started
        it. Where no group can be made, the mark alone serves."""
        for place in _own_groups():
            group = place / f"{GROUP}{self.token}"
            with contextlib.suppress(OSError):
                group.mkdir(exist_ok=True)
                if os.access(group / "cgroup.kill", os.W_OK):
                    self._group = group
                    return
                group.rmdir()

    def environment(self) -> dict[str, str]:
        """Return the variables to add to the program's environment."""
        return {MARK: self.token}

    @contextlib.contextmanager
    def door(self) -> Iterator[Callable[[], None]]:
        """Yield a function for a child between fork and exec that puts it behind the fence. If it fails, the mark still
        finds the child."""
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
        """Kill everything behind the fence until nothing is left, and remove the fence. Returns False when something
        survives. Never raises."""
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
    """Return whether a living process was started with this in its environment."""
    try:
        return words in (PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return False


def _kill_marked(pid: int, words: bytes) -> None:
    """Kill through a pidfd after a second look: the number may belong to another process by now."""
    with contextlib.suppress(OSError):
        fd = os.pidfd_open(pid)
        try:
            if _has(pid, words):
                signal.pidfd_send_signal(fd, signal.SIGKILL)
        finally:
            os.close(fd)


# --- the group ------------------------------------------------------------------------------------------


def mounts() -> list[Path]:
    """Return the mount points of control groups, version 2."""
    with contextlib.suppress(OSError):
        lines = (PROC / "self/mountinfo").read_text(errors="replace").splitlines()
        return [Path(_unescaped(line.split()[4])) for line in lines if " - cgroup2 " in line]
    return []


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)


def _own_groups() -> Iterator[Path]:
    """Yield the groups in which ours may be made: our own first, then the top."""
    with contextlib.suppress(OSError):
        lines = (PROC / "self/cgroup").read_text(errors="replace").splitlines()
        own = next((line[3:] for line in lines if line.startswith("0::")), "/")
        for mount in mounts():
            if not own.startswith("/.."):  # outside of what we can see
                yield mount / own.lstrip("/")
            yield mount


def _find(name: str) -> Iterator[Path]:
    for mount in mounts():
        for place, groups, _ in os.walk(mount):
            if name in groups:
                yield Path(place) / name


def _populated(group: Path) -> bool:
    try:
        return "populated 1" in (group / "cgroup.events").read_text()
    except OSError:
        return False


def _remove(group: Path) -> None:
    """Remove a group with those that the program made inside it."""
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
