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
from collections.abc import Iterator
from dataclasses import dataclass, field

from elftools.elf.elffile import ELFFile
from elftools.elf.relocation import RelocationSection
from elftools.elf.sections import SymbolTableSection

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

_INSTRUCTION = struct.Struct("<BBhi")
_CALL, _CALL_REGISTER, _LOAD_ADDRESS = 0x85, 0x8D, 0x18
"""BPF_JMP|BPF_CALL, the same through a register, the first half of a 64-bit load: Documentation/bpf/standardization."""
_TO_HELPER, _TO_FUNCTION = 0, 1
"""Meaning of the source register of a call: a helper by number, or a function of the object or of the kernel."""
_EXECUTABLE = 0x4
"""SHF_EXECINSTR"""


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
    for what in sorted(found.odd):
        yield Finding("object-instruction", what, "write it in plain C")


def read(content: bytes) -> Calls:
    """Read the calls of an object. Raises ELFError and many others for anything else."""
    elf = ELFFile(io.BytesIO(content))
    found = Calls()
    for section in elf.iter_sections():
        if section["sh_flags"] & _EXECUTABLE:
            _read_code(section.data(), found)
        if isinstance(section, RelocationSection):
            _read_relocations(elf, section, found)
    return found


def _read_code(code: bytes, found: Calls) -> None:
    at = 0
    while at + _INSTRUCTION.size <= len(code):
        operation, registers, _offset, immediate = _INSTRUCTION.unpack_from(code, at)
        source = registers >> 4
        if operation == _CALL and source == _TO_HELPER:
            found.helpers.add(immediate)
            found.reads += immediate == READS
        elif operation == _CALL and source != _TO_FUNCTION:
            found.odd.add(f"a call of kind {source} is in the object")
        elif operation == _CALL_REGISTER:
            found.odd.add("a call through a register is in the object")
        elif operation == _LOAD_ADDRESS and source:
            found.odd.add(f"a 64-bit load of kind {source} is in the object")
        at += _INSTRUCTION.size * (2 if operation == _LOAD_ADDRESS else 1)


def _read_relocations(elf: ELFFile, section: RelocationSection, found: Calls) -> None:
    """Collect the outside names that code refers to: functions that are called, and symbols whose address is taken."""
    target = elf.get_section(section["sh_info"])
    if not target["sh_flags"] & _EXECUTABLE:
        return
    symbols, code = elf.get_section(section["sh_link"]), target.data()
    if not isinstance(symbols, SymbolTableSection):
        raise ValueError("relocations without symbols")
    for relocation in section.iter_relocations():
        symbol = symbols.get_symbol(relocation["r_info_sym"])
        if symbol["st_shndx"] != "SHN_UNDEF" or not symbol.name:
            continue
        is_call = code[relocation["r_offset"]] == _CALL
        (found.functions if is_call else found.addresses).add(symbol.name)
