# SPDX-License-Identifier: MIT
"""One client's connection as the service sees it: what it may send, and what it has not read yet. Never blocks.

Standard library only.
"""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

from autotune.errors import AutotuneError
from autotune.service.peers import PeerProcess
from autotune.service.protocol import MOST_WAITING_BYTES, Rate, RequestLines

HALF_LINE_S = 10.0
"""How long a request may take to come, from its first byte to its last."""
IDLE_S = 300.0
"""How long a client that watches nothing and holds nothing may say nothing."""


SILENT_LEASE_S = 120.0
"""How long one that holds the lease may, also while nothing is attached: others wait for it."""


class ClientGone(Exception):
    """The client is gone, or is to be disconnected; the text says why."""


class Connection:
    """A client. `watches` is the job whose output it gets, `leases` whether it holds the lease."""

    def __init__(self, connected: socket.socket, peer: PeerProcess, now: Callable[[], float] = time.monotonic) -> None:
        connected.setblocking(False)
        self.socket = connected
        self.peer = peer
        self.watches: int | None = None
        self.watch_id = 0
        """Number of the request whose events it gets."""
        self.leases = False
        self.is_ending = False
        """It is closed once it has read what waits for it."""
        self._now = now
        self._lines = RequestLines()
        self._rate = Rate(now=now)
        self._out = bytearray()
        self.heard_s = now()
        self._begun_s: float | None = None
        """When a request began that is not whole yet."""

    def fileno(self) -> int:
        return self.socket.fileno()

    @property
    def uid(self) -> int:
        return self.peer.identity.uid

    def renew(self) -> None:
        """Count its silence from now on."""
        self.heard_s = self._now()

    # --- reading ---

    def lines(self) -> Iterator[bytes]:
        """Yield the requests that came. Raises ClientGone at the end, and for a client that sends too much."""
        try:
            data = self.socket.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError as error:
            raise ClientGone(str(error)) from error
        if not data:
            raise ClientGone("end of file")
        self.heard_s = self._now()
        try:
            for line in self._lines.add(data):
                self._begun_s = None
                if not self._rate.take():
                    raise ClientGone("too many requests a second")
                yield line
        except ValueError as error:
            raise ClientGone(str(error)) from error
        if not self._lines.is_half:
            self._begun_s = None
        elif self._begun_s is None:
            self._begun_s = self.heard_s

    def overdue(self) -> str:
        """Return why it is to be disconnected for its silence; empty when it is not."""
        now = self._now()
        if self._begun_s is not None and now - self._begun_s > HALF_LINE_S:
            return f"a request was not complete within {HALF_LINE_S:g} s"
        if self.leases and now - self.heard_s > SILENT_LEASE_S:
            return f"it had the lease and said nothing for {SILENT_LEASE_S:g} s"
        if self.watches is None and not self.leases and now - self.heard_s > IDLE_S:
            return f"nothing was asked for {IDLE_S:g} s"
        return ""

    # --- writing ---

    @property
    def wants_to_write(self) -> bool:
        return bool(self._out)

    def answer(self, number: int, result: Any) -> None:
        self._put({"id": number, "ok": result})

    def refuse(self, number: int, error: AutotuneError) -> None:
        self._put({"id": number, "error": error.to_wire()})

    def event(self, event: dict[str, Any]) -> None:
        self._put({"id": self.watch_id, "event": event})

    def _put(self, message: dict[str, Any]) -> None:
        """Send a message, as far as the client reads. Raises ClientGone for one that does not."""
        self._out += json.dumps(message, separators=(",", ":")).encode() + b"\n"
        self.flush()
        if len(self._out) > MOST_WAITING_BYTES:
            raise ClientGone("it does not read its answers")

    def flush(self) -> None:
        """Write what fits. Raises ClientGone."""
        try:
            while self._out:
                sent = self.socket.send(self._out, socket.MSG_NOSIGNAL)
                del self._out[:sent]
        except BlockingIOError:
            pass
        except OSError as error:
            raise ClientGone(str(error)) from error
        if self.is_ending and not self._out:
            raise ClientGone("all is said")

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.socket.close()
