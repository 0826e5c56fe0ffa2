# SPDX-License-Identifier: MIT
"""Turns a candidate into an AttachSpec: looks it up, builds its object or finds its program, checks its knobs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import autotune
from autotune import digests, resources
from autotune.deadline import Deadline, unlimited
from autotune.errors import AutotuneError
from autotune.knowledge import versions
from autotune.records import AttachSpec, Candidate, ProgramSpec
from autotune.schedext.build import COMPILE_S, build
from autotune.schedext.catalogue import custom
from autotune.schedext.catalogue.catalog import Catalog, Scheduler
from autotune.schedext.programs import binaries, options
from autotune.schedext.programs.binaries import Places


class CatalogResolver:
    """Resolves candidates. Objects are built into `objects` (None: the user's cache) with the kernel's types from
    `headers`; programs are searched in `places` (None: those of this machine). `notify` gets a text for each cached
    object that was damaged. The compiler ends at the `deadline`."""

    def __init__(
        self,
        headers: str | None,
        catalog: Catalog | None = None,
        objects: Path | None = None,
        places: Places | None = None,
        notify: Callable[[str], None] = lambda _text: None,
        deadline: Deadline | None = None,
    ) -> None:
        self._deadline = deadline or unlimited()
        self._headers = Path(headers) if headers else None
        self._catalog = catalog or Catalog.load()
        self._objects = objects
        self._places = places
        self._notify = notify

    def __call__(self, candidate: Candidate) -> AttachSpec:
        """Resolve a candidate. Raises UsageError for an impossible one, BuildError when it does not build,
        AutotuneError for a program that is missing or unusable, AttachError for a generated one that differs from what
        passed the gates."""
        self._catalog.validate(candidate)
        return replace(self._resolved(candidate), candidate=candidate.alone.key)

    def _resolved(self, candidate: Candidate) -> AttachSpec:
        scheduler = self._catalog.get(candidate.scheduler)
        if scheduler.kind == "binary":
            return program_spec(candidate, scheduler, self._places)
        if scheduler.is_generated:
            spec = custom.attach_spec(candidate, scheduler)
            version = spec.seal.source_sha256[:12] if spec.seal else ""
            digest = versions.of_file(spec.object_path)
            return replace(spec, version=version, digest=digest, digest_of=spec.object_path if digest else "")
        source = resources.bpf_source_dir() / scheduler.source
        limit_s = self._deadline.bound(COMPILE_S)
        built = build(source, headers=self._headers, cache=self._objects, limit_s=limit_s)
        if built.note:
            self._notify(built.note)
        spec = self._catalog.attach_spec(candidate, built.object_path)
        digest = versions.of_source(str(source))
        return replace(spec, version=autotune.__version__, digest=digest, digest_of=str(source) if digest else "")


def program_spec(candidate: Candidate, scheduler: Scheduler, places: Places | None = None) -> AttachSpec:
    """Resolve a checked candidate whose scheduler is a program. Raises AutotuneError when it is not installed, or
    no longer what was built into the store, and UsageError when the installed one lacks the options that it needs."""
    binary = binaries.find(scheduler, places=places)
    if binary is None:
        raise binaries.absent(scheduler)
    damage = digests.damage(binary.path) if binary.origin == "store" else None
    if damage is not None:
        hint = f"build it anew: autotune schedulers install {scheduler.name}"
        raise AutotuneError(f"{binary.path} is damaged: it {damage}", hint=hint, stage="scheduler")
    settings = dict(candidate.knobs)
    found = options.check_settings(scheduler, binary, settings)
    digest = versions.of_file(str(binary.path))
    argv = (str(binary.path), *scheduler.arguments(settings))
    return AttachSpec(
        ops=scheduler.ops_name,
        partial=settings.get("partial") is True,
        program=ProgramSpec(argv, binary.size_bytes, binary.mtime_ns),
        version=found.version or "",
        digest=digest,
        digest_of=str(binary.path) if digest else "",
    )
