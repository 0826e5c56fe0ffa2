# SPDX-License-Identifier: MIT
"""Where a generated scheduler comes from: who wrote it, when, in which directory, and from which schedulers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal, get_args

from autotune import reading
from autotune.frozen import dataclass
from autotune.wire import from_json

FILE = "origin.json"
MakerKind = Literal["unknown", "person", "model", "import"]


@dataclass(frozen=True)
class Maker:
    """Who wrote a scheduler, or brought it here. `name` is a model's; empty for people and imports."""

    kind: MakerKind = "unknown"
    name: str = ""

    @property
    def text(self) -> str:
        words = {"unknown": "not known", "person": "a person", "model": "a model", "import": "imported"}
        return f"{words[self.kind]} ({self.name})" if self.name else words[self.kind]


@dataclass(frozen=True)
class Ancestor:
    """A scheduler that another was made from, as it was then."""

    name: str
    """As it is listed: `at_batch`, `custom:mine`."""
    source_sha256: str

    @property
    def text(self) -> str:
        return f"{self.name} ({self.source_sha256[:12]})"


@dataclass(frozen=True)
class Origin:
    """Where one comes from. Schedulers of older versions have a directory at most."""

    directory: str | None = None
    """Where it was written or verified: it is proposed there only."""
    maker: Maker = Maker()
    made_at: float | None = None
    """Unix time."""
    made_from: tuple[Ancestor, ...] = ()
    unfair_by_design: bool = False
    """It was verified as one that means to share CPU time unequally."""

    @property
    def made_in(self) -> Path | None:
        return Path(self.directory) if self.directory is not None and os.path.isabs(self.directory) else None


def read(place: Path) -> Origin:
    """Return the origin that is kept in a scheduler's directory; an empty one where none can be read."""
    try:
        return reading.record(_origin, place / FILE)
    except (OSError, ValueError):  # an older one has none
        return Origin()


def _origin(found: Any) -> Origin:
    origin = from_json(Origin, found)
    if origin.maker.kind not in get_args(MakerKind):
        raise ValueError("its maker is of no known kind")
    return origin
