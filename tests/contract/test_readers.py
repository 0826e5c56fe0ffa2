# SPDX-License-Identifier: MIT
"""Whoever reads files: small ones, which others may have written, are read by `autotune/reading.py` alone.

What the kernel provides (/proc, /sys, /dev) is read where it is needed, and what a process made for itself too. All
other reading is listed here with its reason.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "autotune"

READS = {
    "canary/strikes.py": "a descriptor of its own, opened without following links, and checked to be private",
    "commands/completion.py": "/proc",
    "commands/requirements.py": "/proc/sys and /sys",
    "digests.py": "cached files as large as they are, after a look at their kind",
    "durable.py": "/proc/self/status, /proc/locks; brings directories that it wrote to the disk",
    "lease/keeper.py": "/proc",
    "lease/owners.py": "/proc",
    "lease/standing.py": "/proc/stat",
    "lease/applied.py": "/proc/sys/kernel/random/boot_id",
    "knowledge/projects.py": "configuration of git, for what starts within milliseconds, by opening.py",
    "knowledge/versions.py": "sources and programs, for what starts within milliseconds, after a look at their kind",
    "machine/traits.py": "/sys and /proc/cpuinfo",
    "machine/vm/healing.py": "the compressed image of a kernel, as large as it is, of a set that was checked",
    "machine/vm/inherited.py": "/proc",
    "machine/vm/guest.py": "/sys and /dev of the micro-VM",
    "machine/vm/initramfs.py": "busybox and modules, as large as they are",
    "machine/vm/kernels.py": "the head of a kernel image, after a look at its kind",
    "machine/vm/microvm.py": "QEMU's messages, in a directory of its own",
    "machine/vm/writes.py": "what the workload wrote, as large as it is, after a look at its kind",
    "mcp/peers.py": "/proc/net/tcp",
    "mcp/worker.py": "a pipe of its own",
    "measure/counters.py": "/proc and /sys",
    "measure/descendants.py": "/proc",
    "measure/energy.py": "/sys/class/powercap",
    "measure/surroundings.py": "/proc and /sys",
    "measure/pristine.py": "/proc/self/mountinfo",
    "process.py": "/proc",
    "report/schema.py": "our own source",
    "schedext/holding/fence.py": "/proc and cgroups",
    "schedext/holding/guard.py": "/proc",
    "schedext/holding/holder.py": "/proc",
    "schedext/holding/progress.py": "/proc",
    "session/busy.py": "/proc",
    "schedext/kernel.py": "/sys/kernel/sched_ext",
    "schedext/programs/unprivileged.py": "/proc/self/uid_map",
    "tools/workload_files.py": "a descriptor of its own, opened by way of O_PATH",
    "verify/behaviour/crew.py": "/proc",
    "verify/behaviour/loads.py": "/proc",
    "observe/probe.py": "an object, by libbpf.py",
    "verify/submission.py": "an object, by libbpf.py",
    "views/steady.py": "standard input",
    "verify/judge_inside.py": "standard input, inside the sandbox",
    "wrapper/attendant.py": "/proc, and a pipe of its own",
    "wrapper/ending.py": "/proc",
    "wrapper/given.py": "/proc",
}
METHODS = {"read_text", "read_bytes"}
PARSERS = {("json", "load"), ("tomllib", "load")}


def readers(source: str) -> Iterator[int]:
    """Lines that open a file for reading, or parse one that is open."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        called = node.func
        if isinstance(called, ast.Attribute):
            owner = called.value.id if isinstance(called.value, ast.Name) else ""
            if (called.attr in METHODS and owner != "reading") or (owner, called.attr) in PARSERS:
                yield node.lineno
            elif called.attr in ("open", "fdopen") and owner in ("", "io", "codecs", "path", "gzip"):
                yield from _for_reading(node, 0)
        elif isinstance(called, ast.Name) and called.id == "open":
            yield from _for_reading(node, 1)


def _for_reading(node: ast.Call, position: int) -> Iterator[int]:
    given = [*node.args[position : position + 1], *(word.value for word in node.keywords if word.arg == "mode")]
    mode = given[0].value if given and isinstance(given[0], ast.Constant) else "r"
    if not set(str(mode)) & set("wax"):
        yield node.lineno


FILES = sorted(str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py"))


def test_small_files_are_read_in_one_way() -> None:
    others = [name for name in FILES if name != "reading.py" and name not in READS]
    assert [f"{name}:{line}" for name in others for line in readers((PACKAGE / name).read_text())] == []


def test_every_exception_still_reads_something() -> None:
    assert [name for name in READS if not list(readers((PACKAGE / name).read_text()))] == []


@pytest.mark.parametrize(
    "text",
    [
        "path.read_text()",
        "(place / 'x').read_bytes()",
        "open(path)",
        "open(path, 'rb')",
        "open(path, mode='r')",
        "path.open()",
        "json.load(file)",
        "tomllib.load(file)",
    ],
)
def test_reading_is_found_however_it_is_written(text: str) -> None:
    assert list(readers(text)) == [1]


@pytest.mark.parametrize("text", ["open(path, 'wb')", "reading.text(path)", "os.open(path, 0)", "json.loads(text)"])
def test_writing_and_parsing_are_no_reading(text: str) -> None:
    assert list(readers(text)) == []
