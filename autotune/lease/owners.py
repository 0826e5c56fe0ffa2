# SPDX-License-Identifier: MIT
"""Finds the process that owns the attached scheduler, by its open descriptors or by its name.

The owner keeps a BPF link or map of the kind `struct_ops` open, which `/proc/PID/fdinfo` shows (to root, for the
processes of others). Other things than schedulers are struct_ops too, so the map's content is read from the kernel: the
operations, with the scheduler's name among them. Run as a program, it prints what `find` finds. Standard library only.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

if __name__ == "__main__":
    if sys.argv[1:] == ["--probe"]:  # see autotune.privilege
        sys.exit(os.geteuid() != 0)
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from autotune.frozen import dataclass
from autotune.schedext.kernel import ops_matches

PROC = Path("/proc")
LOADER = "scx_loader"
_STRUCT_OPS_MAP = "26"
"""BPF_MAP_TYPE_STRUCT_OPS, as fdinfo writes it."""
_BPF_CALL = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "loongarch64": 280, "ppc64le": 361, "s390x": 351}
"""Number of the system call bpf(2) by machine (asm/unistd.h)."""
_LOOKUP, _MAP_BY_ID, _INFO_BY_FD = 1, 14, 15
"""BPF_MAP_LOOKUP_ELEM, BPF_MAP_GET_FD_BY_ID, BPF_OBJ_GET_INFO_BY_FD (enum bpf_cmd)."""
_MOST_VALUE_BYTES = 1 << 20


@dataclass(frozen=True)
class OwnerProcess:
    """A process as /proc shows it to everybody. `started` (clock ticks after boot) distinguishes it from a later one of
    the same number."""

    pid: int
    started: int
    name: str
    argv: tuple[str, ...]
    parent: int
    unit: str | None
    """The systemd system service that it belongs to; None for sessions and users."""


def process(pid: int, proc: Path = PROC) -> OwnerProcess | None:
    """Return the process of this number; None when there is none."""
    try:
        stat = (proc / str(pid) / "stat").read_text(errors="replace")
        words = (proc / str(pid) / "cmdline").read_bytes().split(b"\0")[:-1]
    except OSError:
        return None
    before, _, after = stat.rpartition(")")
    fields = after.split()
    argv = tuple(word.decode(errors="replace") for word in words)
    return OwnerProcess(pid, int(fields[19]), before.partition("(")[2], argv, int(fields[1]), _unit(proc / str(pid)))


def _unit(place: Path) -> str | None:
    """Return the last part of a line such as `0::/system.slice/scx.service`."""
    with contextlib.suppress(OSError):
        for line in (place / "cgroup").read_text(errors="replace").splitlines():
            path = line.partition("::")[2]
            if path.startswith("/system.slice/") and path.endswith(".service"):
                return path.rpartition("/")[2]
    return None


def ancestors(found: OwnerProcess, proc: Path = PROC) -> Iterator[OwnerProcess]:
    """Yield its parent, that one's parent, and so on."""
    seen = {found.pid}
    while found.parent > 0 and found.parent not in seen:
        seen.add(found.parent)
        above = process(found.parent, proc)
        if above is None:
            return
        yield above
        found = above


def find(ops: str, proc: Path = PROC) -> int | None:
    """Return the process that owns the scheduler of this name, as the kernel shows it; None when there is none, when we
    may not look, or when several fit."""
    with_link = list(_with_struct_ops(proc))
    proven = [pid for pid, maps in with_link if any(_map_names(number, ops) for number in maps)]
    if proven:
        return proven[0]
    named = [pid for pid, _ in with_link if _fits(process(pid, proc), ops)]
    return named[0] if named else find_by_name(ops, proc)


def owns(pid: int, ops: str, proc: Path = PROC) -> bool:
    """Return whether a process has the scheduler of this name open, by the kernel's word and not by its own name. For
    root, which may look."""
    return any(number == pid and any(_map_names(one, ops) for one in maps) for number, maps in _with_struct_ops(proc))


def find_by_name(ops: str, proc: Path = PROC) -> int | None:
    """Return the only process whose program is named like the scheduler (`scx_rusty` for `rusty`)."""
    fitting = [pid for pid in _pids(proc) if _fits(process(pid, proc), ops)]
    return fitting[0] if len(fitting) == 1 else None


def base_name(ops: str) -> str:
    """Return the scheduler's name without version and build: `bpfland` of `bpfland_1.1.4_x86_64_unknown_linux_gnu`."""
    return re.sub(r"_v?\d+\.\d.*$", "", ops)


def program_of(found: OwnerProcess | None) -> str | None:
    """Return the scx program that a process runs; None for others."""
    name = os.path.basename(found.argv[0]) if found is not None and found.argv else ""
    return name if re.fullmatch(r"scx_[a-z0-9_]+", name) and name != LOADER else None


def _fits(found: OwnerProcess | None, ops: str) -> bool:
    program = program_of(found)
    return program is not None and fits(program, ops)


def fits(program: str, ops: str) -> bool:
    """Return whether program and kernel name belong to the same scheduler, judging by names alone."""
    plain = program.removeprefix("scx_")
    return ops_matches(plain, ops.removeprefix("scx_")) or ops_matches(plain.replace("_", "-"), ops)


def _pids(proc: Path) -> Iterator[int]:
    yield from sorted(int(entry) for entry in os.listdir(proc) if entry.isdigit())


def _with_struct_ops(proc: Path) -> Iterator[tuple[int, set[int]]]:
    """Yield the processes that have struct_ops links or maps open, with the numbers of the maps; those with a link
    first."""
    later = []
    for pid in _pids(proc):
        links, maps = _open_in(proc / str(pid))
        if links:
            yield pid, links | maps
        elif maps:
            later.append((pid, maps))
    yield from later


def _open_in(place: Path) -> tuple[set[int], set[int]]:
    """Return the numbers of the maps behind a process's links, and of its maps."""
    links: set[int] = set()
    maps: set[int] = set()
    with contextlib.suppress(OSError):
        for entry in os.scandir(place / "fd"):
            with contextlib.suppress(OSError):
                if "bpf" not in os.readlink(entry.path):
                    continue
                lines = (place / "fdinfo" / entry.name).read_text(errors="replace").splitlines()
                info = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
                number = int(info.get("map_id", "0"))
                if info.get("link_type") == "struct_ops":
                    links.add(number)
                elif info.get("map_type") == _STRUCT_OPS_MAP:
                    maps.add(number)
    return links, maps


# --- content of a map -----------------------------------------------------------------------------------


def _map_names(number: int, ops: str) -> bool:
    """Return whether the map contains operations of this very name; False also when the kernel refuses access."""
    with contextlib.suppress(OSError, KeyError):
        return b"\0" + ops.encode() + b"\0" in _content(number)
    return False


def _content(number: int) -> bytes:
    """Read the value of a struct_ops map. Raises OSError; KeyError on a machine whose system call we do not know."""
    fd = _bpf(_MAP_BY_ID, ctypes.create_string_buffer(number.to_bytes(4, sys.byteorder), 12))
    try:
        info = ctypes.create_string_buffer(96)
        _bpf(_INFO_BY_FD, _packed((fd, 4), (len(info), 4), (ctypes.addressof(info), 8)))
        size = min(int.from_bytes(info.raw[12:16], sys.byteorder), _MOST_VALUE_BYTES)
        key, value = ctypes.create_string_buffer(4), ctypes.create_string_buffer(max(size, 1))
        _bpf(_LOOKUP, _packed((fd, 8), (ctypes.addressof(key), 8), (ctypes.addressof(value), 8), (0, 8)))
        return value.raw
    finally:
        os.close(fd)


def _packed(*numbers: tuple[int, int]) -> ctypes.Array[ctypes.c_char]:
    """Pack numbers of the given widths into bytes, one after another, as in `union bpf_attr`."""
    data = b"".join(number.to_bytes(width, sys.byteorder) for number, width in numbers)
    return ctypes.create_string_buffer(data, len(data))


def _bpf(command: int, attributes: ctypes.Array[ctypes.c_char]) -> int:
    call = ctypes.CDLL(None, use_errno=True).syscall
    done = int(call(_BPF_CALL[os.uname().machine], command, attributes, len(attributes)))
    if done < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return done


def main() -> None:
    pid = find(sys.argv[1])
    found = None if pid is None else process(pid)
    print(json.dumps(None if found is None else asdict(found)))


if __name__ == "__main__":
    main()
