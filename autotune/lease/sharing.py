# SPDX-License-Identifier: MIT
"""A share in the scheduler that the runs of one user have attached together: the side of a run.

A share is a connection to the keeper (`lease.shared`). The kernel closes it with the process, however that ends, and
the keeper detaches when it has none left. The first run starts the keeper. Standard library only.

They speak JSON lines: a run says {"spec": "at_fifo:..."}; the keeper answers {"attached": OPS, "seq": N, "waited_s": S}
or {"refused": WHY}, and later, should the scheduler go before the runs do, {"lost": WHY}.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import stat
import sys
import time
from pathlib import Path
from typing import Any

from autotune import reading

SOCKET = "shared.sock"
LOCK = "shared.lock"
REFUSED = "shared.refused"
KEEPER = os.path.join(os.path.dirname(os.path.realpath(__file__)), "shared.py")
REFUSED_S = 60.0
"""How long a refusal is remembered: who cannot attach one is not asked again by every command."""
TRIES = 3
"""How often to ask: a keeper may be about to end."""
START_S = 20.0
"""How long a keeper may take to listen."""
LINE_BYTES = 4096
_LOOK_S = 0.02


class NoShare(Exception):
    """There is no share to be had; the text says why, as a clause."""


# --- where ----------------------------------------------------------------------------------------------


def directory(runtime: str | None = None) -> str:
    """Return the directory where this user's runs meet, made if it is missing: `runtime`, the session's own
    (XDG_RUNTIME_DIR), else the system's place for it, else one below /tmp. Nobody else may enter. Raises NoShare."""
    user = os.geteuid()
    bases = [runtime or "", f"/run/user/{user}", "/run" if user == 0 else ""]
    for base in bases:
        if os.path.isabs(base) and _is_own(base, private=False):
            return _made(os.path.join(base, "autotune"))
    return _made(f"/tmp/autotune-{user}")


def _made(path: str) -> str:
    with contextlib.suppress(OSError):
        os.mkdir(path, 0o700)
    if not _is_own(path, private=True):
        raise NoShare(f"{path} is not a directory of this user's alone")
    return path


def _is_own(path: str, *, private: bool) -> bool:
    try:
        found = os.lstat(path)
    except OSError:
        return False
    is_closed = not found.st_mode & 0o077 if private else True
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and is_closed


class Reached:
    """The directory, open, and the path of a file in it that is short enough for a socket whatever its own name."""

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def path(self, name: str) -> str:
        return f"/proc/self/fd/{self._fd}/{name}"

    def close(self) -> None:
        os.close(self._fd)


# --- talking --------------------------------------------------------------------------------------------


class LeaseLine:
    """One side of a connection: whole messages out, whole messages in."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.is_closed = False
        self._buffer = b""

    def fileno(self) -> int:
        return self.connection.fileno()

    def send(self, message: dict[str, Any]) -> None:
        """Send a message; nothing happens when the other side is gone or does not read."""
        with contextlib.suppress(OSError):
            self.connection.send(json.dumps(message).encode() + b"\n", socket.MSG_NOSIGNAL | socket.MSG_DONTWAIT)

    def receive(self) -> list[dict[str, Any]]:
        """Return the messages that are there; `is_closed` is set when no more can come, as after nonsense."""
        try:
            piece = self.connection.recv(LINE_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return []
        except OSError:
            piece = b""
        self.is_closed = self.is_closed or not piece
        *lines, self._buffer = (self._buffer + piece).split(b"\n")
        try:
            messages = [json.loads(line) for line in lines]
        except ValueError:
            messages = [None]
        if len(self._buffer) > LINE_BYTES or not all(isinstance(one, dict) for one in messages):
            self.is_closed = True
            return []
        return messages

    def close(self) -> None:
        self.connection.close()


# --- a share --------------------------------------------------------------------------------------------


class Share:
    """A run's share in the scheduler `spec` (`NAME:knob=value,...`). Ask `answer` until it says something, and hold it
    until the run is over. Raises NoShare. `keeper` starts another program instead, for tests."""

    def __init__(self, spec: str, *, runtime: str | None = None, keeper: list[str] | None = None) -> None:
        self._spec = spec
        self._keeper = keeper or [sys.executable, "-I", KEEPER]
        self._place = directory(runtime)
        why = refusal(self._place, spec)
        if why is not None:
            raise NoShare(why)
        self._line: LeaseLine | None = None
        self._started: int | None = None
        self._tries = 0
        self._until_s = time.monotonic() + START_S
        self.ops: str | None = None
        """Name of the attached scheduler; None while it is not attached."""
        self.waited_s = 0.0
        """How long attaching took; 0 where another run had it attached."""
        self.lost: str | None = None
        """Why it was detached before the run was over."""

    def settle(self, over: int) -> None:
        """Wait until it is attached, or until the descriptor `over` has something to say. Raises NoShare."""
        while self.ops is None:
            line = self._connected()
            if line is None:
                if _is_ready([over], _LOOK_S):
                    return
                continue
            ready = _is_ready([over, line.fileno()], None)
            if over in ready:
                return
            self._take(line)

    def look(self, over: int, within_s: float | None) -> bool:
        """Wait for `over`, and return whether it has something to say. Notes meanwhile when the scheduler is lost."""
        line = self._line
        if line is None or self.lost is not None:
            return bool(_is_ready([over], within_s))
        ready = _is_ready([over, line.fileno()], within_s)
        if line.fileno() in ready:
            for message in line.receive():
                self.lost = str(message.get("lost", "")) or self.lost
            if line.is_closed and self.lost is None:
                self.lost = "the process that kept it attached is gone"
        return over in ready

    def close(self) -> None:
        """Give the share up; may be called again."""
        line, self._line = self._line, None
        if line is not None:
            line.close()

    def _take(self, line: LeaseLine) -> None:
        for message in line.receive():
            if "refused" in message:
                self.close()
                raise NoShare(str(message["refused"]))
            if "attached" in message:
                self.ops = str(message["attached"])
                self.waited_s = float(message.get("waited_s") or 0.0)
        if line.is_closed and self.ops is None:  # it was about to end
            self.close()
            self._tries += 1
            if self._tries >= TRIES:
                raise NoShare("the process that attaches schedulers ended")

    def _connected(self) -> LeaseLine | None:
        """Connect to the keeper, and start one where there is none. Raises NoShare when none comes."""
        if self._line is not None:
            return self._line
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        place = Reached(self._place)
        try:
            connection.connect(place.path(SOCKET))
        except OSError as error:
            connection.close()
            self._start(error)
            return None
        finally:
            place.close()
        self._line, self._started = LeaseLine(connection), None
        self._line.send({"spec": self._spec})
        return self._line

    def _start(self, error: OSError) -> None:
        if time.monotonic() > self._until_s:
            raise NoShare("the process that attaches schedulers does not start")
        if isinstance(error, BlockingIOError):
            return  # it has many visitors
        if self._started is not None and os.waitpid(self._started, os.WNOHANG) == (0, 0):
            return
        if self._started is not None:
            self._tries += 1
            why = refusal(self._place, self._spec)
            if why is not None or self._tries >= TRIES:
                raise NoShare(why or "the process that attaches schedulers ended")
        try:
            argv = [*self._keeper, self._place]
            streams = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in (0, 1, 2)]
            self._started = os.posix_spawn(argv[0], argv, os.environ, file_actions=streams, setsid=True)
        except OSError as failure:
            raise NoShare(f"the process that attaches schedulers cannot be started: {failure.strerror}") from failure


def _is_ready(descriptors: list[int], within_s: float | None) -> list[int]:
    poller = select.poll()
    for descriptor in descriptors:
        poller.register(descriptor, select.POLLIN)
    return [descriptor for descriptor, _ in poller.poll(None if within_s is None else within_s * 1000)]


# --- refusals -------------------------------------------------------------------------------------------


def remember_refusal(place: str, spec: str, why: str) -> None:
    """Note for the next runs that a scheduler cannot be attached now."""
    draft = os.path.join(place, f"{REFUSED}.{os.getpid()}")
    with contextlib.suppress(OSError):
        with open(draft, "w", encoding="utf-8") as file:
            json.dump({"spec": spec, "why": why, "until_s": time.clock_gettime(time.CLOCK_BOOTTIME) + REFUSED_S}, file)
        os.rename(draft, os.path.join(place, REFUSED))


def refusal(place: str, spec: str) -> str | None:
    """Return why a scheduler could not be attached a moment ago; None when that is not known."""
    try:
        found = reading.json_of(Path(place, REFUSED), most_bytes=LINE_BYTES, follow=False)
        left_s = float(found["until_s"]) - time.clock_gettime(time.CLOCK_BOOTTIME)
        return str(found["why"]) if found["spec"] == spec and 0 < left_s <= REFUSED_S else None
    except (OSError, ValueError, TypeError, KeyError):
        return None
