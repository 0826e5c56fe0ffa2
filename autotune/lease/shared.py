# SPDX-License-Identifier: MIT
"""Keeps one scheduler attached for all runs of one user that want it (`autotune run`), until the last of them is over.

What always holds here:
- there is one such process a user: it has the lock file, and whoever does not get that leaves;
- a share is a connection: it ends with its process, however that ends; without one the scheduler is detached;
- this process may be killed: its holder then detaches;
- nobody else's scheduler is touched, and nothing but what the user's own runs ask for is attached: the socket is in a
  directory of the user's alone, and whose process connects is asked of the kernel.

usage: shared.py DIRECTORY
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from autotune import durable
from autotune.errors import BusyError, as_ours
from autotune.lease import sharing
from autotune.lease.sharing import LeaseLine, Reached

FIRST_S = 5.0
"""How long to wait for the first run, which started this process."""
BEFORE_S = 15.0
"""How long a process before this one may take to detach and leave."""
LOOK_S = 0.5
"""How often to check that the scheduler is still attached."""
MOST_RUNS = 200
_LOOK_FOR_LOCK_S = 0.02


class SharedScheduler(Protocol):
    """What attaches schedulers here."""

    def attach(self, spec: str) -> str:
        """Attach a scheduler (`NAME:knob=value,...`); return its name in the kernel. Raises AutotuneError."""

    def problem(self) -> str | None:
        """Return why it is no longer attached, as a clause; None while it is."""

    def detach(self) -> None:
        """Detach what is attached, and end all helpers. Never raises."""


class ShareKeeper:
    """Serves the runs of one user. `place` is the directory where they meet."""

    def __init__(self, place: str, listener: socket.socket, scheduler: SharedScheduler) -> None:
        self._place = place
        self._listener = listener
        self._scheduler = scheduler
        self._lines: list[LeaseLine] = []
        self._spec: str | None = None
        """What is attached; None while nothing is."""
        self._ops = ""
        self._was_asked = False

    def serve(self) -> None:
        """Serve until no run is left, or the scheduler is lost."""
        until_s = time.monotonic() + FIRST_S
        while self._lines or time.monotonic() < until_s:
            self._look(LOOK_S if self._lines else max(0.0, until_s - time.monotonic()))
            if self._was_asked:
                until_s = 0.0
            if self._spec is not None:
                why = self._scheduler.problem()
                if why is not None:
                    sharing.remember_refusal(self._place, self._spec, f"it was detached a moment ago: {why}")
                    self._tell({"lost": why})
                    return

    def close(self) -> None:
        """Detach, and send the runs that are left away."""
        self._scheduler.detach()
        for line in self._lines:
            line.close()

    def _look(self, within_s: float) -> None:
        poller = select.poll()
        poller.register(self._listener, select.POLLIN)
        lines = {line.fileno(): line for line in self._lines}
        for number in lines:
            poller.register(number, select.POLLIN)
        for number, _ in poller.poll(within_s * 1000):
            if number == self._listener.fileno():
                self._welcome()
            else:
                self._hear(lines[number])

    def _welcome(self) -> None:
        with contextlib.suppress(OSError):
            connection, _ = self._listener.accept()
            if len(self._lines) >= MOST_RUNS or not _is_own(connection):
                connection.close()
            else:
                self._lines.append(LeaseLine(connection))

    def _hear(self, line: LeaseLine) -> None:
        for message in line.receive():
            self._answer(line, message)
        if line.is_closed:
            self._lines.remove(line)
            line.close()

    def _answer(self, line: LeaseLine, message: dict[str, Any]) -> None:
        spec, started_s = str(message.get("spec", "")), time.monotonic()
        self._was_asked = True
        if self._spec is None:
            try:
                self._ops = self._scheduler.attach(spec)
            except Exception as error:  # whatever it is: the command runs all the same
                why = as_ours(error).message
                if not isinstance(error, BusyError):  # another one may be gone at any time
                    sharing.remember_refusal(self._place, spec, why)
                line.send({"refused": why})
                return
            self._spec = spec
        if spec != self._spec:
            line.send({"refused": f"{self._spec} is attached for another command of this user"})
            return
        line.send({"attached": self._ops, "waited_s": time.monotonic() - started_s})

    def _tell(self, message: dict[str, Any]) -> None:
        for line in self._lines:
            line.send(message)


def _is_own(connection: socket.socket) -> bool:
    peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return bool(struct.unpack("3i", peer)[1] == os.geteuid())


# --- the one of this user --------------------------------------------------------------------------------


@contextlib.contextmanager
def listening(place: str) -> Iterator[socket.socket | None]:
    """Be the one keeper of this user, and yield its socket; None when there is another one. A run that comes when the
    socket is closed again is sent away, and starts the next keeper."""
    reached = Reached(place)
    lock = durable.open_lock(Path(reached.path(sharing.LOCK)))
    try:
        if not _locked(lock, reached):
            yield None
            return
        listener = _bound(reached)
        try:
            yield listener
        finally:
            listener.close()
            with contextlib.suppress(OSError):
                os.unlink(reached.path(sharing.SOCKET))
    finally:
        os.close(lock)
        reached.close()


def _locked(lock: int, reached: Reached) -> bool:
    """Take the lock. Waits for a keeper that is leaving, not for one that serves."""
    until_s = time.monotonic() + BEFORE_S
    while not durable.try_lock(lock):
        if time.monotonic() > until_s or _is_served(reached):
            return False
        time.sleep(_LOOK_FOR_LOCK_S)
    return True


def _is_served(reached: Reached) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        return connection.connect_ex(reached.path(sharing.SOCKET)) == 0


def _bound(reached: Reached) -> socket.socket:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(reached.path(sharing.SOCKET))
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    listener.bind(reached.path(sharing.SOCKET))
    listener.listen(MOST_RUNS)
    return listener


def keep(place: str, scheduler: SharedScheduler) -> None:
    """Be this user's keeper until no run is left; does nothing where there is another one."""
    with listening(place) as listener:
        if listener is None:
            return
        keeper = ShareKeeper(place, listener, scheduler)
        try:
            keeper.serve()
        finally:
            listener.close()  # whoever comes now starts the next one, which waits until this one has detached
            keeper.close()


def main() -> None:
    from autotune.lease.hosting import SharedHost

    keep(sys.argv[1], SharedHost(sys.argv[1]))


if __name__ == "__main__":
    main()
