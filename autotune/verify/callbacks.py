# SPDX-License-Identifier: MIT
"""Gate 2, after the compiler: checks which functions of the kernel each callback of the object calls.

The kernel checks this too: some versions when a program is loaded, others when it calls, by ejecting the scheduler.
Here the object is judged, before any kernel sees it: a callback's program with all functions of the object that it
reaches. Where a function may be called is that of kernel/sched/ext.c (the sets scx_kfunc_ids_*), Linux 6.16 to 7.3, and
the strictest of them: a scheduler that passes runs under each.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import Symbol, SymbolTableSection

from autotune.schedext import btf
from autotune.verify import calls
from autotune.verify.calls import CALL, EXECUTABLE, INSTRUCTION, TO_FUNCTION
from autotune.verify.findings import Finding

TABLE = ".struct_ops.link"
OPS = "sched_ext_ops"

_QUEUES = frozenset({"select_cpu", "enqueue", "dispatch"})
_SLEEPS = frozenset({"init", "exit", "init_task", "cgroup_init"})
_DUMPS = frozenset({"dump", "dump_cpu", "dump_task"})
ONLY_IN: Mapping[str, frozenset[str]] = {
    "scx_bpf_select_cpu_dfl": frozenset({"select_cpu", "enqueue"}),
    "scx_bpf_select_cpu_and": frozenset({"select_cpu", "enqueue"}),
    "scx_bpf_dsq_insert": _QUEUES,
    "scx_bpf_dsq_insert_vtime": _QUEUES,
    "scx_bpf_dispatch": _QUEUES,
    "scx_bpf_dispatch_vtime": _QUEUES,
    "scx_bpf_dispatch_nr_slots": frozenset({"dispatch"}),
    "scx_bpf_dispatch_cancel": frozenset({"dispatch"}),
    "scx_bpf_consume": frozenset({"dispatch"}),
    "scx_bpf_dsq_move_to_local": frozenset({"dispatch"}),
    "scx_bpf_dsq_move": frozenset({"dispatch"}),
    "scx_bpf_dsq_move_vtime": frozenset({"dispatch"}),
    "scx_bpf_dsq_move_set_slice": frozenset({"dispatch"}),
    "scx_bpf_dsq_move_set_vtime": frozenset({"dispatch"}),
    "scx_bpf_reenqueue_local": frozenset({"cpu_release"}),
    "scx_bpf_create_dsq": _SLEEPS,
    "scx_bpf_dump_bstr": _DUMPS,
}
"""Callbacks that may call a function; others may be called in all. Variants (`__NAME`, `NAME___v2`) count as it."""

_Place = tuple[int, int]
"""A function of the object: its section, and where in it."""


def check(content: bytes) -> Iterator[Finding]:
    """Find calls in callbacks that may not make them."""
    try:
        found = sorted(_wrong(ELFFile(io.BytesIO(content)), btf.members(content, OPS)))
    except Exception as error:  # the object may be an attacker's: any error of its reader refuses it
        yield Finding("object-unreadable", f"the object's callbacks cannot be read: {error}")
        return
    for callback, name in found:
        allowed = ", ".join(f".{one}" for one in sorted(ONLY_IN[plain(name)]))
        yield Finding("object-callback", f".{callback} calls {name}", f"call it in {allowed} only")


def plain(name: str) -> str:
    """Return the name without what marks a variant for a version of the kernel."""
    return name.removeprefix("__").split("___")[0].removesuffix("_impl")


def _wrong(elf: ELFFile, members: Mapping[int, str]) -> Iterator[tuple[str, str]]:
    code = _Code(elf)
    for offset, program in code.table():
        callback = members.get(offset, "")
        for name in code.reached(program):
            if callback not in ONLY_IN.get(plain(name), {callback}):
                yield callback, name


class _Code:
    """Functions of an object, what each calls of the kernel, and which others of the object it calls."""

    def __init__(self, elf: ELFFile) -> None:
        sections = dict(enumerate(elf.iter_sections()))
        self._code = {index: one.data() for index, one in sections.items() if one["sh_flags"] & EXECUTABLE}
        self._tables = {index for index, one in sections.items() if one.name == TABLE}
        self._references = list(calls.references(elf, self._code.keys() | self._tables))
        self._kernel: dict[_Place, set[str]] = {}
        self._own: dict[_Place, set[_Place]] = {}
        self._starts: dict[int, list[int]] = {}
        symbols = [one for one in sections.values() if isinstance(one, SymbolTableSection)]
        for symbol in (symbol for table in symbols for symbol in table.iter_symbols()):
            if _is_function(symbol):
                self._starts.setdefault(symbol["st_shndx"], []).append(symbol["st_value"])
        self._read_relocated()
        self._read_direct()

    def table(self) -> Iterator[tuple[int, _Place]]:
        """Yield the offset of each callback in the table, and its program."""
        for section, at, symbol in self._references:
            if section in self._tables and _is_function(symbol):
                yield at, (symbol["st_shndx"], symbol["st_value"])

    def reached(self, program: _Place) -> set[str]:
        """Return the kernel's functions that a program calls, itself or through functions of the object."""
        left, seen, names = [program], set[_Place](), set[str]()
        while left:
            place = left.pop()
            if place not in seen:
                seen.add(place)
                names |= self._kernel.get(place, set())
                left += self._own.get(place, ())
        return names

    def _read_relocated(self) -> None:
        """Read the calls that are resolved by relocation: of the kernel's functions, and of another section's."""
        for section, at, symbol in self._references:
            if section not in self._code or self._code[section][at] != CALL:
                continue
            caller = self._function(section, at)
            if symbol["st_shndx"] == "SHN_UNDEF":
                self._kernel.setdefault(caller, set()).add(symbol.name)
                continue
            callee = symbol["st_value"]
            if symbol["st_info"]["type"] == "STT_SECTION":
                callee += _called(self._code[section], at) - at
            self._own.setdefault(caller, set()).add((symbol["st_shndx"], callee))

    def _read_direct(self) -> None:
        """Read the calls inside one section, which need no relocation."""
        relocated = {(section, at) for section, at, _symbol in self._references}
        for section, code in self._code.items():
            for at in range(0, len(code) - INSTRUCTION.size + 1, INSTRUCTION.size):
                is_local = code[at] == CALL and code[at + 1] >> 4 == TO_FUNCTION
                if is_local and (section, at) not in relocated:
                    self._own.setdefault(self._function(section, at), set()).add((section, _called(code, at)))

    def _function(self, section: int, at: int) -> _Place:
        return section, max((start for start in self._starts.get(section, ()) if start <= at), default=0)


def _is_function(symbol: Symbol) -> bool:
    return symbol["st_info"]["type"] == "STT_FUNC" and isinstance(symbol["st_shndx"], int)


def _called(code: bytes, at: int) -> int:
    """Return the place that a call inside a section goes to: it counts instructions, from the next one on."""
    immediate: int = INSTRUCTION.unpack_from(code, at)[3]
    return at + (immediate + 1) * INSTRUCTION.size
