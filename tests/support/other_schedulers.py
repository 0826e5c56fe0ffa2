# SPDX-License-Identifier: MIT
"""Processes that play another's scheduler, and what the kernel says of it."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from autotune.lease import owners
from autotune.lease.other import Other
from autotune.records import KernelState

BPFLAND = "bpfland_1.1.4_x86_64_unknown_linux_gnu"
Say = Callable[[str, str], Path]


def state(ops: str = BPFLAND) -> KernelState:
    return KernelState("enabled", ops, 1, 0, True)


@contextlib.contextmanager
def running(*argv: str, executable: str = "/bin/sleep") -> Iterator[subprocess.Popen[bytes]]:
    """A real process that is called as its first word says."""
    child = subprocess.Popen(argv, executable=executable, stdin=subprocess.PIPE)
    try:
        yield child
    finally:
        child.kill()
        child.wait()


def process(pid: int) -> owners.OwnerProcess:
    """As soon as it runs its program."""
    deadline = time.monotonic() + 60
    while True:
        found = owners.process(pid)
        assert found is not None
        if (found.argv and found.argv[0] != sys.executable) or time.monotonic() > deadline:
            return found


HAND = Other("rusty", 1234, ("scx_rusty", "-k"), "hand", "scx_rusty", None, ("-k",), 99)
