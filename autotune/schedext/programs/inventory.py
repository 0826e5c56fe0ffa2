# SPDX-License-Identifier: MIT
"""Compares the catalogue with this machine: the installed schedulers, their versions, and whether they match their
entries."""

from __future__ import annotations

import concurrent.futures
import dataclasses
from collections.abc import Iterable
from typing import Any

from autotune.errors import AutotuneError
from autotune.frozen import dataclass
from autotune.schedext.catalogue.catalog import Scheduler
from autotune.schedext.programs import binaries, options
from autotune.schedext.programs.binaries import Binary, Places
from autotune.schedext.programs.drift import Difference, drift

BUILT_IN, GENERATED, ABSENT, UNUSABLE = "built in", "generated", "", "unusable"
LIST_ANSWER_S = 2.0
"""How long a program may take to print its version for a listing. scx schedulers take milliseconds."""
_AT_ONCE = 32


@dataclass(frozen=True)
class InventoryEntry:
    """A scheduler and its program here. `found`: where it comes from; `get`: the command that installs it, empty when
    it is installed; `problem`: why the installed one cannot be used."""

    scheduler: Scheduler
    found: str
    version: str = ""
    get: str = ""
    binary: Binary | None = None
    problem: AutotuneError | None = None

    def as_json(self) -> dict[str, Any]:
        here = {
            "found": self.found or None,
            "version": self.version or None,
            "path": str(self.binary.path) if self.binary else None,
            "get": self.get or None,
            "problem": self.problem.message if self.problem else None,
        }
        return {**self.scheduler.model_dump(mode="json"), "here": here}


def entries(schedulers: Iterable[Scheduler], *, places: Places | None = None) -> list[InventoryEntry]:
    """Return the entries in the order given. Programs whose version is unknown are run side by side for it."""
    places = places or binaries.here()
    with concurrent.futures.ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(lambda one: _entry(one, places), schedulers))


def _entry(scheduler: Scheduler, places: Places) -> InventoryEntry:
    if scheduler.is_generated:
        return InventoryEntry(scheduler, GENERATED)
    if scheduler.kind == "bpf":
        return InventoryEntry(scheduler, BUILT_IN)
    get = binaries.how_to_get(scheduler)
    try:
        binary = binaries.find(scheduler, places=places)
        if binary is None:
            return InventoryEntry(scheduler, ABSENT, get=get)
        version = options.version(binary, scheduler, answer_s=LIST_ANSWER_S)
        return InventoryEntry(scheduler, binary.origin, version or "unknown", binary=binary)
    except AutotuneError as problem:
        return InventoryEntry(scheduler, UNUSABLE, get=get, problem=problem)


# --- against the catalogue -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Compared:
    """The differences between a found program and the catalogue. `is_queried` is False where `--help` must not be
    run."""

    scheduler: Scheduler
    binary: Binary | None
    version: str | None = None
    is_queried: bool = True
    differences: tuple[Difference, ...] = ()
    problem: AutotuneError | None = None

    def headline(self) -> str:
        name = self.scheduler.name
        if self.problem is not None:
            return f"{name}: {self.problem}"
        if self.binary is None:
            return f"{name}: not installed ({binaries.how_to_get(self.scheduler)})"
        believed = f", the catalogue describes {self.scheduler.version}" if self.scheduler.version else ""
        whole = f"{name} {self.version or 'of unknown version'} ({self.binary.path}){believed}"
        if not self.is_queried:
            return f"{whole}: its options must not be queried, so nothing was compared"
        count = len(self.differences)
        return f"{whole}: {'no differences' if not count else '1 difference' if count == 1 else f'{count} differences'}"

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.scheduler.name,
            "found": self.binary.origin if self.binary else None,
            "path": str(self.binary.path) if self.binary else None,
            "version": self.version,
            "catalogue_version": self.scheduler.version,
            "compared": self.binary is not None and self.is_queried and self.problem is None,
            "differences": [dataclasses.asdict(one) for one in self.differences],
            "problem": self.problem.message if self.problem else None,
        }


def compare(scheduler: Scheduler, *, places: Places | None = None) -> Compared:
    """Compare an installed program with the catalogue."""
    binary = None
    try:
        binary = binaries.find(scheduler, places=places)
        if binary is None:
            return Compared(scheduler, None)
        found = options.options_of(binary, scheduler)
    except AutotuneError as problem:
        return Compared(scheduler, binary, problem=problem)
    if found.options is None:
        return Compared(scheduler, binary, found.version, is_queried=False)
    return Compared(scheduler, binary, found.version, differences=tuple(drift(scheduler, found.options)))
