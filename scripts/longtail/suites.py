# SPDX-License-Identifier: MIT
"""Batches of programs that were built or made first: a test suite under ctest, and videos."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from random import Random

from .kind import NICENESS, WORK, Job, Kind

PROGRAM = r"""/* Generated: the tests of a sorted container. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned long state;

static unsigned next_value(void)
{
	state = state * 6364136223846793005ul + 1442695040888963407ul;
	return state >> 40;
}

static int compare(const void *one, const void *other)
{
	unsigned a = *(const unsigned *)one, b = *(const unsigned *)other;

	return a < b ? -1 : a > b;
}

/* Fill it, sort it, and find again all that was put in. */
static int round_fails(unsigned *values, unsigned *sorted, unsigned size)
{
	for (unsigned i = 0; i < size; i++)
		values[i] = next_value();
	memcpy(sorted, values, size * sizeof(*values));
	qsort(sorted, size, sizeof(*sorted), compare);
	for (unsigned i = 0; i < size; i++)
		if (!bsearch(&values[i], sorted, size, sizeof(*sorted), compare))
			return 1;
	return 0;
}

int main(int count, char **words)
{
	static unsigned values[2000], sorted[2000];
	FILE *fixture = count > 1 ? fopen(words[1], "r") : NULL;
	unsigned rounds;

	if (!fixture || fscanf(fixture, "%u %lu", &rounds, &state) != 2)
		return 2;
	while (rounds--)
		if (round_fails(values, sorted, 2000))
			return 1;
	return 0;
}
"""


class TestSuite(Kind):
    """Run a suite of unit tests and one integration test, with as many jobs as tests."""

    name = "ctest_suite"
    summary = "ctest of unit tests and one integration test, all at once"
    tools = ("ctest", "cc")
    start_up = 0.17
    long_name = "integration-all.fixture"
    ROUNDS = 115

    def short_name(self, number: int) -> str:
        return f"unit-{number:02}.fixture"

    def shared(self, directory: Path) -> None:
        source = directory / "checks.c"
        source.write_text(PROGRAM)
        subprocess.run(["cc", "-O1", "-o", directory / "checks", source], check=True)

    def write(self, directory: Path, job: Job, rng: Random) -> None:
        (directory / job.name).write_text(f"{max(1, round(self.ROUNDS * job.units))} {rng.getrandbits(32)}\n")

    def argv(self, job: Job) -> list[str]:
        return ["./checks", job.name]

    def ready(self, jobs: Sequence[Job]) -> str:
        """The tests, by cost: ctest starts the one with the highest first. Without costs it would learn its own order
        from the run before."""
        return f"cat > {WORK}/CTestTestfile.cmake <<'END'\n{_listed(jobs, self)}END"

    def start(self, jobs: Sequence[Job]) -> str:
        return f"export {NICENESS}\nexec ctest --test-dir {WORK} -j {len(jobs)} --output-on-failure > {WORK}/log"


def _listed(jobs: Sequence[Job], kind: Kind) -> str:
    """Return the file that tells ctest its tests."""
    tests = [_test(job, kind, cost) for cost, job in zip(range(len(jobs), 0, -1), jobs, strict=True)]
    nicer = f'set(nicer)\nif(NOT "$ENV{{{NICENESS}}}" STREQUAL "")\n  set(nicer nice -n $ENV{{{NICENESS}}})\nendif()\n'
    return nicer + "".join(tests)


def _test(job: Job, kind: Kind, cost: int) -> str:
    name = Path(job.name).stem
    words = " ".join([*(["${nicer}"] if job.is_long else []), *kind.argv(job)])
    return f"add_test({name} {words})\nset_tests_properties({name} PROPERTIES WORKING_DIRECTORY .. COST {cost})\n"


class Transcode(Kind):
    """Transcode short clips, and one long video."""

    name = "video_transcode"
    summary = "ffmpeg transcodes short clips and one long video, a thread each"
    tools = ("ffmpeg",)
    start_up = 0.8
    long_name = "lecture.mkv"
    FRAMES = 180
    SIZE = "160x120"

    def short_name(self, number: int) -> str:
        return f"clip-{number:02}.mkv"

    def write(self, directory: Path, job: Job, rng: Random) -> None:
        frames, noise = max(1, round(self.FRAMES * job.units)), f"noise=alls=8:all_seed={rng.randrange(1 << 20)}"
        source = [
            "-f",
            "lavfi",
            "-i",
            f"testsrc2=size={self.SIZE}:rate=25",
            "-vf",
            noise,
            "-frames:v",
            str(frames),
            *EXACT,
        ]
        subprocess.run([*FFMPEG, *source, "-c:v", "mpeg4", "-q:v", "5", directory / job.name], check=True)

    def argv(self, job: Job) -> list[str]:
        to = f"{WORK}/{Path(job.name).stem}.mp4"
        return [*FFMPEG, *ONE_THREAD, "-i", job.name, "-c:v", "mpeg4", "-q:v", "8", *ONE_THREAD, to]

    has_output = False


FFMPEG = ("ffmpeg", "-nostdin", "-loglevel", "error", "-y")
ONE_THREAD = ("-threads", "1")
EXACT = (*ONE_THREAD, "-fflags", "+bitexact", "-flags:v", "+bitexact")
"""The same bytes every time: neither versions nor random identifiers."""
