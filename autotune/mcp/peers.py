# SPDX-License-Identifier: MIT
"""Who is at the other end of an HTTP connection, by what the kernel says of its socket, and how many may be there.

What always holds here:
- the number of connections has a bound, and one that does not ask for anything ends soon: whoever may not connect
  cannot keep those away who may;
- one that was closed at once is nobody's.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import sys
from typing import Any, cast

from uvicorn.protocols.http.h11_impl import H11Protocol

MOST_CONNECTIONS = 128
FIRST_REQUEST_S = 10.0
"""How long a connection may take until the head of its first request is there."""


class Bounded(H11Protocol):
    """A connection that has to ask for something, one of so many."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self.may_stay() and len(self.connections) <= MOST_CONNECTIONS:
            self.loop.call_later(FIRST_REQUEST_S, self._end_if_silent)
        else:
            self.connections.discard(self)
            transport.abort()

    def may_stay(self) -> bool:
        """Return whether whoever connected may; here a token will show."""
        return True

    def _end_if_silent(self) -> None:
        if cast(Any, self.cycle) is None:
            self.transport.abort()


class OursOnly(Bounded):
    """A connection of a process of our user."""

    def may_stay(self) -> bool:
        return is_ours(self.client, self.server)


def is_ours(client: Any, server: Any, tables: tuple[str, ...] = ("/proc/net/tcp", "/proc/net/tcp6")) -> bool:
    """Return whether the socket at the other end of a connection of this machine is held by a process of our user, or
    root's. `client` and `server` are addresses with ports, as ASGI has them."""
    if not client or not server:
        return False
    wanted = {*zip(_as_shown(*client[:2]), _as_shown(*server[:2]), strict=False)}
    owners = {uid for table in tables for ends, uid in _sockets(table) if ends in wanted}
    return bool(owners) and owners <= {os.geteuid(), 0}


def _as_shown(host: str, port: int) -> list[str]:
    """Return how the kernel shows an end of a connection, as IPv6 and, where it can be, as IPv4: the words of the
    address in hexadecimal, each as this machine has it in memory, and the port."""
    address = ipaddress.ip_address(host.partition("%")[0])
    narrow = address if isinstance(address, ipaddress.IPv4Address) else address.ipv4_mapped
    wide = address if narrow is None else ipaddress.ip_address(f"::ffff:{narrow}")
    return [_in_words(one.packed, port) for one in (wide, narrow) if one is not None]


def _in_words(packed: bytes, port: int) -> str:
    words = (int.from_bytes(packed[at : at + 4], sys.byteorder) for at in range(0, len(packed), 4))
    return "".join(f"{word:08X}" for word in words) + f":{port:04X}"


def _sockets(table: str) -> list[tuple[tuple[str, str], int | None]]:
    """Return both ends and the owner of each socket in a table of the kernel. One that no process holds any more has
    none: the kernel shows some of those as root's, whoever closed them."""
    try:
        with open(table) as lines:
            fields = [line.split() for line in lines][1:]
    except OSError:
        return []
    return [((one[1], one[2]), int(one[7]) if one[9] != "0" else None) for one in fields if len(one) > 9]
