# SPDX-License-Identifier: MIT
"""Kernel images of a few hundred bytes, with a description of functions (BTF) as builds of Debian have it."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

import zstandard

Functions = Mapping[str, Sequence[str]]
"""Arguments of each function. One whose name begins with `aux` is a pointer to a constant struct bpf_prog_aux."""

GOOD: Functions = {"scx_bpf_kick_cpu": ("cpu",), "scx_bpf_kick_cpu_impl": ("cpu", "aux"), "schedule": ()}
BROKEN: Functions = {"scx_bpf_kick_cpu": ("cpu", "aux"), "scx_bpf_create_dsq_impl": ("node", "aux"), "schedule": ()}

_PVH = struct.pack("<III4sQ", 4, 8, 0x12, b"Xen\0", 0x1000000)


def btf(functions: Functions) -> bytes:
    """A description with an int, the structure, and every function."""
    strings = bytearray(b"\0")

    def named(name: str) -> int:
        strings.extend(name.encode() + b"\0")
        return len(strings) - len(name) - 1

    types = [
        struct.pack("<IIII", named("int"), 1 << 24, 4, 32),
        struct.pack("<IIIIII", named("bpf_prog_aux"), 4 << 24 | 1, 4, named("refcnt"), 1, 0),
        struct.pack("<III", 0, 10 << 24, 2),
        struct.pack("<III", 0, 2 << 24, 3),
        struct.pack("<III", named("bpf_aux_t"), 8 << 24, 4),
    ]
    for name, arguments in functions.items():
        members = b"".join(struct.pack("<II", named(one), 5 if one.startswith("aux") else 1) for one in arguments)
        types.append(struct.pack("<III", 0, 13 << 24 | len(arguments), 1) + members)
        types.append(struct.pack("<III", named(name), 12 << 24 | 1, len(types)))
    body = b"".join(types)
    return struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(body), len(body), len(strings)) + body + strings


def elf(description: bytes) -> bytes:
    """A kernel's ELF file with nothing but that description, and the note that QEMU looks for."""
    names = b"\0.BTF_ids\0.BTF\0.shstrtab\0"
    start = 64
    table_at = start + len(description) + len(names) + len(_PVH)
    head = struct.pack("<4sBB10xHHIQQQIHHHHHH", b"\x7fELF", 2, 1, 2, 62, 1, 0, 0, table_at, 0, 64, 0, 0, 64, 4, 3)
    sections = [(0, 0, 0, 0), (1, 1, start, 0), (10, 1, start, len(description)), (15, 3, start + len(description), 25)]
    table = b"".join(struct.pack("<IIQQQQ24x", name, kind, 0, 0, at, size) for name, kind, at, size in sections)
    return head + description + names + _PVH + table


def image(functions: Functions) -> bytes:
    """A boot image (protocol 2.15) that unpacks to such a file."""
    payload = zstandard.ZstdCompressor().compress(elf(btf(functions)))
    setup = bytearray(0x200 * 4)
    setup[0x1F1] = 3
    setup[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", setup, 0x206, 0x20F)
    struct.pack_into("<II", setup, 0x248, 0, len(payload))
    return bytes(setup) + payload
