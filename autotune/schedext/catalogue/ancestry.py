# SPDX-License-Identifier: MIT
"""The schedulers that a new one is made from, as they are now."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from autotune import reading, resources
from autotune.errors import AutotuneError, UsageError
from autotune.schedext import seal
from autotune.schedext.catalogue import custom
from autotune.schedext.catalogue.catalog import CUSTOM, Scheduler
from autotune.schedext.catalogue.origin import Ancestor


def ancestors(names: Sequence[str], own: str = "") -> tuple[Ancestor, ...]:
    """Return the schedulers of these names, and the older version of `own` (without `custom:`) where there is one.
    Raises UsageError for a name that none has, and for a program, which has no source here."""
    catalog = custom.catalog() if names else None
    found = [of(catalog.named(name)) for name in names] if catalog is not None else []
    if own and own in custom.names():
        with contextlib.suppress(AutotuneError):  # a damaged one is replaced, and is nobody's ancestor
            found.append(of(custom.load(own).entry))
    return tuple(dict.fromkeys(found))


def of(scheduler: Scheduler) -> Ancestor:
    """Return a scheduler as an ancestor. Raises UsageError for a program."""
    return Ancestor(scheduler.name, seal.sha256(source_of(scheduler).encode()))


def source_of(scheduler: Scheduler) -> str:
    """Return the source of one of ours, or of a generated one. Raises UsageError for a program, AutotuneError when it
    cannot be read."""
    if scheduler.name.startswith(CUSTOM):
        return custom.source_text(custom.load(scheduler.name))
    if scheduler.kind != "bpf":
        raise UsageError(
            f"the source of {scheduler.name} is not here: it is a program", hint="name a custom or an at_ scheduler"
        )
    path = resources.bpf_source_dir() / scheduler.source
    try:
        return reading.text(path)
    except (OSError, ValueError) as error:
        raise AutotuneError(f"{path.name} cannot be read: {error}", hint="install autotune again") from error
