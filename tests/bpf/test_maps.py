# SPDX-License-Identifier: MIT
"""Maps of an object: what the loader makes before the verifier looks at a program."""

from __future__ import annotations

from pathlib import Path

import pytest

from autotune import resources
from autotune.machine.vm import kernels
from autotune.schedext.build import find_headers
from autotune.verify.compile import compile_source
from autotune.verify.submission import knobs_of, submission

pytestmark = pytest.mark.bpf
OURS = sorted(resources.bpf_source_dir().glob("at_*.bpf.c"))
GOOD = sorted((Path(__file__).parent / "good").glob("*.bpf.c"))


def a_map(number: int, entries: int = 4, more: str = "") -> str:
    return (
        f"struct {{ AT_MAP_UINT(type, {number}); AT_MAP_UINT(max_entries, {entries}); AT_MAP_TYPE(key, u32);"
        f' AT_MAP_TYPE(value, u64); {more} }} mine SEC(".maps");'
    )


def faults(text: str, name: str, place: Path) -> list[str]:
    """What is found in the object of a source that compiles."""
    kernel = next(iter(kernels.installed()), None)
    compiled = compile_source(text, name, find_headers(kernel.headers if kernel else None))
    assert compiled.content is not None, compiled.report
    path = place / f"{name}.o"
    path.write_bytes(compiled.content)
    library = str(kernel.libbpf) if kernel and kernel.libbpf else None
    given = submission(name=name, source=text)
    return [finding.text() for finding in knobs_of(given, path, library)[1]]


@pytest.mark.parametrize(
    ("declared", "why"),
    [
        (a_map(2, more="AT_MAP_UINT(pinning, 1);"), "the map mine is pinned"),
        (a_map(1), "of type 1"),
        (a_map(3).replace("u64", "u32"), "of type 3"),
        (a_map(31, 4096).replace("AT_MAP_TYPE(key, u32); AT_MAP_TYPE(value, u64);", ""), "of type 31"),
        (a_map(2, 64_000_000), "MiB, more than 32"),
        ("static volatile u64 mine[1 << 23];", "MiB, more than 32"),
    ],
    ids=["pinned", "hash", "programs", "user ring", "large", "large variable"],
)
def test_a_map_that_no_scheduler_needs_is_refused(declared: str, why: str, tmp_path: Path) -> None:
    text = (resources.bpf_source_dir() / "at_fifo.bpf.c").read_text()
    text = text.replace('#include "at.h"', f'#include "at.h"\n{declared}', 1)
    if "static volatile" in declared:
        text += '\nSEC("struct_ops/more") int more(u64 *ctx) { mine[ctx[0] & 3]++; return mine[1]; }\n'
    found = faults(text, "at_fifo", tmp_path)
    assert any(why in one for one in found), found


@pytest.mark.parametrize("path", [*OURS, *GOOD], ids=lambda path: path.name)
def test_maps_of_good_schedulers_pass(path: Path, tmp_path: Path) -> None:
    assert faults(path.read_text(), path.name.removesuffix(".bpf.c"), tmp_path) == []
