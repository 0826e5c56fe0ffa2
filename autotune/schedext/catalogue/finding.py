# SPDX-License-Identifier: MIT
"""Finds schedulers by what people want to do, in their own words.

People name programs and things where the catalogue names kinds of work: a compiler, not a build. `ALSO` has such words
for each tag of the catalogue; they are searched with the schedulers that have the tag, or name it as a use case.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from autotune.schedext.catalogue.catalog import Scheduler
from autotune.search import fusion
from autotune.search.documents import Searchable

ALSO: Mapping[str, str] = {
    "audio": "audio, sound, music, recording, JACK, PipeWire, VoIP, telephone calls, podcast",
    "batch": "batch jobs, total run time of long jobs, overnight work, rendering, encoding, transcoding, ffmpeg",
    "big and little cores": "hybrid CPU, performance cores, efficiency cores, Alder Lake, ARM big.LITTLE",
    "build": "compiling, compiler, linker, make, ninja, cargo, npm, webpack, Maven, gcc, clang, rustc, kernel build",
    "cgroup": "Docker, Kubernetes, pods, control groups, tenants, microservices, isolation, noisy neighbours",
    "chiplet": "Ryzen, Threadripper, EPYC, CCD, CCX, several L3 caches",
    "compression": "gzip, zstd, xz, tar, archive, backup, checksums",
    "database": "PostgreSQL, MySQL, MariaDB, SQLite, MongoDB, queries, OLTP",
    "equal jobs": "identical work items, work queue, first in first out, in the order of arrival",
    "few long jobs": "stragglers, one job that takes longest, critical path, longest chain first",
    "fork-heavy": "many short processes, fork and exec, shell scripts, configure",
    "game": "games, frames per second, dropped frames, frame times, stutter, Steam, Wine, Proton, shooter",
    "high frequencies": "turbo, boost clock, mostly idle, single-threaded bursts, warm cores",
    "hpc": "scientific computing, numerical simulation, MPI, Fortran, weather model, compute cluster, number crunching",
    "interactive": "desktop, browser, editor, typing, mouse pointer, responsive, snappy, lag, freezes",
    "io": "tasks that wait for disk or network and come back",
    "laptop": "laptop, battery, saving power, energy, heat, fan noise",
    "latency": "low latency, short wake-up times, response time, tail latency, p99",
    "learning": "understand how schedulers work, tutorial, beginner, simplest, teaching, example code",
    "machine learning": "PyTorch, TensorFlow, training, inference, neural network, GPU, data loader, language model",
    "multimedia": "video, streaming, video conference, playback without dropouts, film",
    "nice levels": "priorities, nice, renice, fair share, proportional share",
    "numa": "NUMA nodes, several sockets, large machines with many cores",
    "race": "concurrency bugs, race conditions, deadlocks, flaky tests",
    "server": "web server, requests per second, daemons, services, nginx, Apache, memcached, Redis, Java",
    "beside batch work": "web server beside batch jobs, response time next to a backup job",
    "test suite": "pytest, cargo test, ctest, unit tests, CI job, one slow test",
    "throughput": "throughput, all cores busy, work per hour",
    "virtual machine": "KVM, QEMU, guests, hypervisor, VirtualBox",
}
"""By tag, or by words of a use case: what people say for it."""


def document(one: Scheduler) -> Searchable:
    """Return what is searched of a scheduler. Its limits are left out: who asks for latency does not want what says
    "not for latency"."""
    named = one.name.replace("_", " ").replace(":", " ")
    heads = (named, one.description, *one.use_cases, *_also(one))
    return Searchable(one.name, heads, (one.algorithm, one.characteristics, one.performance_profile))


def _also(one: Scheduler) -> Iterator[str]:
    """Yield what people say for what a scheduler is for, a field each."""
    cases = " ; ".join(one.use_cases).casefold()
    for name, texts in ALSO.items():
        if name in one.tags or re.search(rf"\b{re.escape(name)}", cases):
            yield from texts.split(", ")


def found(schedulers: Sequence[Scheduler], query: str, most: int) -> list[Scheduler]:
    """Return the schedulers that fit a query, best first."""
    by_name = {one.name: one for one in schedulers}
    return [by_name[name] for name in fusion.search([document(one) for one in schedulers], query, most)]
