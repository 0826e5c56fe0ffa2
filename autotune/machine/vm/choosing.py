# SPDX-License-Identifier: MIT
"""Which of the archive's kernels to take, best first: a pure function of what the archive lists."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from autotune.errors import FetchError

KNOWN_TO_WORK = ("6.18", "7.3", "6.19", "7.0", "6.17", "6.16")
"""Series in which our schedulers were seen to load, best first: 6.18 is a long-term kernel, and the one measured most.
What else there is comes after them, newest first."""
LEAST = (6, 16)
"""Debian's kernels before are built without sched_ext."""
OF_A_SERIES = 2
"""Builds of a series to try: what is wrong with two is wrong with the series."""

_IMAGE = re.compile(r"^linux-image-(\d+\.\d+\.\d+\S*-amd64)$")
_FLAVOURS = re.compile(r"cloud|rt-amd64|unsigned|dbg")


@dataclass(frozen=True)
class Build:
    """A kernel of the archive: its release, its packages (the first holds the image), and why it is where it is."""

    release: str
    packages: tuple[str, ...]
    why: str


def version_key(version: str) -> tuple[int, ...]:
    """Orders kernel versions by their numbers."""
    return tuple(int(number) for number in re.findall(r"\d+", version))


def choices(parts: Mapping[str, Sequence[str]], available: Collection[str], asked: str | None = None) -> list[Build]:
    """Builds to try, best first. `parts` maps packages of images to the packages that they are made of. Those that are
    not `available` are left out, and so is a build that needs one. `asked` is the beginning of a release. Raises
    FetchError when none is left."""
    parts = {
        image: [part for part in made_of if part in available or _needed(part)] for image, made_of in parts.items()
    }
    fit = {release: image for image in parts if (release := _release(image)) and _may_be(release, asked)}
    whole = {release: image for release, image in fit.items() if set(parts[image]) <= set(available)}
    if not whole:
        raise _nothing(asked, [part for image in fit.values() for part in parts[image] if part not in available])
    ordered = sorted(whole, key=lambda release: (_rank(release), *_newest_first(release)))
    return [_build(release, whole[release], parts, asked) for release in _few_of_each(ordered)]


def _needed(part: str) -> bool:
    """Up to 6.18 the image's package names a linux-base of its version that the archive does not have. Nothing is
    missing then: the image's package has the configuration. Where it has not, the build turns out not to be whole."""
    return not part.startswith("linux-base-")


def _release(image: str) -> str | None:
    found = _IMAGE.match(image)
    return found[1] if found and not _FLAVOURS.search(image) else None


def _may_be(release: str, asked: str | None) -> bool:
    return version_key(release)[:2] >= LEAST and (asked is None or _begins(release, asked))


def _begins(release: str, asked: str) -> bool:
    """Whether `asked` is a beginning of the release: 6.1 is none of 6.18, but of 6.1.3."""
    rest = release.removeprefix(asked)
    return release.startswith(asked) and not (asked[-1:].isdigit() and rest[:1].isdigit())


def _series(release: str) -> str:
    return ".".join(release.split(".")[:2])


def _rank(release: str) -> int:
    series = _series(release)
    return KNOWN_TO_WORK.index(series) if series in KNOWN_TO_WORK else len(KNOWN_TO_WORK)


def _newest_first(release: str) -> tuple[float, ...]:
    return (*(-number for number in version_key(release)), float("inf"))


def _few_of_each(releases: Sequence[str]) -> Iterator[str]:
    taken: Counter[str] = Counter()
    for release in releases:
        taken[_series(release)] += 1
        if taken[_series(release)] <= OF_A_SERIES:
            yield release


def _build(release: str, image: str, parts: Mapping[str, Sequence[str]], asked: str | None) -> Build:
    packages = sorted(
        {image, *parts[image]}, key=lambda name: (not name.startswith("linux-binary-"), name != image, name)
    )
    known = _rank(release) < len(KNOWN_TO_WORK)
    why = "its series is known to work" if known else "no series known to work is left in the archive"
    return Build(release, tuple(packages), "it was asked for" if asked else why)


def _nothing(asked: str | None, missing: Sequence[str]) -> FetchError:
    what = f" {asked}" if asked else ""
    reason = f": {max(missing, key=version_key)} is missing" if missing else ""
    whole = " whole" if missing else ""
    hint = "boot another: --kernel IMAGE"
    return FetchError(f"the archive has no{whole} kernel{what} with sched_ext{reason}", hint=hint)
