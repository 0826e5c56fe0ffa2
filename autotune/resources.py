# SPDX-License-Identifier: MIT
"""Paths of the data that travels with the package, and of the user's directories. Standard library only."""

from __future__ import annotations

import os
from pathlib import Path

from autotune import reading

_PACKAGE = Path(__file__).resolve().parent
WRITING_EXAMPLES = (
    ("at_fifo", "one queue, first in, first out"),
    ("at_vtime", "shares by weight, with a clock for each task"),
)
"""The schedulers that the writing guide shows, and what each shows."""


def schedulers_json() -> Path:
    """Return the catalogue: at the top of a checkout, inside the package once installed."""
    return _bundled("schedulers.json")


def bpf_source_dir() -> Path:
    """Return the directory with the sources of our own schedulers."""
    return _bundled("bpf_src")


def writing_guide() -> str:
    """Return the guide to writing a scheduler, for people and models, with two complete examples from our own."""
    sources = bpf_source_dir()
    parts = [reading.text(sources / "WRITING.md")]
    for name, what in WRITING_EXAMPLES:
        text = reading.text(sources / f"{name}.bpf.c")
        parts.append(f"## Example: {what}\n\n```c\n{text}```\n")
    return "\n".join(parts)


def model_prices_json() -> Path:
    """Return the file with the models' prices and their date."""
    return _PACKAGE / "planner" / "model_prices.json"


def _bundled(name: str) -> Path:
    installed = _PACKAGE / "data" / name
    return installed if installed.exists() else _PACKAGE.parent / name


def home_dir() -> Path:
    """Return the user's home: HOME, or what the account says where that is unset, empty or no absolute path, and would
    lead into whatever the current directory is. A user without an account has the root directory, as in a container."""
    given = os.environ.get("HOME", "")
    if os.path.isabs(given):
        return Path(given)
    import pwd  # seldom needed, and starting is slow under emulation

    try:
        return Path(pwd.getpwuid(os.geteuid()).pw_dir)
    except KeyError:
        return Path("/")


def expanded(path: Path) -> Path:
    """Expand `~` at the start of a path; another user's that is not known stays as it is."""
    if path.parts[:1] == ("~",):
        return home_dir().joinpath(*path.parts[1:])
    try:
        return path.expanduser()
    except RuntimeError:
        return path


def cache_dir() -> Path:
    """Return the directory for what can be made again: kernels, compiled objects."""
    return _xdg("XDG_CACHE_HOME", ".cache")


def state_dir() -> Path:
    """Return the directory for what was learned."""
    return _xdg("XDG_STATE_HOME", ".local/state")


def data_dir() -> Path:
    """Return the directory for what was installed: scheduler programs."""
    return _xdg("XDG_DATA_HOME", ".local/share")


def _xdg(variable: str, fallback: str) -> Path:
    """Return `$VARIABLE/autotune`, or the fallback below the home directory when it is unset or, against the
    specification, relative. Root keeps its files in its own home when sudo left it another user's (`sudo -E`), who
    could change what root then loads, and could not change what root had left there."""
    given = os.environ.get(variable, "")
    base = Path(given) if os.path.isabs(given) else home_dir() / fallback
    if os.geteuid() == 0 and os.environ.get("SUDO_UID", "0") != "0" and _owner(base) == os.environ["SUDO_UID"]:
        import pwd  # seldom needed, and starting is slow under emulation

        base = Path(pwd.getpwuid(0).pw_dir) / fallback
    return base / "autotune"


def _owner(path: Path) -> str:
    """Return the number of the user to whom a directory belongs, or would when it were made; empty when not known."""
    for existing in (path, *path.parents):
        try:
            return str(existing.stat().st_uid)
        except FileNotFoundError:
            continue
        except OSError:
            break
    return ""
