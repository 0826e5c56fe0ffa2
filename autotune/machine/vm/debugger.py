# SPDX-License-Identifier: MIT
"""Changes numbers in the memory of a micro-VM's kernel, by QEMU's debugger stub.

The stub speaks GDB's remote serial protocol: `$packet#checksum`, answered by `+$answer#checksum`. QEMU stops the VM
when somebody connects, and resumes it at `D`.
"""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

from autotune.errors import AutotuneError

ANSWER_S = 10.0
KERNEL_BASE = 0xFFFF_FFFF_8000_0000
"""Address of the kernel's image; without KASLR, physical address 0 is mapped there (arch/x86, __START_KERNEL_map)."""
_NUMBER_BYTES = 8
_BITS = 64


def listening(path: Path) -> str:
    """Return QEMU's description of the socket."""
    return f"unix:{str(path).replace(',', ',,')},server=on,wait=off"


def add(path: Path, address: int, amount: int) -> None:
    """Add to a number of 64 bits in the kernel's data. The VM stands still meanwhile. Raises AutotuneError."""
    place = address - KERNEL_BASE
    if not 0 < place < 1 << 31:
        raise AutotuneError(f"{address:#x} is no address in the kernel's image", stage="machine")
    try:
        with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as stub:
            stub.settimeout(ANSWER_S)
            stub.connect(str(path))
            talk = _Talk(stub)
            talk.request("Qqemu.PhyMemMode:1")
            before = int.from_bytes(bytes.fromhex(talk.request(f"m{place:x},{_NUMBER_BYTES:x}")), "little")
            after = (before + amount) % (1 << _BITS)
            talk.request(f"M{place:x},{_NUMBER_BYTES:x}:{after.to_bytes(_NUMBER_BYTES, 'little').hex()}")
            talk.request("D")
    except (OSError, ValueError) as error:
        raise AutotuneError(f"the micro-VM's memory cannot be changed: {error}", stage="machine") from error


class _Talk:
    """One connection to the stub."""

    def __init__(self, stub: socket.socket) -> None:
        self._stub = stub
        self._seen = b""

    def request(self, packet: str) -> str:
        """Send a packet and return its answer. Raises ValueError for a refusal."""
        data = packet.encode()
        self._stub.sendall(b"$%s#%02x" % (data, sum(data) % 256))
        answer = self._answer()
        if not answer or answer.startswith("E"):
            raise ValueError(f"QEMU refuses {packet[:20]}: {answer or 'unknown'}")
        return answer

    def _answer(self) -> str:
        while len(self._seen.partition(b"#")[2]) < 2:
            more = self._stub.recv(4096)
            if not more:
                raise ValueError("QEMU closed the connection")
            self._seen += more
        packet, _, rest = self._seen.partition(b"#")
        self._seen = rest[2:]
        self._stub.sendall(b"+")
        return packet.rpartition(b"$")[2].decode(errors="replace")
