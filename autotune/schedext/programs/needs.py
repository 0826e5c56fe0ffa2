# SPDX-License-Identifier: MIT
"""Requirements for building a scheduler from its crate."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

from autotune import trust
from autotune.errors import AutotuneError, BuildError
from autotune.frozen import dataclass
from autotune.schedext import build
from autotune.schedext.catalogue.catalog import Scheduler

LEAST_RUST = (1, 91)
"""`rust-version` in the manifests of the scx crates, version 1.1.4."""
LEAST_CLANG = 17
"""Oldest clang that distributions build the scx schedulers with."""
NEED_SECCOMP = frozenset({"scx_rustland", "scx_rlfifo"})
"""Schedulers that need libseccomp: both schedule in user space with scx_rustland_core, which links it."""
RUSTUP = "get Rust from https://rustup.rs"
_LIBRARIES = (("libelf", "libelf-dev"), ("zlib", "zlib1g-dev"), ("libseccomp", "libseccomp-dev"))
_LIBCLANG_PLACES = (
    "/usr/lib/llvm*/lib",
    "/usr/lib*",
    "/usr/lib/*-linux-gnu*",
    "/usr/local/lib*",
    "/usr/local/llvm*/lib*",
)
_ANSWER_S = 20.0


@dataclass(frozen=True)
class Need:
    """A missing requirement, in words, and the Debian package that has it (empty: none reliably does)."""

    what: str
    package: str


def require(schedulers: Iterable[Scheduler]) -> None:
    """Raise AutotuneError naming all that is missing, and how to get it."""
    missing = list(needs(schedulers))
    if not missing:
        return
    packages = " ".join(dict.fromkeys(need.package for need in missing if need.package))
    advice = [f"sudo apt-get install {packages}"] if packages else []
    advice += [RUSTUP] if any(not need.package for need in missing) else []
    what = ", ".join(need.what for need in missing)
    raise AutotuneError(f"these are missing to build with: {what}", hint=" and ".join(advice), stage="install")


def needs(schedulers: Iterable[Scheduler]) -> Iterator[Need]:
    """Yield all that is missing to build these schedulers."""
    yield from _rust()
    yield from _clang()
    for program, package in (("cc", "gcc"), ("make", "make"), ("pkg-config", "pkg-config")):
        if trust.find_program(program) is None:
            yield Need(program, package)
    if trust.find_program("pkg-config") is None:  # then installed headers cannot be found
        return
    seccomp = any(scheduler.name in NEED_SECCOMP for scheduler in schedulers)
    for library, package in _LIBRARIES:
        wanted = library != "libseccomp" or seccomp
        if wanted and _run("pkg-config", "--exists", library) is None:
            yield Need(f"the headers of {library}", package)


def _rust() -> Iterator[Need]:
    least = ".".join(map(str, LEAST_RUST))
    for program in ("cargo", "rustc"):
        output = _run(program, "--version")
        found = re.search(r"(\d+)\.(\d+)", output or "")
        if output is None or found is None:
            yield Need(f"{program} {least} or later", "")
        elif (int(found[1]), int(found[2])) < LEAST_RUST:
            yield Need(f"{program} {least} or later (this is {found[0]})", "")


def _clang() -> Iterator[Need]:
    """Yield what is missing of the compiler for BPF and of its library, which reads headers for Rust."""
    try:
        found = build.newest_clang()
    except BuildError:
        yield Need(f"clang {LEAST_CLANG} or later", "clang-19")
        return
    if int(found.version) < LEAST_CLANG:
        yield Need(f"clang {LEAST_CLANG} or later (this is {found.version})", "clang-19")
    elif not _has_libclang():
        yield Need("libclang", f"libclang1-{found.version}")


def _has_libclang() -> bool:
    """Return whether libclang is where the crate that loads it searches: a variable, the linker's list, usual
    places."""
    if os.environ.get("LIBCLANG_PATH") or "libclang" in (_run("ldconfig", "-p") or ""):
        return True
    places = itertools.chain.from_iterable(Path("/").glob(place.lstrip("/")) for place in _LIBCLANG_PLACES)
    return any(re.fullmatch(r"libclang(-[\d.]+)?\.so[\d.]*", path.name) for place in places for path in _listed(place))


def _listed(place: Path) -> list[Path]:
    try:
        return list(place.iterdir())
    except OSError:
        return []


def _run(*argv: str) -> str | None:
    """Return the output of a program; None when it is absent or fails. It runs in /, so that no setting in the user's
    directory counts."""
    found = trust.find_program(argv[0], "/sbin", "/usr/sbin")
    if found is None:
        return None
    try:
        done = subprocess.run(
            [found, *argv[1:]], stdin=subprocess.DEVNULL, capture_output=True, timeout=_ANSWER_S, cwd="/"
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode(errors="replace") if done.returncode == 0 else None
