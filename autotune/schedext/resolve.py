# SPDX-License-Identifier: MIT
"""From a candidate to what a machine can attach: looks it up, builds its object, checks its knobs."""

from __future__ import annotations

from pathlib import Path

from autotune import resources
from autotune.errors import BuildError
from autotune.records import AttachSpec, Candidate
from autotune.schedext import custom
from autotune.schedext.build import build
from autotune.schedext.catalog import Catalog


class CatalogResolver:
    """Builds into `objects` (None: the user's cache). `headers` is a directory with the kernel's types."""

    def __init__(self, headers: str | None, catalog: Catalog | None = None, objects: Path | None = None) -> None:
        self._headers = Path(headers) if headers else None
        self._catalog = catalog or Catalog.load()
        self._objects = objects

    def __call__(self, candidate: Candidate) -> AttachSpec:
        """Raises UsageError for a candidate that cannot be, BuildError when it cannot be built, AttachError for a
        generated one that is not what passed the gates."""
        self._catalog.validate(candidate)
        scheduler = self._catalog.get(candidate.scheduler)
        if scheduler.kind != "bpf":
            raise BuildError(f"{scheduler.name} is a program of its own, which is not supported yet")
        if scheduler.is_generated:
            return custom.attach_spec(candidate, scheduler)
        source = resources.bpf_source_dir() / scheduler.source
        built = build(source, headers=self._headers, cache=self._objects)
        return self._catalog.attach_spec(candidate, built.object_path)
