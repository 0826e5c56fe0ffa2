# SPDX-License-Identifier: MIT
"""Chooses kernels from the archive's list, best first. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence

from autotune.errors import FetchError
from autotune.frozen import dataclass

KNOWN_TO_WORK = ("6.18", "7.3", "6.19", "7.0", "6.17", "6.16")
"""Series in which our schedulers are known to load, best first: 6.18 is a long-term kernel, and the most measured one.
All others come after these, newest first."""
LEAST = (6, 16)
"""The first series that Debian builds with sched_ext."""
OF_A_SERIES = 2
"""Builds to try of one series: if two fail, the series is at fault."""

_IMAGE = re.compile(r"^linux-image-(\d+\.\d+\.\d+\S*-amd64)$")
_FLAVOURS = re.compile(r"cloud|rt-amd64|unsigned|dbg")


@dataclass(frozen=True)
class KernelBuild:
    """A kernel of the archive: its release, its packages (the first has the image), and why it was chosen."""

    release: str
    packages: tuple[str, ...]
    why: str


def version_key(version: str) -> tuple[int, ...]:
    """Sort key of a kernel version: its numbers."""
    return tuple(int(number) for number in re.findall(r"\d+", version))


def choices(
    parts: Mapping[str, Sequence[str]], available: Collection[str], wanted: str | None = None
) -> list[KernelBuild]:
    """Return the builds to try, best first. `parts` maps packages of images to the packages that they depend on. Builds
    that need a package that is not `available` are left out. `wanted` is the beginning of a release. Raises FetchError
    when none is left."""
    parts = {
        image: [part for part in made_of if part in available or _needed(part)] for image, made_of in parts.items()
    }
    fit = {
        release: image
        for image in parts
        if (release := _release(image))
        and version_key(release)[:2] >= LEAST
        and (wanted is None or _begins(release, wanted))
    }
    whole = {release: image for release, image in fit.items() if set(parts[image]) <= set(available)}
    if not whole:
        raise _nothing(wanted, [part for image in fit.values() for part in parts[image] if part not in available])
    newest_first = sorted(whole, key=version_key, reverse=True)
    ordered = sorted(newest_first, key=_rank)
    return [_build(release, whole[release], parts, wanted) for release in _few_of_each(ordered)]


def _needed(part: str) -> bool:
    """Return whether the image needs this package. Up to 6.18 the image depends on a linux-base of its own version that
    the archive does not have, and that has nothing that the image lacks. If it did, the fetched build would prove
    incomplete."""
    return not part.startswith("linux-base-")


def _release(image: str) -> str | None:
    found = _IMAGE.match(image)
    return found[1] if found and not _FLAVOURS.search(image) else None


def _begins(release: str, wanted: str) -> bool:
    """Return whether the release begins with `wanted`, number by number: 6.1 begins 6.1.3, not 6.18."""
    rest = release.removeprefix(wanted)
    return release.startswith(wanted) and not (wanted[-1:].isdigit() and rest[:1].isdigit())


def _series(release: str) -> str:
    return ".".join(release.split(".")[:2])


def _rank(release: str) -> int:
    series = _series(release)
    return KNOWN_TO_WORK.index(series) if series in KNOWN_TO_WORK else len(KNOWN_TO_WORK)


def _few_of_each(releases: Sequence[str]) -> Iterator[str]:
    taken: Counter[str] = Counter()
    for release in releases:
        taken[_series(release)] += 1
        if taken[_series(release)] <= OF_A_SERIES:
            yield release


def _build(release: str, image: str, parts: Mapping[str, Sequence[str]], wanted: str | None) -> KernelBuild:
    packages = sorted(
        {image, *parts[image]}, key=lambda name: (not name.startswith("linux-binary-"), name != image, name)
    )
    known = _rank(release) < len(KNOWN_TO_WORK)
    why = "its series is known to work" if known else "no series known to work is left in the archive"
    return KernelBuild(release, tuple(packages), "it was requested" if wanted else why)


def _nothing(wanted: str | None, missing: Sequence[str]) -> FetchError:
    what = f" {wanted}" if wanted else ""
    reason = f": {max(missing, key=version_key)} is missing" if missing else ""
    whole = " whole" if missing else ""
    hint = "boot another: --kernel IMAGE"
    return FetchError(f"the archive has no{whole} kernel{what} with sched_ext{reason}", hint=hint)
