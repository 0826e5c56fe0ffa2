# SPDX-License-Identifier: MIT
"""Paths of the data that travels with the package, and of the user's directories. Standard library only."""

from __future__ import annotations

from pathlib import Path

from autotune import homes, reading

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
    """Return the user's home (`homes.home`)."""
    return Path(homes.home())


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
    return Path(homes.cache())


def state_dir() -> Path:
    """Return the directory for what was learned."""
    return Path(homes.state())


def data_dir() -> Path:
    """Return the directory for what was installed: scheduler programs."""
    return Path(homes.data())
