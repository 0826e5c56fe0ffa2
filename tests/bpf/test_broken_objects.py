# SPDX-License-Identifier: MIT
"""Objects whose headers, section names or BTF are broken: an error that says so, never a crash."""

from __future__ import annotations

import os
import random
import struct
from pathlib import Path

import pytest

from autotune import resources
from autotune.errors import AutotuneError
from autotune.machine.vm import kernels
from autotune.schedext import libbpf
from autotune.schedext.build import build

pytestmark = pytest.mark.bpf
OPENED, REFUSED, RAISED = 0, 1, 2


@pytest.fixture(scope="module")
def content() -> bytes:
    fetched = next(iter(kernels.installed()), None)
    source = resources.bpf_source_dir() / "at_vtime.bpf.c"
    return build(source, headers=fetched.headers if fetched else None).object_path.read_bytes()


def opened(path: Path) -> int:
    """How opening ends in a process of its own; a negative number is a signal."""
    fetched = next(iter(kernels.installed()), None)
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        try:
            found = libbpf.Libbpf(str(fetched.libbpf) if fetched and fetched.libbpf else None).open(str(path))
            found.knobs()
            found.ops_name()
            found.close()
            os._exit(OPENED)
        except AutotuneError:
            os._exit(REFUSED)
        except BaseException:
            os._exit(RAISED)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def mutated(content: bytes, rng: random.Random) -> bytes:
    """A few bytes changed where they matter most: the header, the table of sections, anywhere; sometimes cut off."""
    sections_at, count = struct.unpack_from("<Q", content, 0x28)[0], struct.unpack_from("<H", content, 0x3C)[0]
    data = bytearray(content)
    for _ in range(rng.randint(1, 8)):
        place = rng.choice([rng.randrange(64), sections_at + rng.randrange(64 * count), rng.randrange(len(data) - 1)])
        data[place] = rng.choice([0, 255, rng.randrange(256)])
    return bytes(data[: rng.randrange(len(data))] if rng.random() < 0.2 else data)


def test_whatever_is_broken_it_is_an_error_or_harmless(content: bytes, tmp_path: Path) -> None:
    path, rng = tmp_path / "broken.o", random.Random(4)
    seen = set()
    for _ in range(80):
        path.write_bytes(mutated(content, rng))
        seen.add(opened(path))
    assert seen == {OPENED, REFUSED}


@pytest.mark.parametrize("renamed", [b".struct_ops.link", b".BTF", b".rodata", b".maps"])
def test_an_object_without_one_of_its_sections_is_refused_or_has_no_knobs(
    content: bytes, tmp_path: Path, renamed: bytes
) -> None:
    path = tmp_path / "renamed.o"
    path.write_bytes(content.replace(renamed + b"\0", b"x" * len(renamed) + b"\0"))
    assert opened(path) in (OPENED, REFUSED)


def test_the_content_that_was_hashed_is_what_is_opened(content: bytes, tmp_path: Path) -> None:
    import hashlib

    path = tmp_path / "at_vtime.o"
    path.write_bytes(content)
    fetched = next(iter(kernels.installed()), None)
    library = libbpf.Libbpf(str(fetched.libbpf) if fetched and fetched.libbpf else None)
    found = library.open(str(path), hashlib.sha256(content).hexdigest())
    assert (found.ops_name(), "slice_us" in [knob.name for knob in found.knobs()]) == ("at_vtime", True)
    found.close()
    path.write_bytes(content[:-1] + b"x")
    with pytest.raises(AutotuneError, match="is not the object that was checked"):
        library.open(str(path), hashlib.sha256(content).hexdigest())
