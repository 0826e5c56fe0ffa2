# SPDX-License-Identifier: MIT
"""Unpacks a kernel image to the ELF file inside it, which QEMU boots directly by the PVH protocol.

An image unpacks itself at every boot, which takes about a second under emulation; this does it once. Field offsets are
those of the x86 boot protocol (Documentation/arch/x86/boot.rst).
"""

from __future__ import annotations

import lzma
import struct
import zlib
from collections.abc import Callable

_MAGIC_AT, _MAGIC = 0x202, b"HdrS"
_VERSION_AT, _VERSION_WITH_PAYLOAD = 0x206, 0x208
_SETUP_SECTORS_AT, _PAYLOAD_OFFSET_AT, _PAYLOAD_LENGTH_AT = 0x1F1, 0x248, 0x24C
_SECTOR_BYTES = 512
_MOST_BYTES = 1 << 28
"""No kernel is larger; an image that claims to be is broken."""
_PVH_NOTE = struct.pack("<II4s", 8, 0x12, b"Xen\0")
"""Size, type (XEN_ELFNOTE_PHYS32_ENTRY) and name of the ELF note that names the entry point of a PVH boot."""


def unpack(image: bytes) -> bytes | None:
    """Unpack the ELF kernel in `image`; None when none in it can be unpacked and booted this way."""
    payload = _payload(image)
    if payload is None:
        return None
    unpacker = next((unpacker for magic, unpacker in _UNPACKERS.items() if payload.startswith(magic)), None)
    if unpacker is None:
        return None
    try:
        elf = unpacker(payload)
    except (ValueError, EOFError, OSError, ImportError, lzma.LZMAError, zlib.error):
        return None
    return elf if elf.startswith(b"\x7fELF") and _PVH_NOTE in elf else None


def _payload(image: bytes) -> bytes | None:
    if len(image) < 0x250 or image[_MAGIC_AT : _MAGIC_AT + 4] != _MAGIC:
        return None
    if struct.unpack_from("<H", image, _VERSION_AT)[0] < _VERSION_WITH_PAYLOAD:
        return None
    sectors = image[_SETUP_SECTORS_AT] or 4  # the protocol says that 0 means 4
    start = (sectors + 1) * _SECTOR_BYTES + int(struct.unpack_from("<I", image, _PAYLOAD_OFFSET_AT)[0])
    return image[start : start + int(struct.unpack_from("<I", image, _PAYLOAD_LENGTH_AT)[0])]


def _zstd(payload: bytes) -> bytes:
    import zstandard

    try:
        return zstandard.ZstdDecompressor().decompressobj().decompress(payload)  # ignores everything after the frame
    except zstandard.ZstdError as error:
        raise ValueError(str(error)) from error


def _xz(payload: bytes) -> bytes:
    return lzma.LZMADecompressor().decompress(payload, _MOST_BYTES)


def _gzip(payload: bytes) -> bytes:
    return zlib.decompressobj(wbits=31).decompress(payload, _MOST_BYTES)


_UNPACKERS: dict[bytes, Callable[[bytes], bytes]] = {
    b"\x28\xb5\x2f\xfd": _zstd,
    b"\xfd7zXZ\0": _xz,
    b"\x1f\x8b": _gzip,
}
