# SPDX-License-Identifier: MIT
"""Finds the program of a scheduler on this machine.

It may be started as root, so:
- directories named in the configuration come only from the user (`config.ALL`);
- relative entries of PATH do not count;
- a program is refused if anybody but root and the user can change it or a directory on the way to it.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from autotune import config, resources, trust
from autotune.errors import AutotuneError
from autotune.frozen import dataclass
from autotune.schedext.catalogue.catalog import Scheduler

Origin = Literal["configured", "PATH", "distribution", "store"]
DISTRIBUTION = (
    "/usr/bin",
    "/usr/sbin",
    "/usr/local/bin",
    "/usr/local/sbin",
    "/run/current-system/sw/bin",
    "/usr/libexec/scx",
    "/usr/lib/scx",
    "/opt/scx/bin",
)
"""Directories where packages put schedulers: Arch, openSUSE, Fedora and Debian in the first two, NixOS in its system's;
the last three for packages that keep them off PATH."""
CURRENT = "current"
"""Name of a link in the store, beside the versions of a scheduler, to the one that was installed last."""


@dataclass(frozen=True)
class Binary:
    """The program of a scheduler. `path` is absolute and free of links; size and time identify the file that was
    found."""

    path: Path
    origin: Origin
    size_bytes: int
    mtime_ns: int


@dataclass(frozen=True)
class Places:
    """Places where programs are searched, in this order."""

    configured: tuple[Path, ...] = ()
    path: tuple[Path, ...] = ()
    distribution: tuple[Path, ...] = ()
    stores: tuple[Path, ...] = ()
    """Our own stores: STORE/NAME/VERSION/NAME."""

    def candidates(self, scheduler: Scheduler) -> Iterator[tuple[Path, Origin]]:
        """Yield all places where the program of a scheduler may be, best first."""
        searched: tuple[tuple[Origin, Sequence[Path]], ...] = (
            ("configured", self.configured),
            ("PATH", self.path),
            ("distribution", self.distribution),
        )
        for origin, directories in searched:
            for directory in directories:
                yield directory / scheduler.name, origin
        for store in self.stores:
            for version in _versions(store / scheduler.name, scheduler.version):
                yield store / scheduler.name / version / scheduler.name, "store"


def here(environ: Mapping[str, str] | None = None) -> Places:
    """Return the places of this machine and user. Raises UsageError for a wrong configuration."""
    environ = os.environ if environ is None else environ
    entries = (Path(entry) for entry in environ.get("PATH", os.defpath).split(os.pathsep))
    return Places(
        configured=config.users_own("scheduler_dirs", environ),
        path=tuple(dict.fromkeys(entry for entry in entries if entry.is_absolute())),
        distribution=tuple(Path(place) for place in DISTRIBUTION),
        stores=stores(),
    )


def store() -> Path:
    """Return the directory where our own install command puts schedulers."""
    return resources.data_dir() / "schedulers"


def stores() -> tuple[Path, ...]:
    """Return our store; under sudo also that of the user who called it and installs without root."""
    asker = trust.sudo_user()
    mine = store()
    if asker is None:
        return (mine,)
    return tuple(dict.fromkeys((mine, Path(asker.pw_dir) / ".local/share/autotune/schedulers")))


# --- finding ---------------------------------------------------------------------------------------------


def find(scheduler: Scheduler, *, places: Places | None = None) -> Binary | None:
    """Find the program of a scheduler; None when there is none. `places`: None means those of this machine. Raises
    AutotuneError when the first one found is not trusted, or none that is found can be run."""
    unusable = ""
    for path, origin in (places or here()).candidates(scheduler):
        if not os.path.lexists(path):
            continue
        problem = _unusable(path)
        if not problem:
            return at(path, origin)
        unusable = unusable or f"{path} {problem}"
    if unusable:
        raise AutotuneError(unusable, hint=f"remove it, or: {how_to_get(scheduler)}", stage="scheduler")
    return None


def at(path: Path, origin: Origin) -> Binary:
    """Return the program at a path. Raises AutotuneError when somebody else could change it, or it is gone."""
    try:
        real = path.resolve(strict=True)
        trust.refuse_foreign(path)
        found = real.stat()
    except (OSError, RuntimeError) as error:
        why = error.strerror if isinstance(error, OSError) else "the links go round in a circle"
        raise AutotuneError(f"{path}: {why}", hint="install it again", stage="scheduler") from error
    return Binary(real, origin, found.st_size, found.st_mtime_ns)


def absent(scheduler: Scheduler) -> AutotuneError:
    """Return the error for a scheduler that is not installed."""
    return AutotuneError(f"{scheduler.name} is not installed", hint=how_to_get(scheduler), stage="scheduler")


def how_to_get(scheduler: Scheduler) -> str:
    """Return the command or the package that installs a scheduler."""
    package = scheduler.program.package if scheduler.program else ""
    if can_be_built(scheduler):
        return f"autotune schedulers install {scheduler.name} (or install your distribution's {package})"
    return f"install your distribution's {package}"


def can_be_built(scheduler: Scheduler) -> bool:
    """Return whether it is a crate of crates.io."""
    return scheduler.program is not None and scheduler.program.language == "rust" and scheduler.version is not None


def _unusable(path: Path) -> str:
    """Return why a file cannot be run; empty when it can."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if not stat.S_ISREG(mode):
        return "is not a regular file"
    return "" if mode & 0o111 else "is not executable"


def _versions(directory: Path, pinned: str | None) -> list[str]:
    """Return the installed versions: the last installed first, then the catalogue's, then the newest."""
    try:
        found = [entry.name for entry in directory.iterdir() if entry.is_dir() and not entry.is_symlink()]
        current = os.readlink(directory / CURRENT) if (directory / CURRENT).is_symlink() else ""
    except OSError:
        return []

    def rank(version: str) -> tuple[bool, bool, list[int]]:
        return version == current, version == pinned, [int(number) for number in re.findall(r"\d+", version)]

    return sorted(found, key=rank, reverse=True)
