# SPDX-License-Identifier: MIT
"""Batches over files as they are: compression, checksums, adding to git."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from random import Random

from .kind import WORK, Job, Kind

FILES_OF_A_TREE = 4


class Compression(Kind):
    """Compress lists of numbers, one of them long."""

    name = "compression"
    summary = "gzip -9 of lists of numbers, one of them long"
    tools = ("gzip",)
    start_up = 0.14
    long_name = "numbers-all.txt"
    LINES = 80_000

    def short_name(self, number: int) -> str:
        return f"numbers-{number:02}.txt"

    def write(self, directory: Path, job: Job, rng: Random) -> None:
        first, count = rng.randrange(100_000, 900_000), round(self.LINES * job.units)
        (directory / job.name).write_text("".join(f"{number}\n" for number in range(first, first + count)))

    def argv(self, job: Job) -> list[str]:
        return ["gzip", "-9", "-c", job.name]


class Checksums(Kind):
    """Take checksums of small trees, and of one large image."""

    name = "file_checksum"
    summary = "sha256sum of small trees and of one large file"
    tools = ("sha256sum",)
    start_up = 0.2
    long_name = "backup.img"
    BYTES = 11_000_000

    def short_name(self, number: int) -> str:
        return f"photos-{number:02}"

    def write(self, directory: Path, job: Job, rng: Random) -> None:
        place, size = directory / job.name, round(self.BYTES * job.units)
        if job.is_long:
            place.write_bytes(rng.randbytes(size))
            return
        place.mkdir()
        for number in range(FILES_OF_A_TREE):
            common = directory / f"{number}.raw"  # linked, not copied, to save the disk
            if not common.exists():
                common.write_bytes(rng.randbytes(size // FILES_OF_A_TREE))
            os.link(common, place / common.name)

    def argv(self, job: Job) -> list[str]:
        names = [job.name] if job.is_long else [f"{job.name}/{number}.raw" for number in range(FILES_OF_A_TREE)]
        return ["sha256sum", *names]


class GitAdd(Kind):
    """Add directories to repositories, one of them with many files."""

    name = "git_add_different"
    summary = "git add of directories, one of them with many files"
    tools = ("git",)
    start_up = 0.38
    long_name = "monorepo"
    FILES = 48
    FILE_BYTES = 16_000

    def short_name(self, number: int) -> str:
        return f"library-{number:02}"

    def write(self, directory: Path, job: Job, rng: Random) -> None:
        place = directory / job.name
        place.mkdir()
        for number in range(max(1, round(self.FILES * job.units))):
            (place / f"source-{number:04}.c").write_text(_source(rng, self.FILE_BYTES))

    def argv(self, job: Job) -> list[str]:
        return ["git", f"--git-dir={WORK}/{job.name}.git", f"--work-tree={job.name}", "add", "--all"]

    has_output = False

    def ready(self, jobs: Sequence[Job]) -> str:
        """An empty repository is two directories and a file; `git init` makes more, slowly."""
        places = [f"{WORK}/{job.name}.git" for job in jobs]
        made = " ".join(f"{place}/objects {place}/refs" for place in places)
        heads = "\n".join(f"echo 'ref: refs/heads/main' > {place}/HEAD" for place in places)
        return f"mkdir -p {made}\n{heads}"


def _source(rng: Random, size: int) -> str:
    lines, total = [], 0
    while total < size:
        lines.append(f"static const long value_{rng.getrandbits(32):08x} = {rng.getrandbits(48)};\n")
        total += len(lines[-1])
    return "".join(lines)
