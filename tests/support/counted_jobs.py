# SPDX-License-Identifier: MIT
"""Stand-ins for the programs of a batch, which run the real ones and note each process: what it was, when the kernel
made it, and its CPU time."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from scripts.longtail.batch import Batch

SHIM = """#!{python} -SE
import json, os, sys
started = int(open("/proc/self/stat").read().rsplit(")", 1)[1].split()[19])
pid = os.posix_spawn({real!r}, [{real!r}, *sys.argv[1:]], os.environ)
_, status, usage = os.wait4(pid, 0)
line = dict(argv=[{name!r}, *sys.argv[1:]], started=started, cpu_s=usage.ru_utime + usage.ru_stime, nice=os.nice(0))
with open({log!r}, "a") as log:
    log.write(json.dumps(line) + "\\n")
sys.exit(os.waitstatus_to_exitcode(status))
"""


@dataclass(frozen=True)
class CountedJob:
    """One process. `started` is in ticks of the kernel: those that were forked later never have less."""

    argv: list[str]
    started: int
    cpu_s: float
    nice: int


def run_counted(batch: Batch, scratch: Path, *words: str) -> list[CountedJob]:
    """Prepare and run a batch, natively, with `words` for its start script; return its processes."""
    log, programs = scratch / "log", scratch / "programs"
    log.unlink(missing_ok=True)
    shutil.rmtree(programs, ignore_errors=True)
    programs.mkdir()
    own = batch.directory / batch.kind.argv(batch.long)[0]  # a program of the batch's own, as ./checks
    real = own.with_suffix(".real")
    if own.is_file():
        own.rename(real)
        _shim(own, real, own.name, log)
    else:
        name = own.name
        _shim(programs / name, Path(shutil.which(name) or name), name, log)
    env = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
    try:
        for command in (batch.prepare, " ".join((batch.start, *words))):
            subprocess.run(["sh", "-c", command], cwd=batch.directory, env=env, check=True, timeout=120)
    finally:
        if real.is_file():
            real.replace(own)
    return [CountedJob(**json.loads(line)) for line in log.read_text().splitlines()]


def _shim(place: Path, real: Path, name: str, log: Path) -> None:
    place.write_text(SHIM.format(python=sys.executable, real=str(real), name=name, log=str(log)))
    place.chmod(0o755)
