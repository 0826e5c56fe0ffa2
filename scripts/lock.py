# SPDX-License-Identifier: MIT
"""Pins every Python package to a version and the hashes of its files: `scripts/lock [--check | --upgrade]`.

scripts/setup.sh installs what scripts/requirements.txt names (for `scripts/test`: requirements-dev.txt), and pip
refuses any file whose hash is not there. A list is for all Pythons that pyproject.toml allows, so some packages are
there twice, with a condition. It contains what builds autotune itself too, which pip would otherwise fetch unchecked.

Without an option packages stay at their versions where pyproject.toml still allows them; --upgrade takes the newest.
Both need uv and the network. --check needs neither: it finds a list that pyproject.toml has left behind, or that was
changed by hand.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

TOP = Path(__file__).resolve().parents[1]
BASE = "scripts/requirements.txt"
LISTS = {BASE: (), "scripts/requirements-dev.txt": ("dev",)}
"""The lists, and the extras of each. The first is part of each other one."""
BUILDS = ("editables",)
"""What hatchling needs to install a checkout in place, beside what pyproject.toml requires for a build."""
PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
PINNED = re.compile(r"(?P<name>[a-z0-9-]+)==(?P<version>[^\s;]+)(?: ; (?P<marker>.+))?")
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Project:
    """What pyproject.toml says about packages."""

    python: str
    least_python: str
    build: tuple[str, ...]
    run: tuple[str, ...]
    extras: dict[str, list[str]]

    @classmethod
    def read(cls, path: Path) -> Project:
        tomllib: Any = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        project = table["project"]
        build = (*table["build-system"]["requires"], *BUILDS)
        python = project["requires-python"]
        extras = project.get("optional-dependencies", {})
        return cls(python, python.removeprefix(">="), build, tuple(project["dependencies"]), extras)

    def wanted(self, extras: Sequence[str]) -> list[str]:
        """Return all requirements of a list."""
        return sorted({*self.build, *self.run, *(word for extra in extras for word in self.extras[extra])})

    def digest(self, extras: Sequence[str]) -> str:
        """Return what changes with everything that decides a list."""
        return hashlib.sha256(json.dumps([self.python, self.wanted(extras)]).encode()).hexdigest()

    def header(self, extras: Sequence[str]) -> str:
        return f"# Made from pyproject.toml by scripts/lock; not edited by hand.\n# From: {self.digest(extras)}\n"


def write(project: Project, path: Path, extras: Sequence[str], options: Sequence[str]) -> None:
    """Resolve a list with uv and write it."""
    argv = ["uv", "pip", "compile", "--no-config", "--universal", "--generate-hashes", "--quiet"]
    argv += ["--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links"]
    argv += ["--python-version", project.least_python, "--output-file", str(path), *options, "-"]
    if extras:
        argv += ["--constraints", str(path.with_name(Path(BASE).name))]
    text = "\n".join(project.wanted(extras))
    subprocess.run(argv, input=text, text=True, check=True, stdout=subprocess.DEVNULL)
    path.write_text(project.header(extras) + path.read_text(encoding="utf-8"), encoding="utf-8")


def faults(project: Project, path: Path, extras: Sequence[str]) -> Iterator[str]:
    """Yield what is wrong with a list, without the network."""
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    if not text.startswith(project.header(extras)):
        yield "it is not of this pyproject.toml: run scripts/lock"
    entries = _entries(path)
    if not set(_entries(path.with_name(Path(BASE).name))) <= set(entries):
        yield f"{BASE} has packages that are not in it: run scripts/lock"
    pins: dict[str, list[tuple[str, str | None]]] = {}
    for entry in entries:
        first, *hashes = [line.strip().removesuffix("\\").strip() for line in entry.splitlines()]
        match = PINNED.fullmatch(first)
        if match is None:
            yield f"{first[:60]!r} is not a package with its version"
            continue
        pins.setdefault(match["name"], []).append((match["version"], match["marker"]))
        if not hashes or not all(HASH.fullmatch(line) for line in hashes):
            yield f"{match['name']} {match['version']} has no hash, or something that is none"
    for wanted in map(Requirement, project.wanted(extras)):
        yield from _missing(wanted, pins.get(canonicalize_name(wanted.name), []))


def _entries(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return [entry for entry in re.split(r"\n(?! )", text) if entry and not entry.startswith("#")]


def _missing(wanted: Requirement, pins: Sequence[tuple[str, str | None]]) -> Iterator[str]:
    """Yield the Pythons for which a requirement is not pinned, or to a version that it does not allow."""
    for python in PYTHONS:
        here = {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": "linux"}
        if wanted.marker is not None and not wanted.marker.evaluate(here):
            continue
        found = [version for version, marker in pins if marker is None or Marker(marker).evaluate(here)]
        if len(found) != 1 or not wanted.specifier.contains(found[0], prereleases=True):
            yield f"{wanted} is met by {found or 'nothing'} with Python {python}"


def main(given: list[str]) -> int:
    if given not in ([], ["--check"], ["--upgrade"]):
        print("usage: scripts/lock [--check | --upgrade]", file=sys.stderr)
        return 2
    project = Project.read(TOP / "pyproject.toml")
    if given != ["--check"]:
        if shutil.which("uv") is None:
            print("uv is not installed, which resolves packages: pip install uv", file=sys.stderr)
            return 1
        for name, extras in LISTS.items():
            write(project, TOP / name, extras, given)
    found = [f"{name}: {fault}" for name, extras in LISTS.items() for fault in faults(project, TOP / name, extras)]
    print(*found, sep="\n", end="\n" if found else "", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
