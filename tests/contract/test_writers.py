# SPDX-License-Identifier: MIT
"""Whoever writes files: on a disk that is really full nothing is left behind, and what was there stays."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]

FILLS = """
import contextlib, errno, json, os, sys
from unittest import mock
from pathlib import Path
sys.path.insert(0, sys.argv[1])
disk = Path(sys.argv[2])
os.environ.update(XDG_STATE_HOME=str(disk / "state"), XDG_CACHE_HOME=str(disk / "cache"))

from autotune import durable
from autotune.canary.strikes import Strikes
from autotune.errors import AutotuneError
from autotune.lease import applied
from autotune.machine.vm import microvm, writes
from autotune.machine.vm.kvm import KvmResults
from autotune.records import Seal
from autotune.schedext import build, seal
from autotune.schedext.catalogue import custom
from autotune.schedext.catalogue.catalog import Catalog, Scheduler
from autotune.schedext.programs import options
from autotune.schedext.programs.binaries import Binary
from autotune.views import exports

def strike(n): Strikes(disk / "canary.json", now=lambda: n).strike("a" * 64, "late", "6.18")
def keep(n): applied._write(applied.Applied(n, 1, "boot", "at_fifo", "at_fifo", 1.0, n))
def export(n): exports.write(disk / "report.json", str(n) * 5000, "--json")
def boots(n): KvmResults(disk / "kvm.json").remember("6.18", f"/qemu-{n}", True)
def program(n):
    scheduler = next(s for s in Catalog.load().schedulers if s.kind == "binary" and s.program is not None)
    binary = Binary(Path("/usr/bin/scx_x"), "path", n, n)
    options._CachedOutput(binary, scheduler, disk / "options").put("help", str(n) * 5000)
def scheduler(n):
    token = Seal("mine", "s" * 64, "o" * 64, "clang", "1", "6.18", "")
    first = json.loads(Catalog.load().schedulers[0].model_dump_json())
    entry = Scheduler.model_validate({**first, "name": "custom:mine"})
    with custom.reserved("mine"):
        custom.keep("mine", str(n) * 5000, b"object", entry, token, [])
def rejected(n): custom.keep_rejected("mine", str(n) * 5000, [])
def header(n):
    build._output = lambda _argv: "sched_ext_ops" + str(n) * 5000
    with mock.patch.object(Path, "is_file", lambda _path: False):  # so that it is made anew
        build._dump_headers()
def console(n): microvm.MicroVM._keep_console(None, str(n) * 5000)
def written_inside(n):
    upper = Path(sys.argv[3]) / "upper"
    upper.mkdir(exist_ok=True)
    (upper / "made").write_text(str(n) * 5000)
    (disk / "kept").mkdir(exist_ok=True)
    if writes.copy_writes(upper, disk / "kept").problems:
        raise OSError("on purpose")
def key(n):
    if n == 1:
        seal.key_path().parent.mkdir(parents=True)
    else:
        seal._key(make=True)

def tree():
    return {str(p.relative_to(disk)): p.read_bytes() if p.is_file() else None for p in sorted(disk.rglob("*"))
            if p.name != "filler"}

def fill():
    with contextlib.suppress(OSError), open(disk / "filler", "wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))

writer = globals()[sys.argv[4]]
writer(1)
before, errors = tree(), []
fill()
for n in (2, 3, 4):
    try:
        writer(n)
        errors.append(None)
    except (AutotuneError, OSError) as error:
        errors.append(str(error))
after = tree()
os.unlink(disk / "filler")
print(json.dumps({
    "errors": errors,
    "changed": sorted(name for name in {*before, *after} if before.get(name) != after.get(name)),
    "drafts": [name for name in after if "draft" in name],
}))
"""

SILENT = ("boots", "program", "rejected", "console")
"""What they write only saves time or helps people: a full disk costs nothing else."""
LOUD = ("strike", "keep", "export", "scheduler", "header", "written_inside")


def filled(tmp_path: Path, writer: str) -> dict[str, Any]:
    """What became of three writes to a file system of 256 KiB, in a mount namespace of its own, once it was full."""
    disk, scratch = tmp_path / "disk", tmp_path / "scratch"
    disk.mkdir()
    scratch.mkdir()
    (scratch / "fills.py").write_text(FILLS)
    script = 'mount -t tmpfs -o size=256k none "$3" && exec "$0" "$1" "$2" "$3" "$4" "$5"'
    argv = [sys.executable, str(scratch / "fills.py"), str(ROOT), str(disk), str(scratch), writer]
    done = subprocess.run(["unshare", "-m", "sh", "-c", script, *argv], capture_output=True, text=True, check=False)
    if "mount:" in done.stderr or "unshare:" in done.stderr:
        pytest.skip(f"no file system of our own can be mounted here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


@pytest.mark.parametrize("writer", [*LOUD, *SILENT])
@pytest.mark.slow
def test_a_full_disk_costs_no_old_content_and_leaves_no_draft(tmp_path: Path, writer: str) -> None:
    seen = filled(tmp_path, writer)
    assert seen["drafts"] == []
    assert seen["changed"] == []
    if writer in SILENT:
        assert seen["errors"] == [None] * 3
    elif writer == "written_inside":
        assert seen["errors"] == ["on purpose"] * 3
    else:
        assert all("No space left" in error and "free some space on the disk of" in error for error in seen["errors"])


def test_a_full_disk_leaves_no_half_key(tmp_path: Path) -> None:
    seen = filled(tmp_path, "key")
    assert seen["drafts"] == []
    assert seen["changed"] == []
    assert all("No space left" in error and "free some space" in error for error in seen["errors"])
