# SPDX-License-Identifier: MIT
"""Claims on sessions that are running: whoever reads the store can tell them from those whose autotune was killed.

A claim is a lock on one byte of a file beside the store. The kernel drops it with the process, however that ends, so no
claim outlives a crash, a reboot, or the reuse of a process's number. The lock belongs to the open file (fcntl(2), OFD),
so that several sessions of one process, and closing the file elsewhere, do not disturb it. Standard library only.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
from pathlib import Path

from autotune import durable

_FLOCK = "hhqqi4x"
"""struct flock of <fcntl.h> on 64-bit systems: type, whence, start, length, pid."""


class Claim:
    """A claim of this process. `number` is None where the file system has no such locks: then nobody can tell."""

    def __init__(self, path: Path) -> None:
        self.number: int | None = None
        self._fd = -1
        with contextlib.suppress(OSError):
            self._fd = durable.open_lock(path)
            number = int.from_bytes(os.urandom(6), "big")  # a number of the store's would come again in a new store
            fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, _lock_of(number))
            self.number = number

    def close(self) -> None:
        """Give the claim up; may be called again."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def is_held(path: Path, number: int | None) -> bool:
    """Return whether a process that lives has this claim, or whether that cannot be known."""
    if number is None:
        return True
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        answer = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _lock_of(number))
    except OSError:
        return True
    finally:
        os.close(fd)
    return bool(struct.unpack(_FLOCK, answer)[0] != fcntl.F_UNLCK)


def _lock_of(number: int) -> bytes:
    return struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, number, 1, 0)
