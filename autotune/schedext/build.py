# SPDX-License-Identifier: MIT
"""Compiles BPF schedulers with the newest clang found; cached by content.

The key of the cache is all that decides the object: the source, every header beside it, the kernel's types
(`vmlinux.h`), the compiler and its flags. Two builds at the same time do the work twice, with the same result.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from autotune import digests, durable, reading, resources, trust
from autotune.errors import AutotuneError, BuildError
from autotune.frozen import dataclass
from autotune.records import Expectations, GuideSpec

LEAST_CLANG = 15
"""The first clang whose BPF back end writes the BTF that struct_ops needs (type tags)."""
COMPILE_S = 120.0
FLAGS = ("-target", "bpf", "-mcpu=v3", "-g", "-O2", "-Wall", "-fms-extensions", "-fno-ident")
VMLINUX = Path("linux/bpf/vmlinux.h")
KERNEL_BTF = Path("/sys/kernel/btf/vmlinux")
GUIDE = "probes/guide.bpf.c"
"""The source of the guide (`holding.guide`)."""


@dataclass(frozen=True)
class Clang:
    """A compiler and the version it reports."""

    path: str
    version: str


@dataclass(frozen=True)
class Build:
    """A compiled scheduler. `sha256` is the object's; `build_s` is 0 when it came from the cache. `note` is a sentence
    about a cached one that was damaged and compiled anew; empty otherwise."""

    object_path: Path
    sha256: str
    clang: str
    build_s: float
    cached: bool
    note: str = ""


def build(source: Path, *, headers: Path | None = None, cache: Path | None = None, limit_s: float = COMPILE_S) -> Build:
    """Compile a `.bpf.c` file within `limit_s`. `headers` is a directory with `linux/bpf/vmlinux.h`; None looks for
    one. Raises BuildError, with the compiler's output in `detail` when the source is wrong."""
    clang = newest_clang()
    include = find_headers(headers)
    directory = cache or resources.cache_dir() / "objects"
    target = directory / f"{source.name.removesuffix('.bpf.c')}-{_key(source, include, clang)}.o"
    started = time.monotonic()
    # A cache in a place that others share is not believed.
    cached = target.is_file() and digests.has_note(target) and not trust.is_foreign(target)
    damage = digests.problem(target) if cached else None
    if not cached or damage is not None:
        _compile(clang, source, include, target, limit_s)
    digest = hashlib.sha256(reading.data(target, most_bytes=reading.MOST_OBJECT_BYTES)).hexdigest()
    build_s = time.monotonic() - started
    if damage is not None:
        return Build(target, digest, clang.version, build_s, False, f"{target.name} {damage}; it was compiled anew")
    return Build(target, digest, clang.version, 0.0 if cached else build_s, cached)


def guide(expected: Expectations, *, headers: Path | None, limit_s: float = COMPILE_S) -> GuideSpec:
    """Compile the guide, or take it from the cache. Raises BuildError."""
    made = build(resources.bpf_source_dir() / GUIDE, headers=headers, limit_s=limit_s)
    return GuideSpec(str(made.object_path), made.sha256, expected)


def damaged_objects(cache: Path | None = None) -> list[Path]:
    """Return the objects in the cache that are not as they were compiled."""
    directory = cache or resources.cache_dir() / "objects"
    return [path for path in sorted(directory.glob("*.o")) if digests.has_note(path) and digests.problem(path)]


def newest_clang() -> Clang:
    """Find the newest clang on PATH or in Debian's place for it. Raises BuildError when there is none, or too old a
    one."""
    found = [(number, path) for number, path in _clangs() if number >= LEAST_CLANG]
    if not found:
        raise BuildError(f"no clang {LEAST_CLANG} or later was found", hint="install it: apt-get install clang-19")
    number, path = max(found)
    return Clang(path, str(number))


def _clangs() -> Iterator[tuple[int, str]]:
    seen = set()
    given = [*os.environ.get("PATH", os.defpath).split(os.pathsep), "/usr/bin"]
    directories = [directory for directory in given if os.path.isabs(directory)]  # `.` is whatever we happen to be in
    for directory in directories:
        for path in Path(directory).glob("clang-[0-9]*"):
            number = re.fullmatch(r"clang-(\d+)", path.name)
            if number and os.access(path, os.X_OK) and path.name not in seen and not trust.is_foreign(path):
                seen.add(path.name)
                yield int(number[1]), str(path)
    plain = trust.find_program("clang", "/usr/bin")
    if plain and not seen and not trust.is_foreign(Path(plain)):
        version = re.search(r"version (\d+)", _output([plain, "--version"]))
        if version:
            yield int(version[1]), plain


def _output(argv: list[str]) -> str:
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode(errors="replace")


def find_headers(given: Path | None = None) -> Path:
    """Find a directory with `linux/bpf/vmlinux.h`: the given one, the system's, or one made from the running kernel's
    own types. Raises BuildError when there is none, and when somebody else could change it: what is compiled with it is
    loaded as root."""
    places = [given] if given is not None else []
    places += [Path("/usr/include"), *sorted(Path("/usr/include").glob("*-linux-gnu"))]
    for place in places:
        if (place / VMLINUX).is_file():
            return _trusted(place)
    if KERNEL_BTF.exists() and trust.find_program("bpftool", "/usr/sbin"):
        return _trusted(_dump_headers())
    raise BuildError(
        "no vmlinux.h was found, which describes the kernel's types", hint="'autotune vm setup' fetches one"
    )


def _trusted(place: Path) -> Path:
    try:
        trust.refuse_foreign(place / VMLINUX, would="decides what root loads", stage="build")
    except OSError as error:
        raise BuildError(f"{place / VMLINUX} cannot be read: {error.strerror}") from error
    except AutotuneError as error:
        raise BuildError(error.message, hint=error.hint) from error
    return place


def _dump_headers() -> Path:
    """Dump the types of the running kernel into the cache, once per kernel release."""
    directory = resources.cache_dir() / "headers" / os.uname().release
    target = directory / VMLINUX
    # Types in a place that others share are not believed.
    cached = target.is_file() and not trust.is_foreign(target)
    if not cached or (digests.has_note(target) and digests.problem(target)):
        bpftool = trust.find_program("bpftool", "/usr/sbin") or "bpftool"
        text = _output([bpftool, "btf", "dump", "file", str(KERNEL_BTF), "format", "c"])
        if "sched_ext_ops" not in text:
            raise BuildError("the running kernel's types could not be read", hint="'autotune vm setup' fetches them")
        with durable.explained(f"{target.name} cannot be written", target, error=BuildError):
            target.parent.mkdir(parents=True, exist_ok=True)
            durable.replace(target, text.encode(), mode=durable.SHARED)
            digests.note(target)
    return directory


def _key(source: Path, include: Path, clang: Clang) -> str:
    digest = hashlib.sha256("\0".join((clang.path, clang.version, *FLAGS)).encode())
    try:
        parts = [source, *sorted(_include_dir(source).glob("*.h")), include / VMLINUX]
        for part in parts:
            digest.update(hashlib.sha256(reading.data(part, most_bytes=reading.MOST_OBJECT_BYTES)).digest())
    except OSError as error:
        raise BuildError(f"{error.filename}: {error.strerror}", hint="install autotune again") from error
    return digest.hexdigest()[:24]


def _include_dir(source: Path) -> Path:
    """Return the directory of the shared headers: beside the source, else those of our own schedulers."""
    beside = source.parent / "include"
    return beside if beside.is_dir() else resources.bpf_source_dir() / "include"


def _compile(clang: Clang, source: Path, include: Path, target: Path, limit_s: float) -> None:
    with durable.explained("the object cannot be written", target, error=BuildError):
        target.parent.mkdir(parents=True, exist_ok=True)
        with durable.draft_directory(target) as scratch:
            made = scratch / "object.o"
            argv = [clang.path, *FLAGS, "-I", str(_include_dir(source)), "-I", str(include)]
            _run_clang([*argv, "-c", str(source), "-o", str(made)], source, limit_s)
            durable.replace(target, reading.data(made, most_bytes=reading.MOST_OBJECT_BYTES), mode=durable.SHARED)
            digests.note(target)


def _run_clang(argv: list[str], source: Path, limit_s: float) -> None:
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=limit_s, check=False)
    except subprocess.TimeoutExpired as error:
        hint = "simplify it" if limit_s >= COMPILE_S else "give a larger --budget"
        raise BuildError(f"{source.name}: the compiler took over {limit_s:.3g} s", hint=hint) from error
    if done.returncode != 0:
        output = done.stderr.decode(errors="replace")
        raise BuildError(f"{source.name} does not compile: {_first_error(output)}", hint="see --debug", detail=output)


def _first_error(output: str) -> str:
    lines = output.splitlines()
    first = next((line for line in lines if " error: " in line), lines[0] if lines else "no message")
    return re.sub(r"^\S*/", "", first)
