# SPDX-License-Identifier: MIT
"""How a process ended that is not our child, by its descriptor (pidfd_open(2)): its parent alone may wait for it, and
takes its exit code along. Until then /proc shows the code, and since Linux 6.15 the kernel tells it afterwards to
whoever has such a descriptor."""

from __future__ import annotations

import os
import select
import struct
import time

LOOKS, LOOK_EVERY_S = 10, 0.02
_INFO = struct.Struct("QQ12I")
"""struct pidfd_info of <linux/pidfd.h> in its first version; the last number is the exit code."""
_GET_INFO = 3 << 30 | _INFO.size << 16 | 0xFF << 8 | 11
"""PIDFD_GET_INFO: _IOWR(0xFF, 11, struct pidfd_info)."""
_INFO_EXIT = 1 << 3
_EXIT_CODE = 49
"""Its place in /proc/PID/stat (proc_pid_stat(5)), counted from the state."""


def is_over(pidfd: int, within_s: float) -> bool:
    """Wait for its end, and return whether it came."""
    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    return bool(poller.poll(within_s * 1000))


def status(pidfd: int, pid: int) -> int | None:
    """Return the exit code of a process that is over, -N when signal N ended it; None where nobody tells. While its
    parent waits for it, it is shown no longer and not told yet, for a moment."""
    for left in reversed(range(LOOKS)):
        code = _told(pidfd)
        if code is None:
            shown = _shown(pid)
            code = _told(pidfd)  # where it is told now, the number may have been another's when it was shown
            code = shown if code is None else code
        if code is not None:
            return os.waitstatus_to_exitcode(code)
        if left:
            time.sleep(LOOK_EVERY_S)
    return None


def _told(pidfd: int) -> int | None:
    """Return the wait status of a process whose parent has waited for it."""
    import fcntl

    buffer = bytearray(_INFO.pack(_INFO_EXIT, 0, *[0] * 12))
    try:
        fcntl.ioctl(pidfd, _GET_INFO, buffer)
    except OSError:
        return None
    mask, *_, code = _INFO.unpack(buffer)
    return int(code) if mask & _INFO_EXIT else None


def _shown(pid: int) -> int | None:
    """Return the wait status of a process whose parent has not waited for it yet."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        return int(fields[_EXIT_CODE]) if fields[0] == b"Z" else None
    except (OSError, IndexError, ValueError):
        return None
