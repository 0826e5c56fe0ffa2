# SPDX-License-Identifier: MIT
"""Runs inside the VM: prints, as JSON, `program` and `both` of this process (`bpf_src/include/at_identity.h`) with its
own arguments, and again with arguments that cannot be read.

usage: identity.py LIBBPF OBJECT
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import struct
import sys

from autotune.schedext.libbpf import BpfObject, Libbpf

PR_SET_MM, ARG_START, ARG_END = 35, 8, 9
IDENTITY = struct.Struct("=3Q2I")


def numbers(seen: BpfObject) -> tuple[int, int]:
    """Fork, so that the numbers are made, and return them."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    with seen.contents("identities", IDENTITY.size) as mapped:
        program, _place, both, *_ = IDENTITY.unpack(mapped[: IDENTITY.size])
    return program, both


def hide_arguments() -> mmap.mmap:
    """Let the arguments of this process be in memory that nobody has touched: reading it fails where nothing may wait
    for a page. Returns that memory."""
    page = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    libc = ctypes.CDLL(None, use_errno=True)
    for what, value in ((ARG_START, address), (ARG_END, address + 64)):
        if libc.prctl(PR_SET_MM, what, ctypes.c_ulong(value), 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl")
    return page


def main() -> None:
    libbpf, path = sys.argv[1:]
    with Libbpf(libbpf).open(path) as seen:
        seen.set_knob("watched", os.getpid())
        seen.load()
        seen.attach_programs()
        before = numbers(seen)
        hidden = hide_arguments()
        print(json.dumps([before, numbers(seen)]), flush=True)
        del hidden


main()
