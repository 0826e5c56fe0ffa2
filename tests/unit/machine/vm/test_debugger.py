# SPDX-License-Identifier: MIT
"""Numbers in a micro-VM's memory, against a stub that speaks as QEMU's does; tests/vm/test_behaviour_shapes sets a real
kernel's clock by it."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from autotune.errors import AutotuneError
from autotune.machine.vm import debugger

PLACE = 0x333_11B8
ADDRESS = debugger.KERNEL_BASE + PLACE
PACKET = re.compile(rb"\$([^#]*)#([0-9a-f]{2})")


class Stub:
    """Memory of 8 bytes behind a socket."""

    def __init__(self, path: Path, *, refuses: str = "") -> None:
        self.path = path
        self.memory = (100).to_bytes(8, "little")
        self.asked: list[str] = []
        self._refuses = refuses
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listening.bind(str(path))
        self._listening.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        client, _ = self._listening.accept()
        seen = b""
        while data := client.recv(4096):
            seen += data
            while (found := PACKET.search(seen)) is not None:
                seen = seen[found.end() :]
                assert sum(found[1]) % 256 == int(found[2], 16)
                answer = self._answer(found[1].decode())
                client.sendall(b"+$" + answer[:1])  # an answer may come in pieces
                client.sendall(answer[1:] + b"#00")
        client.close()

    def _answer(self, packet: str) -> bytes:
        self.asked.append(packet)
        if self._refuses and packet.startswith(self._refuses):
            return b"E14"
        if packet == f"m{PLACE:x},8":
            return self.memory.hex().encode()
        if packet.startswith(f"M{PLACE:x},8:"):
            self.memory = bytes.fromhex(packet.partition(":")[2])
        return b"OK"

    def close(self) -> None:
        self._listening.close()


@pytest.fixture
def stub(tmp_path: Path) -> Iterator[Stub]:
    made = Stub(tmp_path / "stub")
    yield made
    made.close()


def test_a_number_grows_and_the_vm_goes_on(stub: Stub) -> None:
    debugger.add(stub.path, ADDRESS, 23)
    assert int.from_bytes(stub.memory, "little") == 123
    assert stub.asked[0] == "Qqemu.PhyMemMode:1"
    assert stub.asked[-1] == "D"


def test_a_number_may_wrap_around(stub: Stub) -> None:
    debugger.add(stub.path, ADDRESS, -101)
    assert stub.memory == b"\xff" * 8


@pytest.mark.parametrize("address", [0, 4096, debugger.KERNEL_BASE, debugger.KERNEL_BASE + 2**31])
def test_what_is_no_address_of_the_kernels_image_is_refused(tmp_path: Path, address: int) -> None:
    with pytest.raises(AutotuneError, match="no address in the kernel's image"):
        debugger.add(tmp_path / "nothing", address, 1)


@pytest.mark.parametrize("packet", ["Q", "m", "M"])
def test_a_refusal_is_one_line(tmp_path: Path, packet: str) -> None:
    refusing = Stub(tmp_path / "refusing", refuses=packet)
    with pytest.raises(AutotuneError, match="memory cannot be changed: QEMU refuses"):
        debugger.add(refusing.path, ADDRESS, 1)
    refusing.close()


def test_no_stub_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(AutotuneError, match="memory cannot be changed"):
        debugger.add(tmp_path / "nothing", ADDRESS, 1)
