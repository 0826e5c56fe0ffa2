# SPDX-License-Identifier: MIT
"""The part of libbpf that a sched_ext scheduler needs, through ctypes: open, set knobs, load, attach, read, detach.

An object file is opened (`BpfObject`), its knobs are written into `.rodata` as its BTF describes them, it is loaded
(the verifier runs) and attached through a link. The link is never pinned: it belongs to this process, and when the
process ends, the kernel is back on its own scheduler. Needs libbpf 1.4, the first that lets a program change a
struct_ops map before loading it (its shadow type; that switches partial mode on). It raises RLIMIT_MEMLOCK by itself
where a kernel still needs that. Standard library only.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Callable, Iterator, Mapping
from ctypes import POINTER, c_char_p, c_int, c_size_t, c_uint32, c_void_p
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, NamedTuple

from autotune import reading
from autotune.errors import AttachError, BusyError, UsageError
from autotune.records import KnobValue, SchedulerExit

if TYPE_CHECKING:
    import mmap

LEAST_VERSION = (1, 4)
SWITCH_PARTIAL = 1 << 3
"""SCX_OPS_SWITCH_PARTIAL of the kernel's `enum scx_ops_flags`."""

_RODATA = ".rodata"
_EXIT_SECTION = ".data.at_exit"
_EXIT = struct.Struct("=Qq128s1024s")
"""`struct at_exit_record` of bpf_src/include: kind, exit code, reason, message."""
_LOG_LIMIT = 64 << 10
_MESSAGE_LIMIT = 32 << 10
"""One message may be a verifier's log of megabytes: its head and tail name the program and the reason."""
_STRUCT_OPS_MAP = 26
"""BPF_MAP_TYPE_STRUCT_OPS."""
_OPS_NAME_BYTES = 128
"""SCX_OPS_NAME_LEN."""

_KIND_INT, _KIND_STRUCT, _KIND_ENUM, _KIND_FLOAT, _KIND_ENUM64 = 1, 4, 6, 16, 19
_KIND_VAR, _KIND_DATASEC = 14, 15
_KIND_VOLATILE = 9
_MODIFIERS = (8, _KIND_VOLATILE, 10, 11, 18)
"""typedef, volatile, const, restrict, type tag: these may come between a variable and its type."""
_SIGNED, _BOOL = 1, 4


class ObjectKnob(NamedTuple):
    """A `const volatile` scalar of an object. `kind` is bool, int, float or enum; `width` is in bytes. `choices` are
    the names of an enum's values; its `value` is one of them, or a number when none has it."""

    name: str
    kind: str
    width: int
    signed: bool
    value: KnobValue
    choices: tuple[str, ...] = ()


class _Type(NamedTuple):
    """One BTF type: the header common to all kinds, and the address of what follows it."""

    kind: int
    members: int
    flag: bool
    name: int
    size: int
    """Size in bytes, or the type it refers to, depending on the kind."""
    tail: int


class _Slot(NamedTuple):
    """A knob's place in `.rodata`, and how to read its bytes."""

    offset: int
    width: int
    kind: str
    signed: bool
    names: Mapping[str, int] = MappingProxyType({})
    """Values of an enum by name; empty for the other kinds."""

    @property
    def code(self) -> str:
        """Format for `struct`; `_slot` admits only widths that it has."""
        if self.kind == "bool":
            return "=?"
        if self.kind == "float":
            return {4: "=f", 8: "=d"}[self.width]
        letter = {1: "b", 2: "h", 4: "i", 8: "q"}[self.width]
        return "=" + (letter if self.signed else letter.upper())


_PRINT = ctypes.CFUNCTYPE(c_int, c_int, c_char_p, c_void_p)

_SIGNATURES: dict[str, tuple[object, list[object]]] = {
    "libbpf_major_version": (c_uint32, []),
    "libbpf_minor_version": (c_uint32, []),
    "libbpf_set_print": (c_void_p, [_PRINT]),
    "bpf_object__open_file": (c_void_p, [c_char_p, c_void_p]),
    "bpf_object__open_mem": (c_void_p, [c_char_p, c_size_t, c_void_p]),
    "bpf_object__load": (c_int, [c_void_p]),
    "bpf_object__close": (None, [c_void_p]),
    "bpf_object__btf": (c_void_p, [c_void_p]),
    "bpf_object__next_map": (c_void_p, [c_void_p, c_void_p]),
    "bpf_object__next_program": (c_void_p, [c_void_p, c_void_p]),
    "bpf_program__name": (c_char_p, [c_void_p]),
    "bpf_program__attach": (c_void_p, [c_void_p]),
    "bpf_map__name": (c_char_p, [c_void_p]),
    "bpf_map__type": (c_int, [c_void_p]),
    "bpf_map__fd": (c_int, [c_void_p]),
    "bpf_map__pin_path": (c_char_p, [c_void_p]),
    "bpf_map__reuse_fd": (c_int, [c_void_p, c_int]),
    "bpf_map__max_entries": (c_uint32, [c_void_p]),
    "bpf_map__key_size": (c_uint32, [c_void_p]),
    "bpf_map__value_size": (c_uint32, [c_void_p]),
    "bpf_map_lookup_elem": (c_int, [c_int, c_void_p, c_void_p]),
    "bpf_map_update_elem": (c_int, [c_int, c_void_p, c_void_p, ctypes.c_uint64]),
    "bpf_map__initial_value": (c_void_p, [c_void_p, POINTER(c_size_t)]),
    "bpf_map__attach_struct_ops": (c_void_p, [c_void_p]),
    "bpf_link__destroy": (c_int, [c_void_p]),
    "btf__find_by_name_kind": (c_int, [c_void_p, c_char_p, c_uint32]),
    "btf__type_by_id": (c_void_p, [c_void_p, c_uint32]),
    "btf__name_by_offset": (c_char_p, [c_void_p, c_uint32]),
}


class ObjectMap(NamedTuple):
    """A map that the loader will make. `type` is the kernel's number."""

    name: str
    type: int
    pinned: bool
    size_bytes: int


class Libbpf:
    """The library and the messages that it printed. One per process is enough."""

    def __init__(self, path: str | None = None) -> None:
        self._lib = _open_library(path)
        self._libc = ctypes.CDLL(None)
        self._libc.vasprintf.restype = c_int
        self._libc.vasprintf.argtypes = [POINTER(c_void_p), c_char_p, c_void_p]
        self._libc.free.restype = None
        self._libc.free.argtypes = [c_void_p]
        self._printed = bytearray()
        self._print = _PRINT(self._hear)  # kept alive: the library calls it as long as it lives
        self._lib.libbpf_set_print(self._print)

    def __getattr__(self, name: str) -> Callable[..., object]:
        return getattr(self._lib, name)  # type: ignore[no-any-return]

    @property
    def version(self) -> str:
        return f"{self._lib.libbpf_major_version()}.{self._lib.libbpf_minor_version()}"

    def _hear(self, level: int, form: bytes, arguments: int) -> int:
        if level > 1:  # LIBBPF_DEBUG
            return 0
        # A va_list is passed as a pointer on every architecture that Linux has BPF for.
        text = c_void_p()
        length = int(self._libc.vasprintf(ctypes.byref(text), form, arguments))
        if length >= 0:
            self._printed += _shortened(ctypes.string_at(text, length))
            self._libc.free(text)
            del self._printed[:-_LOG_LIMIT]
        return length

    def take_log(self) -> str:
        """Return the messages of the library, and through it of the verifier, since the last call."""
        text = self._printed.decode(errors="replace")
        self._printed.clear()
        return text

    def open(self, path: str, sha256: str | None = None) -> BpfObject:
        """Open an object file. With `sha256`, refuse a file with other content; the checked content is what is opened.
        Raises AttachError when it is no object, or a different one."""
        return BpfObject(self, path, None if sha256 is None else _read_exactly(path, sha256))


def _open_library(path: str | None) -> ctypes.CDLL:
    found = []
    refused = []
    for name in filter(None, (path, "libbpf.so.1")):
        try:
            lib = ctypes.CDLL(name, use_errno=True)
            version = (int(lib.libbpf_major_version()), int(lib.libbpf_minor_version()))
        except (OSError, AttributeError) as error:
            refused.append(f"{name}: {error}")
            continue
        if version >= LEAST_VERSION:
            for function, (result, arguments) in _SIGNATURES.items():
                getattr(lib, function).restype = result
                getattr(lib, function).argtypes = arguments
            return lib
        found.append(f"{version[0]}.{version[1]}")
    what = f"libbpf {' and '.join(found)} is too old" if found else "libbpf is not there"
    raise AttachError(
        f"{what}: {LEAST_VERSION[0]}.{LEAST_VERSION[1]} or later is needed",
        hint="'autotune vm setup' fetches one; or install your distribution's libbpf",
        detail="\n".join(refused),
    )


def _read_exactly(path: str, sha256: str) -> bytes:
    import hashlib  # here, not above: starting is slow under emulation

    name = os.path.basename(path)
    try:
        content = reading.data(Path(path), most_bytes=reading.MOST_OBJECT_BYTES)
    except OSError as error:
        raise AttachError(f"{name} cannot be opened: {error.strerror}", hint="verify the scheduler again") from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise AttachError(f"{name} is not the object that was checked", hint="verify the scheduler again")
    return content


class BpfObject:
    """An object file: a scheduler with one struct_ops map, or a probe with tracing programs. Closing it detaches and
    frees everything."""

    def __init__(self, lib: Libbpf, path: str, content: bytes | None = None) -> None:
        """Open the object: `content`, or what the file contains when that is None."""
        self._lib = lib
        self._path = path
        self._links: list[object] = []
        self._content = content  # libbpf reads it until the object is loaded
        lib.take_log()
        if content is None:
            self._object = lib.bpf_object__open_file(os.fsencode(path), None)
        else:
            self._object = lib.bpf_object__open_mem(content, len(content), None)
        if not self._object:
            raise self._failed("cannot be opened")
        self._btf = lib.bpf_object__btf(self._object)

    # --- knobs ---

    def knobs(self) -> list[ObjectKnob]:
        """Return the `const volatile` scalars of the object, by name, with their current values."""
        data, size = self._memory(_RODATA) or (0, 0)
        knobs = []
        for name, slot in sorted(self._slots(_RODATA).items()):
            if slot.offset + slot.width <= size:
                value = _unpacked(slot, ctypes.string_at(data + slot.offset, slot.width))
                knobs.append(ObjectKnob(name, slot.kind, slot.width, slot.signed, value, tuple(slot.names)))
        return knobs

    def maps(self) -> list[ObjectMap]:
        """Return the maps of the object; those of its sections of data too."""
        return [self._described(found) for found in self._maps()]

    def set_knob(self, name: str, value: KnobValue) -> None:
        """Write a knob. Before `load` only. Raises UsageError for an unknown name, a value of another type, and one
        that does not fit."""
        slots = self._slots(_RODATA)
        slot = slots.get(name)
        memory = self._memory(_RODATA)
        if slot is None or memory is None or slot.offset + slot.width > memory[1]:
            known = ", ".join(sorted(slots)) or "none"
            raise UsageError(f"{os.path.basename(self._path)} has no knob '{name}'", hint=f"it has: {known}")
        packed = _packed(name, slot, value)
        ctypes.memmove(memory[0] + slot.offset, packed, len(packed))

    def set_partial(self) -> None:
        """Let the scheduler take only tasks that ask for SCHED_EXT. Before `load` only."""
        flags = ctypes.cast(self._ops_member("flags", 8), POINTER(ctypes.c_uint64))
        flags[0] |= SWITCH_PARTIAL

    def has_map(self, name: str) -> bool:
        return any(self._lib.bpf_map__name(found) == name.encode() for found in self._maps())

    def share_map(self, name: str, other: BpfObject) -> None:
        """Take a map of another object, which is loaded, for the one of the same name. Before `load` only. Raises
        AttachError when one of them has no such map, or they differ."""
        fd = self._lib.bpf_map__fd(other._table(name))
        if self._lib.bpf_map__reuse_fd(self._table(name), fd) != 0:
            raise self._failed(f"cannot share '{name}'")

    def ops_name(self) -> str:
        """Return the name that the kernel will show. Before `load` only."""
        return _text(ctypes.string_at(self._ops_member("name", _OPS_NAME_BYTES), _OPS_NAME_BYTES))

    # --- loading and attaching ---

    def load(self) -> None:
        """Load it into the kernel. Raises AttachError with the verifier's log in `detail`."""
        if self._lib.bpf_object__load(self._object) != 0:
            raise self._failed("was refused by the kernel")

    def attach(self) -> None:
        """Attach the struct_ops map through a link that this process owns."""
        link = self._lib.bpf_map__attach_struct_ops(self._struct_ops())
        if not link and ctypes.get_errno() == errno.EBUSY:
            raise BusyError("another sched_ext scheduler was attached at the same moment", hint="stop it first")
        if not link:
            raise self._failed("could not be attached")
        self._links.append(link)

    def attach_programs(self) -> None:
        """Attach each tracing program through a link that this process owns. Raises AttachError, with nothing attached,
        when the kernel refuses one."""
        program = self._lib.bpf_object__next_program(self._object, None)
        while program:
            link = self._lib.bpf_program__attach(program)
            if not link:
                error = self._failed("could not be attached")
                self.detach()
                raise error
            self._links.append(link)
            program = self._lib.bpf_object__next_program(self._object, program)

    def detach(self) -> None:
        """Close the links; the kernel is back on its own scheduler when this returns."""
        links, self._links = self._links, []
        for link in links:
            self._lib.bpf_link__destroy(link)

    # --- maps, once it is loaded ---

    def put(self, name: str, key: bytes, value: bytes) -> None:
        """Write an element of a map. Raises AttachError when there is no such map, or no room."""
        found = self._table(name)
        if self._lib.bpf_map_update_elem(self._lib.bpf_map__fd(found), key, value, 0) != 0:
            raise self._failed(f"has no room in '{name}'")

    def contents(self, name: str, least_bytes: int = 0) -> mmap.mmap:
        """Map an array of the kernel's for reading, element after element. Raises AttachError when there is no such
        map, or it is shorter than `least_bytes`."""
        import mmap  # seldom needed, and starting is slow under emulation

        found = self._table(name)
        size = int(self._lib.bpf_map__value_size(found)) * int(self._lib.bpf_map__max_entries(found))  # type: ignore[call-overload]
        if size < least_bytes:
            raise AttachError(f"{os.path.basename(self._path)}: '{name}' is shorter than expected")
        fd = int(self._lib.bpf_map__fd(found))  # type: ignore[call-overload]
        return mmap.mmap(fd, size, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ)

    def _table(self, name: str) -> object:
        for found in self._maps():
            if self._lib.bpf_map__name(found) == name.encode():
                return found
        raise AttachError(f"{os.path.basename(self._path)} has no map '{name}'")

    def exit_record(self) -> SchedulerExit | None:
        """Return why the scheduler went; None while it runs, or when the object keeps no record."""
        found = self._map(_EXIT_SECTION)
        memory = self._memory(_EXIT_SECTION)
        if found is None or memory is None or memory[1] < _EXIT.size:
            return None
        # From the kernel: libbpf before 1.6 does not map global data when an object is loaded.
        key, value = c_uint32(0), ctypes.create_string_buffer(memory[1])
        if self._lib.bpf_map_lookup_elem(self._lib.bpf_map__fd(found), ctypes.byref(key), value) != 0:
            return None
        kind, code, reason, message = _EXIT.unpack(value.raw[: _EXIT.size])
        return SchedulerExit(kind, code, _text(reason), _text(message)) if kind else None

    def close(self) -> None:
        self.detach()
        found, self._object = self._object, None
        if found:
            self._lib.bpf_object__close(found)

    def __enter__(self) -> BpfObject:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- inside ---

    def _failed(self, what: str) -> AttachError:
        error = ctypes.get_errno()
        log = self._lib.take_log()
        reason = _last_reason(log) or (os.strerror(error) if error else "no reason given")
        return AttachError(f"{os.path.basename(self._path)} {what}: {reason}", detail=log)

    def _maps(self) -> Iterator[object]:
        found = self._lib.bpf_object__next_map(self._object, None)
        while found:
            yield found
            found = self._lib.bpf_object__next_map(self._object, found)

    def _described(self, found: object) -> ObjectMap:
        lib, name = self._lib, self._lib.bpf_map__name(found)
        entry_bytes = int(str(lib.bpf_map__key_size(found))) + int(str(lib.bpf_map__value_size(found)))
        return ObjectMap(
            name.decode(errors="replace") if isinstance(name, bytes) else "",
            int(str(lib.bpf_map__type(found))),
            lib.bpf_map__pin_path(found) is not None,
            entry_bytes * max(1, int(str(lib.bpf_map__max_entries(found)))),
        )

    def _struct_ops(self) -> object:
        maps = [found for found in self._maps() if self._lib.bpf_map__type(found) == _STRUCT_OPS_MAP]
        if len(maps) != 1:
            raise AttachError(f"{os.path.basename(self._path)} has {len(maps)} struct_ops maps; it must have one")
        return maps[0]

    def _map(self, section: str) -> object:
        """Return the map of a section, or None."""
        for found in self._maps():
            name = self._lib.bpf_map__name(found)
            if isinstance(name, bytes) and name.decode(errors="replace").endswith(section):
                return found
        return None

    def _memory(self, section: str) -> tuple[int, int] | None:
        """Return address and size of a section's initial value."""
        found = self._map(section)
        if found is None:
            return None
        size = c_size_t()
        data = self._lib.bpf_map__initial_value(found, ctypes.byref(size))
        return (data, size.value) if isinstance(data, int) else None

    def _ops_member(self, member: str, width: int) -> int:
        """Return the address of a member of the operations table, which may be changed until the object is loaded."""
        size = c_size_t()
        data = self._lib.bpf_map__initial_value(self._struct_ops(), ctypes.byref(size))
        offset = self._member_offset(b"sched_ext_ops", member)
        if not isinstance(data, int) or offset is None or offset + width > size.value:
            raise AttachError(f"{os.path.basename(self._path)} has no sched_ext_ops with '{member}'")
        return data + offset

    # --- BTF (Documentation/bpf/btf.rst) ---

    def _type(self, number: int) -> _Type:
        address = self._lib.btf__type_by_id(self._btf, number)
        if not isinstance(address, int):
            raise AttachError(f"{os.path.basename(self._path)} has broken type information")
        name, info, size = struct.unpack("=III", ctypes.string_at(address, 12))
        return _Type((info >> 24) & 0x1F, info & 0xFFFF, bool(info >> 31), name, size, address + 12)

    def _name(self, offset: int) -> str:
        name = self._lib.btf__name_by_offset(self._btf, offset)
        return name.decode(errors="replace") if isinstance(name, bytes) else ""

    def _named(self, name: bytes, kind: int) -> _Type | None:
        number = self._lib.btf__find_by_name_kind(self._btf, name, kind) if self._btf else -1
        return self._type(number) if isinstance(number, int) and number > 0 else None

    def _slots(self, section: str) -> dict[str, _Slot]:
        found = self._named(section.encode(), _KIND_DATASEC)
        slots = {}
        for number, offset, _ in _rows("=III", found):
            variable = self._type(number)
            slot = self._slot(variable.size, offset) if variable.kind == _KIND_VAR else None
            if slot is not None:
                slots[self._name(variable.name)] = slot
        return slots

    def _slot(self, number: int, offset: int) -> _Slot | None:
        """Return how a variable of this type is stored; None for anything but a volatile scalar, which is no knob."""
        found = self._type(number)
        volatile = False
        while found.kind in _MODIFIERS:
            volatile |= found.kind == _KIND_VOLATILE
            found = self._type(found.size)
        if not volatile or found.size not in (1, 2, 4, 8):
            return None
        if found.kind == _KIND_INT:
            (encoding,) = struct.unpack("=I", ctypes.string_at(found.tail, 4))
            flags = (encoding >> 24) & 0xF
            return _Slot(offset, found.size, "bool" if flags & _BOOL else "int", bool(flags & _SIGNED))
        if found.kind in (_KIND_ENUM, _KIND_ENUM64):
            return _Slot(offset, found.size, "enum", found.flag, self._enumerators(found))
        return _Slot(offset, found.size, "float", True) if found.kind == _KIND_FLOAT else None

    def _enumerators(self, found: _Type) -> dict[str, int]:
        if found.kind == _KIND_ENUM:
            return {self._name(name): value for name, value in _rows("=Ii" if found.flag else "=II", found)}
        return {self._name(name): value for name, value in _rows("=Iq" if found.flag else "=IQ", found)}

    def _member_offset(self, structure: bytes, member: str) -> int | None:
        """Return the offset of a member in bytes; None when there is no such structure or member."""
        for name, _, bits in _rows("=III", self._named(structure, _KIND_STRUCT)):
            if self._name(name) == member:
                return int(bits & 0xFFFFFF) // 8
        return None


def _rows(form: str, found: _Type | None) -> Iterator[tuple[int, ...]]:
    """Yield the records that follow a BTF type, one for each member."""
    if found is None:
        return iter(())
    return struct.iter_unpack(form, ctypes.string_at(found.tail, struct.calcsize(form) * found.members))


def _unpacked(slot: _Slot, data: bytes) -> KnobValue:
    (value,) = struct.unpack(slot.code, data)
    by_value = {number: name for name, number in slot.names.items()}
    return by_value.get(value, value)  # type: ignore[no-any-return]


_TAKES: dict[str, tuple[str, tuple[type, ...]]] = {
    "bool": ("true or false", (bool,)),
    "int": ("a whole number", (int,)),
    "float": ("a number", (int, float)),
    "enum": ("a name or a whole number", (int, str)),
}


def _packed(name: str, slot: _Slot, value: KnobValue) -> bytes:
    words, types = _TAKES[slot.kind]
    if slot.names:
        words = "one of " + ", ".join(slot.names)
    if not isinstance(value, types) or (slot.kind != "bool" and isinstance(value, bool)):
        raise UsageError(f"knob '{name}' takes {words}, not {value!r}")
    if isinstance(value, str):
        if value not in slot.names:
            raise UsageError(f"knob '{name}' takes {words}, not {value!r}")
        value = slot.names[value]
    try:
        return struct.pack(slot.code, value)
    except (struct.error, OverflowError) as error:
        raise UsageError(f"knob '{name}' takes {_range(slot)}, not {value!r}") from error


def _range(slot: _Slot) -> str:
    if slot.kind == "float":
        return f"a number of {8 * slot.width} bits"
    bits = 8 * slot.width
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if slot.signed else (0, (1 << bits) - 1)
    return f"{low} to {high}"


def _shortened(text: bytes) -> bytes:
    """Cut a message to its limit: a quarter from its head, the rest from its tail."""
    if len(text) <= _MESSAGE_LIMIT:
        return text
    left_out = len(text) - _MESSAGE_LIMIT
    head = _MESSAGE_LIMIT // 4
    return text[:head] + b"\n[... %d bytes left out ...]\n" % left_out + text[head + left_out :]


def _text(data: bytes) -> str:
    return data.split(b"\0", 1)[0].decode(errors="replace")


def _last_reason(log: str) -> str:
    """Return the most telling line of a log: the verifier's last one before its statistics, else the library's."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    begin = next((index for index, line in enumerate(lines) if "BEGIN PROG LOAD LOG" in line), None)
    if begin is not None:
        reasons = []
        for line in lines[begin + 1 :]:
            if "END PROG LOAD LOG" in line:
                break
            if not line.startswith(("processed ", "verification time", "stack depth", "-- ")):
                reasons.append(line)
        if reasons:
            return reasons[-1]
    return lines[-1].removeprefix("libbpf: ") if lines else ""
