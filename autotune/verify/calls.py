# SPDX-License-Identifier: MIT
"""Gate 2, after the compiler: checks the calls of the object. Text can hide a call; an object cannot.

The kernel's verifier proves that a program is safe for memory, not what it is for: a scheduler that crashes the
machine, kills a process or reads another's memory passes it. So only functions that a scheduler needs may be called,
and everything else is refused by name or number.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from elftools.elf.elffile import ELFFile
from elftools.elf.relocation import RelocationSection
from elftools.elf.sections import Symbol, SymbolTableSection

from autotune.verify.findings import Finding

HELPERS = {115: "bpf_probe_read_kernel_str", 156: "bpf_task_storage_get"}
"""Helpers that at.h offers, by their numbers in include/uapi/linux/bpf.h."""

READS, MOST_READS = 115, 2
"""The helper that reads kernel memory wherever it is pointed, and how often AT_EXIT calls it."""

FUNCTIONS = re.compile(
    r"scx_bpf_[a-z0-9_]+"
    r"|bpf_iter_(num|scx_dsq)_(new|next|destroy)"
    r"|bpf_cpumask_[a-z_]+"
    r"|bpf_rcu_read_(lock|unlock)"
    r"|bpf_task_(acquire|release|from_pid)"
    r"|bpf_cgroup_(acquire|release|from_id|ancestor)"
    r"|__scx_bpf_[a-z0-9_]+"
)
"""Kernel functions that a scheduler may call."""

INSTRUCTION = struct.Struct("<BBhi")
CALL, _CALL_REGISTER, _LOAD_ADDRESS = 0x85, 0x8D, 0x18
"""BPF_JMP|BPFCALL, the same through a register, the first half of a 64-bit load: Documentation/bpf/standardization."""
_TO_HELPER, TO_FUNCTION = 0, 1
"""Meaning of the source register of a call: a helper by number, or a function of the object or of the kernel."""
EXECUTABLE = 0x4
"""SHF_EXECINSTR"""
SECTIONS = re.compile(r"\.text|struct_ops(\.s)?/\w+")
"""Sections of code: functions, and callbacks of the scheduler. All others hold programs of other kinds: tracing ones,
such as replace functions of the kernel's, which a loader would load with the scheduler."""


@dataclass
class Calls:
    """What an object reaches outside itself."""

    helpers: set[int] = field(default_factory=set)
    reads: int = 0
    """Calls of the helper READS."""
    functions: set[str] = field(default_factory=set)
    addresses: set[str] = field(default_factory=set)
    """Kernel symbols whose address is taken; of a function, mostly to see whether this kernel has it."""
    odd: set[str] = field(default_factory=set)
    """Instructions that no compiler writes for a scheduler."""
    sections: set[str] = field(default_factory=set)
    """Names of the sections of code."""


def check(content: bytes) -> Iterator[Finding]:
    """Find what is wrong with the calls of an object."""
    try:
        found = read(content)
    except Exception as error:  # the object may be an attacker's: any error of its reader refuses it
        yield Finding("object-unreadable", f"the object cannot be read: {error}")
        return
    for number in sorted(found.helpers - HELPERS.keys()):
        yield Finding("object-helper", f"helper {number} is called by its number", "use the helpers of at.h only")
    if found.reads > MOST_READS:
        yield Finding("object-helper", f"helper {READS} is called outside of AT_EXIT", "do without it")
    for name in sorted(name for name in found.functions if not FUNCTIONS.fullmatch(name)):
        yield Finding("object-function", f"{name} is not for schedulers", "call the functions that WRITING.md lists")
    for name in sorted(name for name in found.addresses if not FUNCTIONS.fullmatch(name)):
        yield Finding("object-address", f"the address of the kernel's {name} is taken", "do without it")
    for name in sorted(name for name in found.sections if not SECTIONS.fullmatch(name)):
        text = f"the section {name[:60]} has a program that is no callback"
        yield Finding("object-section", text, "define callbacks by AT_OP0 to AT_OP3 only")
    for what in sorted(found.odd):
        yield Finding("object-instruction", what, "write it in plain C")


def read(content: bytes) -> Calls:
    """Read the calls of an object. Raises ELFError and many others for anything else."""
    elf = ELFFile(io.BytesIO(content))
    found = Calls()
    sections = {index: one for index, one in enumerate(elf.iter_sections()) if one["sh_flags"] & EXECUTABLE}
    code = {index: one.data() for index, one in sections.items()}
    found.sections = {sections[index].name for index, content in code.items() if content}
    for one in code.values():
        _read_code(one, found)
    for section, at, symbol in references(elf, code):
        if symbol["st_shndx"] == "SHN_UNDEF" and symbol.name:
            (found.functions if code[section][at] == CALL else found.addresses).add(symbol.name)
    return found


def _read_code(code: bytes, found: Calls) -> None:
    at = 0
    while at + INSTRUCTION.size <= len(code):
        operation, registers, _offset, immediate = INSTRUCTION.unpack_from(code, at)
        source = registers >> 4
        if operation == CALL and source == _TO_HELPER:
            found.helpers.add(immediate)
            found.reads += immediate == READS
        elif operation == CALL and source != TO_FUNCTION:
            found.odd.add(f"a call of kind {source} is in the object")
        elif operation == _CALL_REGISTER:
            found.odd.add("a call through a register is in the object")
        elif operation == _LOAD_ADDRESS and source:
            found.odd.add(f"a 64-bit load of kind {source} is in the object")
        at += INSTRUCTION.size * (2 if operation == _LOAD_ADDRESS else 1)


class SymbolPlace(NamedTuple):
    """A place of a section that names a symbol."""

    section: int
    at: int
    symbol: Symbol


def references(elf: ELFFile, sections: Container[int]) -> Iterator[SymbolPlace]:
    """Yield what the relocations of some sections of an object name. Raises ValueError when they name nothing. Those of
    debug information, a hundred for each that is asked for, are never read."""
    for section in elf.iter_sections():
        if not isinstance(section, RelocationSection):
            continue
        symbols = elf.get_section(section["sh_link"])
        if not isinstance(symbols, SymbolTableSection):
            raise ValueError("relocations without symbols")
        for relocation in section.iter_relocations() if section["sh_info"] in sections else ():
            yield SymbolPlace(section["sh_info"], relocation["r_offset"], symbols.get_symbol(relocation["r_info_sym"]))
