# SPDX-License-Identifier: MIT
"""Small programs that play schedulers (`tests/programs`), entries of a catalogue for them, and help texts as clap
writes them."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from autotune.records import knob_text
from autotune.schedext.catalogue.catalog import ProgramEntry, Scheduler
from autotune.schedext.catalogue.knobs import Knob
from autotune.schedext.programs import binaries
from autotune.schedext.programs.binaries import Binary, Places
from autotune.schedext.programs.help_text import Option

PROGRAMS = Path(__file__).parents[1] / "programs"


def put(directory: Path, *names: str, called: str | None = None) -> Path:
    """Copies of the programs, which belong to whoever runs the test."""
    directory.mkdir(parents=True, exist_ok=True)
    for name in names:
        target = directory / (called or name)
        shutil.copyfile(PROGRAMS / name, target)
        target.chmod(0o755)
    return directory / (called or names[-1])


def binary(directory: Path, name: str, called: str | None = None) -> Binary:
    """One of the programs, found."""
    return binaries.at(put(directory, name, called=called), "configured")


def only(*directories: Path, stores: Iterable[Path] = ()) -> Places:
    """Nowhere else."""
    return Places(configured=tuple(directories), stores=tuple(stores))


GOOD_KNOBS = (
    Knob(name="slice_us", type="integer", description="x", default=1000, flag="--slice-us", short="-s"),
    Knob(name="mode", type="string", description="x", default="fast", options=("fast", "kind"), flag="--mode"),
    Knob(name="keep_local", type="boolean", description="x", default=False, flag="--keep-local", takes_value=False),
)
"""Of scx_good."""


def entry(
    name: str = "scx_good", knobs: tuple[Knob, ...] = (), version: str | None = "1.2.3", **program: Any
) -> Scheduler:
    """An entry of a catalogue for a program."""
    fields = {"language": "rust", "not_knobs": ("--verbose",), **program}
    return Scheduler(
        name=name,
        kind="binary",
        ops_name=name.removeprefix("scx_"),
        source=name,
        production_ready=False,
        description="Plays a scheduler.",
        algorithm="None.",
        use_cases=(),
        characteristics="",
        limitations=(),
        performance_profile="",
        knobs=knobs or (GOOD_KNOBS if name in ("scx_good", "scx_error_help") else ()),
        version=version,
        program=ProgramEntry(**fields),
    )


# --- help texts, as clap lays them out -------------------------------------------------------------------


def clap_help(options: Iterable[Option], about: str = "a scheduler", name: str = "scx_good") -> str:
    """The long layout: texts on lines of their own, wrapped at 100 columns."""
    parts = [f"{about}\n\nUsage: {name} [OPTIONS]\n\nOptions:\n"]
    parts += [_clap_option(option) for option in options]
    return "\n".join(parts)


def _clap_option(option: Option) -> str:
    names = f"  {option.short}, {option.flag}" if option.short else f"      {option.flag}"
    value = f"<{option.value_name}>" if option.takes_value else ""
    value = f"[={value}]" if option.value_optional else f" {value}" if value else ""
    lines = [names + value + ("..." if option.repeatable else "")]
    lines += textwrap.wrap(option.text, 90, initial_indent=" " * 10, subsequent_indent=" " * 10, break_on_hyphens=False)
    if option.default is not None:
        lines += [" " * 10, f"{'':10}[default: {option.default}]"]
    if option.options:
        lines += [
            "" if option.default is not None else " " * 10,
            f"{'':10}[possible values: {', '.join(option.options)}]",
        ]
    return "\n".join(lines) + "\n"


def options_of_catalogue(scheduler: Scheduler) -> list[Option]:
    """The options that a program would have which is just what the catalogue says."""
    return [_option(knob) for knob in scheduler.knobs if knob.flag]


def _option(knob: Knob) -> Option:
    switch = not knob.takes_value
    default = None if switch or knob.default is None else knob_text(knob.default).replace("+", " ")
    assert knob.flag is not None
    return Option(
        flag=knob.flag,
        short=knob.short,
        takes_value=not switch,
        value_name=None if switch else knob.name.upper(),
        default=default,
        options=(*knob.options, *knob.keywords) if knob.options else (),
        text=knob.description,
    )
