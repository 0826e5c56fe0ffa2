# SPDX-License-Identifier: MIT
"""Reads the description of functions and types (BTF) in an ELF file, an object's or a kernel's: the members of a
structure, and whether schedulers can call the functions that they need.

Some builds cannot load any sched_ext scheduler. Kfuncs may take an implicit argument, `aux`, which the build hides: it
describes the function without it, and a twin named `_impl` with it. In some builds of Linux 7.1 and 7.2 (a fault of
pahole 1.30) a few functions keep a visible `aux` and get no twin. A program that calls one of them matches no
description, and libbpf refuses it ("referenced but wasn't resolved").
Offsets are those of Documentation/bpf/btf.rst. Standard library only.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

_MAGIC = 0xEB9F
_PTR, _STRUCT, _FUNC, _FUNC_PROTO = 2, 4, 12, 13
_MODIFIERS = (8, 9, 10, 11, 18)
"""typedef, volatile, const, restrict, type_tag: each only names another type."""
_EXTRA_BYTES = {1: 4, 3: 12, 14: 4, 17: 4}
"""Bytes that follow a type, by kind: int, array, var, decl_tag; below, those that follow each of its members."""
_MEMBER_BYTES = {_STRUCT: 12, 5: 12, 6: 8, _FUNC_PROTO: 8, 15: 12, 19: 12}
_LAST_KIND = 19


class _TypeRecord(NamedTuple):
    kind: int
    name: str
    refers_to: int
    members: int
    body_at: int


class _Broken(Exception):
    """Not BTF, or of a kind that is unknown here."""


def unresolvable(kernel: bytes, prefix: str = "scx_bpf_") -> tuple[str, ...] | None:
    """Find the kfuncs with names that begin with `prefix` which no program can call in this kernel: their implicit
    argument is visible and they have no `_impl` twin. `kernel` is its ELF file, or the BTF alone as in
    /sys/kernel/btf/vmlinux. Returns None without readable BTF."""
    try:
        alone = kernel[:2] == struct.pack("<H", _MAGIC)
        return _unresolvable(kernel if alone else _section(kernel, b".BTF"), prefix)
    except (_Broken, struct.error, IndexError, UnicodeDecodeError):
        return None


def members(elf: bytes, structure: str) -> dict[int, str]:
    """Return the members of a structure that an object describes, by their offset in bytes. Raises ValueError without
    readable BTF, or where it has no such structure."""
    try:
        btf = _section(elf, b".BTF")
        found = next(one for one in _types(btf) if (one.kind, one.name) == (_STRUCT, structure))
        rows = (struct.unpack_from("<III", btf, found.body_at + 12 * number) for number in range(found.members))
        return {(bits & 0xFFFFFF) // 8: _name(btf, name_at) for name_at, _type, bits in rows}
    except (_Broken, StopIteration, struct.error, IndexError, UnicodeDecodeError):
        raise ValueError(f"the object does not describe {structure}") from None


def _unresolvable(btf: bytes, prefix: str) -> tuple[str, ...]:
    types = [_TypeRecord(0, "void", 0, 0, 0), *_types(btf)]
    functions = {one.name: one for one in types if one.kind == _FUNC}
    alone = [name for name in functions if name.startswith(prefix) and not name.endswith("_impl")]
    alone = [name for name in alone if f"{name}_impl" not in functions]
    return tuple(sorted(name for name in alone if _takes_aux(btf, types, types[functions[name].refers_to])))


def _takes_aux(btf: bytes, types: list[_TypeRecord], proto: _TypeRecord) -> bool:
    """Return whether the last argument is `struct bpf_prog_aux *aux`. One named `aux__prog` is an older way, which
    works."""
    if proto.kind != _FUNC_PROTO or not proto.members:
        return False
    name_at, type_id = struct.unpack_from("<II", btf, proto.body_at + 8 * (proto.members - 1))
    pointer = _plain(types, type_id)
    pointed = _plain(types, pointer.refers_to) if pointer.kind == _PTR else pointer
    return (pointed.kind, pointed.name, _name(btf, name_at)) == (_STRUCT, "bpf_prog_aux", "aux")


def _plain(types: list[_TypeRecord], type_id: int) -> _TypeRecord:
    """Return the type behind typedef, const and the like."""
    for _ in range(16):
        if types[type_id].kind not in _MODIFIERS:
            return types[type_id]
        type_id = types[type_id].refers_to
    raise _Broken


def _types(btf: bytes) -> Iterator[_TypeRecord]:
    magic, _version, _flags, header, start, length = struct.unpack_from("<HBBIII", btf)
    if magic != _MAGIC:
        raise _Broken
    at, end = header + start, header + start + length
    while at < end:
        name_at, info, refers_to = struct.unpack_from("<III", btf, at)
        kind, members = info >> 24 & 0x1F, info & 0xFFFF
        if not 1 <= kind <= _LAST_KIND:
            raise _Broken
        yield _TypeRecord(kind, _name(btf, name_at) if kind in (_FUNC, _STRUCT) else "", refers_to, members, at + 12)
        at += 12 + _EXTRA_BYTES.get(kind, 0) + _MEMBER_BYTES.get(kind, 0) * members


def _name(btf: bytes, at: int) -> str:
    header, strings = struct.unpack_from("<I", btf, 4)[0], struct.unpack_from("<I", btf, 16)[0]
    start = header + strings + at
    return btf[start : btf.index(b"\0", start)].decode() if at else ""


def _section(elf: bytes, wanted: bytes) -> bytes:
    """Return one section of a 64-bit little-endian ELF file."""
    if elf[:6] != b"\x7fELF\x02\x01":
        raise _Broken
    table_at = struct.unpack_from("<Q", elf, 0x28)[0]
    entry_bytes, count, names_index = struct.unpack_from("<HHH", elf, 0x3A)
    names_at = _place(elf, table_at + names_index * entry_bytes)[1]
    for index in range(count):
        entry = table_at + index * entry_bytes
        name_at = names_at + struct.unpack_from("<I", elf, entry)[0]
        if elf[name_at : name_at + len(wanted) + 1] == wanted + b"\0":
            _type, start, size = _place(elf, entry)
            return elf[start : start + size]
    raise _Broken


def _place(elf: bytes, entry: int) -> tuple[int, int, int]:
    """Return type, offset and size of a section."""
    kind = struct.unpack_from("<I", elf, entry + 4)[0]
    start, size = struct.unpack_from("<QQ", elf, entry + 0x18)
    return kind, start, size
