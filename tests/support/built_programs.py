# SPDX-License-Identifier: MIT
"""Real schedulers, built from crates.io by our own install command: once, and kept in the real store."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from autotune.schedext.catalogue.catalog import Catalog
from autotune.schedext.programs import binaries
from autotune.schedext.programs.binaries import Binary

WANTED = ("scx_bpfland", "scx_cosmos")
BUILD_S = 3600.0
_OURS = {name: os.environ.get(name) for name in ("XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "PATH")}
"""As they are before any test changes them."""


def real_store() -> Path:
    data = _OURS["XDG_DATA_HOME"] or ""
    base = Path(data) if os.path.isabs(data) else Path.home() / ".local/share"
    return base / "autotune/schedulers"


def found(*names: str) -> dict[str, Binary]:
    """Those of the store that are there in the catalogue's version."""
    catalog = Catalog.load()
    places = binaries.Places(stores=(real_store(),))
    here = {name: binaries.find(catalog.get(name), places=places) for name in names}
    return {name: one for name, one in here.items() if one and one.path.parent.name == catalog.get(name).version}


def built(*names: str) -> dict[str, Binary]:
    """All of these; those that are absent are installed first."""
    absent = [name for name in names if name not in found(name)]
    if absent:
        environ = {**os.environ, **{name: value for name, value in _OURS.items() if value is not None}}
        environ = {name: value for name, value in environ.items() if _OURS.get(name, "") is not None}
        argv = [sys.executable, "-m", "autotune", "schedulers", "install", *absent]
        subprocess.run(argv, env=environ, check=True, timeout=BUILD_S, cwd=Path(__file__).parents[2])
    return found(*names)
