# SPDX-License-Identifier: MIT
"""Who is at the other end of a Unix socket, as the kernel says, and who may be. Standard library only."""

from __future__ import annotations

import errno
import grp
import os
import socket
import struct

from autotune.errors import PrivilegeError, UsageError
from autotune.frozen import dataclass
from autotune.records import Identity

_CREDENTIALS = struct.Struct("iII")
_SO_PEERGROUPS = 59
"""include/uapi/asm-generic/socket.h; Python has no name for it."""
_MOST_GROUPS = 256
"""Python asks for no more."""


@dataclass(frozen=True)
class PeerProcess:
    """The process that connected, when it did."""

    pid: int
    identity: Identity


def of(connection: socket.socket) -> PeerProcess:
    """Return who connected. Raises OSError."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, gid = _CREDENTIALS.unpack(raw)
    return PeerProcess(pid, Identity(uid, gid, _groups(connection)))


def _groups(connection: socket.socket) -> tuple[int, ...]:
    """Return the supplementary groups; none for somebody with more than Python asks for."""
    try:
        raw = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, 4 * _MOST_GROUPS)
    except OSError as error:
        if error.errno != errno.ERANGE:
            raise
        return ()
    return struct.unpack(f"{len(raw) // 4}I", raw)


@dataclass(frozen=True)
class Gate:
    """Who may use the service: root, the user it runs as, and the members of a group."""

    gid: int | None = None

    def require(self, peer: PeerProcess) -> None:
        """Raise PrivilegeError for a peer who may not."""
        who = peer.identity
        if who.uid in (0, os.geteuid()) or (self.gid is not None and self.gid in (who.gid, *who.groups)):
            return
        name = "" if self.gid is None else f" the members of group {_name(self.gid)},"
        raise PrivilegeError(
            f"user {who.uid} may not use this daemon: only root,{name} and user {os.geteuid()} may",
            hint="ask its administrator" if self.gid is None else f"'adduser USER {_name(self.gid)}', and log in again",
            stage="daemon",
        )


def _name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def group_id(name: str) -> int:
    """Return the number of a group, given by name or number. Raises UsageError."""
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        if name.isdecimal() and int(name) < 1 << 31:
            return int(name)
    raise UsageError(f"there is no group '{name}'", hint=f"make it: groupadd --system {name}", stage="daemon")
