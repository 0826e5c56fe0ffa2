# SPDX-License-Identifier: MIT
"""The structs that `bpf_src/probes/tasks.bpf.c` writes, field by field. Standard library only.

Times are in ns of the kernel's monotonic clock. A pid here is a task's (a thread's), a tgid its process's.
"""

from __future__ import annotations

import struct

ROOT = struct.Struct("=8Q14I3Q2I")
"""`struct task`, of which the reader writes one: the process whose descendants are watched."""
END = struct.Struct("=6Q8I16s3Q")
"""`struct end`: start, end, CPU, waiting, sleeping, sleeping deeply; pid, tgid, parent, exec, turns, preempted,
wakeups, migrations; comm; `struct at_identity` without its counters: program, place, both."""
EXEC = struct.Struct("=Q4I480s")
"""`struct exec`: time; pid, bytes of arguments, whether they were cut, unused; arguments, each with a NUL."""
TURN = struct.Struct("=4Q4I")
"""`struct turn`: runnable since, on a CPU since, until, slept before; pid, waker, CPU, preempted."""
COUNTS = struct.Struct("=7Q64Q")
"""`struct counts`: ends, execs, turns, lost tasks, their CPU time, short turns, their CPU time; waits by size."""
TELL = "tell_ns"
"""Knob of the probe: the least length of a turn, wait or sleep that is recorded one by one."""
MOST_ENDS, MOST_EXECS, MOST_TURNS = 65536, 32768, 131072
"""Records that fit."""
NOBODY = 0xFFFFFFFF
"""No record of its arguments; no CPU yet; a waker that is not watched."""


def root(pid: int) -> tuple[bytes, bytes]:
    """Return key and value that make the descendants of a process (its main thread) watched."""
    times, numbers = [0] * 8, [pid, pid, 0, 0, 0, 0, 0, 0, NOBODY, NOBODY, 0, 1, 0, 0]
    return struct.pack("=I", pid), ROOT.pack(*times, *numbers, *[0] * 5)
