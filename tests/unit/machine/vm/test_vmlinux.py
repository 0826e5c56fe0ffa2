# SPDX-License-Identifier: MIT
"""A kernel image is unpacked into the ELF file that it holds, or left alone."""

from __future__ import annotations

import gzip
import lzma
import struct
from collections.abc import Callable

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from autotune.machine.vm.vmlinux import unpack

PVH = struct.pack("<III4sQ", 4, 8, 0x12, b"Xen\0", 0x1000000)
ELF = b"\x7fELF" + b"text " * 1000 + PVH


def image(payload: bytes, *, sectors: int = 3) -> bytes:
    """A boot image of protocol 2.15 with its payload where the header says."""
    setup = bytearray(0x200 * ((sectors or 4) + 1))
    setup[0x1F1] = sectors
    setup[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", setup, 0x206, 0x20F)
    struct.pack_into("<II", setup, 0x248, 64, len(payload))
    return bytes(setup) + b"code" * 16 + payload + b"rest"


@pytest.mark.parametrize(
    "pack", [zstandard.ZstdCompressor().compress, lzma.compress, gzip.compress], ids=["zstd", "xz", "gzip"]
)
@pytest.mark.parametrize("sectors", [0, 1, 39])
def test_the_usual_compressions_are_unpacked(pack: Callable[[bytes], bytes], sectors: int) -> None:
    # The build appends the unpacked size to the compressed kernel: what follows must not disturb.
    assert unpack(image(pack(ELF) + struct.pack("<I", len(ELF)), sectors=sectors)) == ELF


def test_a_kernel_that_cannot_be_booted_unpacked_is_left_alone() -> None:
    assert unpack(image(zstandard.compress(ELF.replace(PVH, b"")))) is None


def test_an_unknown_compression_is_left_alone() -> None:
    assert unpack(image(b"\x02\x21\x4c\x18" + ELF)) is None


@given(st.binary(max_size=2000))
def test_no_file_whatever_it_holds_makes_it_fail(data: bytes) -> None:
    assert unpack(data) is None
    assert unpack(image(b"\x28\xb5\x2f\xfd" + data)) is None
    assert unpack(image(b"\x1f\x8b" + data)) is None
