# SPDX-License-Identifier: MIT
"""A batch on the disk: its inputs, made once into a cache, and the scripts that run it.

A batch's directory is whole or not there. `prepare` and `start` in it are shell scripts, run from inside it: the first
empties `work`, where the jobs write, the second starts all jobs at once and waits for them. `start -20` gives the long
job that niceness.
"""

from __future__ import annotations

import fcntl
import hashlib
import inspect
import os
import random
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from autotune import durable, resources

from .analytics import HotKey, Logs, ViralProduct
from .archives import Checksums, Compression, GitAdd
from .kind import NICENESS, WORK, Job, Kind
from .suites import TestSuite, Transcode

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (Compression(), TestSuite(), Checksums(), GitAdd(), Transcode(), HotKey(), Logs(), ViralProduct())
}


@dataclass(frozen=True)
class Shape:
    """How large a batch is. `scale` is the length of a short job's input: 1 for runs of 4 to 8 s in the emulated
    micro-VM with 2 CPUs. The long job takes `long` times a short one's CPU time there. The long job starts last, or
    somewhere if there is a seed to `shuffle` by."""

    jobs: int = 40
    long: float = 10.0
    scale: float = 1.0
    shuffle: int | None = None

    def __post_init__(self) -> None:
        if not (2 <= self.jobs <= 1000 and 1.0 <= self.long <= 1000.0 and 0.001 <= self.scale <= 1000.0):
            raise ValueError("a batch has 2 to 1000 jobs, a long one of 1 to 1000 short ones, a scale of 0.001 to 1000")


@dataclass(frozen=True)
class Batch:
    """A batch that is there. The commands are run in its directory."""

    kind: Kind
    directory: Path
    jobs: tuple[Job, ...]
    """In the order in which they start."""

    start: str = "sh start"
    prepare: str = "sh prepare"
    clean: str = f"rm -rf {WORK}"

    @property
    def long(self) -> Job:
        return next(job for job in self.jobs if job.is_long)


def make(name: str, shape: Shape, under: Path | None = None) -> Batch:
    """Return a batch, made if it is not there, in a directory of its own under `under` (default: the cache). Raises
    ValueError when there is no such batch, RuntimeError when a program that it needs is missing, OSError,
    subprocess.CalledProcessError."""
    if name not in KINDS:
        raise ValueError(f"no batch {name}; there are {', '.join(KINDS)}")
    kind = KINDS[name]
    missing = [tool for tool in kind.tools if shutil.which(tool) is None]
    if missing:
        raise RuntimeError(f"{name} needs {' and '.join(missing)}: scripts/test installs what the benchmarks need")
    directory = (under or resources.cache_dir() / "batches") / f"{name}-{_mark(kind, shape)}"
    jobs = _jobs(kind, shape)
    with _alone(directory):
        if not directory.is_dir():
            _write(kind, jobs, directory)
    return Batch(kind, directory, jobs)


def _mark(kind: Kind, shape: Shape) -> str:
    """Return what tells batches of one kind apart. What other code made, with other sizes, is not used."""
    order = "" if shape.shuffle is None else f"-{shape.shuffle}"
    return f"{shape.jobs}x{shape.long:g}x{shape.scale:g}{order}-{_code(type(kind))}"


def _code(kind: type[Kind]) -> str:
    """Return a digest of the code that makes a batch."""
    files = [Path(inspect.getfile(one)) for one in (kind, Kind, Batch)]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:8]


def _jobs(kind: Kind, shape: Shape) -> tuple[Job, ...]:
    """Return the jobs in the order of their starts."""
    jobs = [Job(kind.short_name(number), shape.scale, False) for number in range(1, shape.jobs)]
    jobs.append(Job(kind.long_name, _long_units(kind, shape), True))
    if shape.shuffle is not None:
        random.Random(shape.shuffle).shuffle(jobs)
    return tuple(jobs)


def _long_units(kind: Kind, shape: Shape) -> float:
    """Return the length of the long job's input: starting its program takes no longer than a short job's."""
    growing = 1.0 - kind.start_up
    short = kind.start_up + growing * shape.scale
    return (shape.long * short - kind.start_up) / growing


def _write(kind: Kind, jobs: Sequence[Job], directory: Path) -> None:
    """Make a batch's directory, whole or not at all."""
    draft = directory.with_name(f"{durable.DRAFT_PREFIX}{directory.name}")
    shutil.rmtree(draft, ignore_errors=True)  # a killed process left it
    draft.mkdir()
    try:
        kind.shared(draft)
        for job in jobs:
            kind.write(draft, job, random.Random(f"{kind.name} {job.name}"))
        (draft / "prepare").write_text(f"set -e\nrm -rf {WORK}\nmkdir {WORK}\n{kind.ready(jobs)}\n")
        (draft / "start").write_text(f"{NICENESS}=$1\n{kind.start(jobs)}\n")
        os.rename(draft, directory)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Keep other processes from making the same batch meanwhile."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    with (directory.parent / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
