# SPDX-License-Identifier: MIT
"""Gate 2, after the compiler: checks the maps of the object.

The loader makes what an object describes before the verifier sees a line of it: a pinned map is shared with another
program or stays behind for ever, and every map takes its memory at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from autotune.schedext.libbpf import ObjectMap
from autotune.verify.findings import Finding

TYPES = {2: "array", 26: "struct_ops", 29: "task storage"}
"""Types of include/uapi/linux/bpf.h: variables of a source, its table of callbacks, AT_TASK_CTX. All others need
helpers that no scheduler may call."""
MOST_BYTES = 32 << 20
"""Memory of all maps together; that of a task's storage is counted once."""


def check(maps: Sequence[ObjectMap]) -> Iterator[Finding]:
    """Find what is wrong with the maps of an object."""
    for one in maps:
        if one.type not in TYPES:
            text = f"the map {one.name} is of type {one.type}, which is not for schedulers"
            yield Finding("object-map", text, "use variables, and AT_TASK_CTX for the state of tasks")
        if one.pinned:
            text = f"the map {one.name} is pinned: it would be another program's, or stay when the scheduler is gone"
            yield Finding("object-map", text, "leave `pinning` out")
    size_bytes = sum(one.size_bytes for one in maps)
    if size_bytes > MOST_BYTES:
        text = f"variables and maps take {size_bytes >> 20} MiB, more than {MOST_BYTES >> 20}"
        yield Finding("object-memory", text, "make them smaller")
