# SPDX-License-Identifier: MIT
"""Our own schedulers, and the faulty ones of tests/bpf/faulty, whose heads name the gate and rule that stop them."""

from __future__ import annotations

import re
from pathlib import Path

from autotune import resources

OURS = ("at_fifo", "at_vtime", "at_batch", "at_guided", "at_interactive")
FAULTY = Path(__file__).parents[1] / "bpf" / "faulty"
HEAD = re.compile(r"/\* fault: .*; gate: (\w+); rule: ([\w-]+) \*/")


def stopped_by(gate: str) -> list[tuple[str, str]]:
    """Names of the schedulers that this gate is to stop, each with the rule."""
    found = []
    for path in sorted(FAULTY.glob("*.bpf.c")):
        head = HEAD.search(path.read_text())
        assert head is not None, f"{path.name} does not say what is wrong with it"
        if head[1] == gate:
            found.append((path.name.removesuffix(".bpf.c"), head[2]))
    return found


def source(name: str) -> Path:
    directory = resources.bpf_source_dir() if name in OURS else FAULTY
    return directory / f"{name}.bpf.c"
