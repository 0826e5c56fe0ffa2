# SPDX-License-Identifier: MIT
"""A client's connection to the service. Standard library only.

Only a service of root, or of the user, is talked to: another one could keep what it is sent, or lie.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from autotune.errors import AutotuneError, NoMachineError, PrivilegeError, from_wire
from autotune.process import Channel, ChannelClosed, ChannelTimeout, EventHandler, Peer
from autotune.service import peers, places
from autotune.service.protocol import STAGE, VERSION

CONNECT_S = 5.0
HELLO_S = 20.0
"""How long the first answer may take: systemd starts the service when somebody connects."""
ANSWER_S = 30.0
START = "an administrator installs one with scripts/install-daemon; 'autotune daemon' runs one of your own"


class NoDaemon(AutotuneError):
    """No service answers."""

    default_stage = STAGE


class ServiceClient:
    """An open connection. Raises NoDaemon when nobody listens at `path`, PrivilegeError when we may not use it, or it
    is somebody else's."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = _connected(path)
        try:
            self._channel = Channel(self._socket.fileno(), self._socket.fileno())
            self.hello = self._greeted()
        except BaseException:
            self._socket.close()
            raise
        self._socket.settimeout(None)
        self._peer = Peer(self._channel, self._lost)

    def _greeted(self) -> dict[str, Any]:
        with contextlib.suppress(ChannelClosed):  # it may have refused us, and said why
            self._channel.send({"id": 0, "op": "hello", "v": VERSION})
        try:
            answer = self._channel.receive(HELLO_S)
        except ChannelTimeout:
            raise NoDaemon(f"the daemon at {self.path} does not answer", hint="restart it") from None
        except ChannelClosed as error:
            raise NoDaemon(f"the daemon at {self.path} is gone ({error})", hint=START) from error
        if "error" in answer:
            raise from_wire(answer["error"])
        return dict(answer.get("ok") or {})

    @property
    def grants_leases(self) -> bool:
        return self.hello.get("leases") is True

    def request(
        self, op: str, *, timeout_s: float | None = ANSWER_S, on_event: EventHandler | None = None, **fields: Any
    ) -> Any:
        """Ask, and return the answer. Raises what the service raised, NoDaemon when it is gone."""
        return self._peer.request(op, timeout_s=timeout_s, on_event=on_event, v=VERSION, **fields)

    def beat(self) -> None:
        self._peer.beat()

    @property
    def is_closed(self) -> bool:
        """Whether the other side is gone. Does not wait."""
        if self._channel.read_fd < 0:
            return True
        try:
            return self._socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    def close(self) -> None:
        self._channel.disown()
        self._socket.close()

    def _lost(self, what: str) -> AutotuneError:
        return NoDaemon(f"the daemon at {self.path} failed: {what}", hint="see its journal")


def _connected(path: Path) -> socket.socket:
    found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        found.settimeout(CONNECT_S)
        found.connect(str(path))
        owner = peers.of(found).identity.uid
    except PermissionError as error:
        found.close()
        raise PrivilegeError(
            f"you may not use the daemon at {path}", hint="its group may; see docs/DAEMON.md", stage=STAGE
        ) from error
    except (OSError, ValueError) as error:
        found.close()
        raise NoDaemon(f"no daemon listens at {path} ({error})", hint=START) from error
    if owner not in (0, os.geteuid()):
        found.close()
        raise PrivilegeError(f"the daemon at {path} is user {owner}'s", hint="use root's or your own", stage=STAGE)
    found.setblocking(True)
    return found


def find(path: Path | None = None) -> ServiceClient:
    """Connect to the service at `path`, or to the first that answers where clients look. Raises NoDaemon, and
    PrivilegeError where the only one may not be used."""
    refused: AutotuneError | None = None
    for place in (path,) if path is not None else places.candidates():
        try:
            return ServiceClient(place)
        except NoDaemon as error:
            refused = refused or (error if path is not None else None)
        except AutotuneError as error:
            refused = error
    raise refused or NoDaemon("no daemon is running", hint=START)


@contextlib.contextmanager
def connected(path: Path | None = None) -> Iterator[ServiceClient]:
    """Yield a connection; see `find`."""
    client = find(path)
    try:
        yield client
    finally:
        client.close()


def leasing() -> ServiceClient:
    """Connect to a service that grants leases. Raises NoMachineError when there is none, PrivilegeError when we may not
    use it."""
    refused: AutotuneError | None = None
    for place in places.candidates():
        try:
            client = ServiceClient(place)
        except NoDaemon:
            continue
        except AutotuneError as error:
            refused = error
            continue
        if client.grants_leases:
            return client
        client.close()
    raise refused or NoMachineError("no daemon grants leases here", hint=START, stage=STAGE)
