# SPDX-License-Identifier: MIT
"""docs/SCHEDULERS.md, made from the catalogue. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from autotune.views.catalogue import TRAITS, needs_text, ready_word, settings_text

if TYPE_CHECKING:
    from autotune.schedext.catalogue.catalog import Catalog, Scheduler
    from autotune.schedext.catalogue.knobs import Knob

HEADER = """\
# Schedulers

Made from `schedulers.json` by `scripts/schedulers-doc`; do not edit it by hand. `autotune schedulers` shows the same
list with what is installed, and `autotune schedulers show NAME` explains one scheduler.

Our own (`at_...`) are built in. All others are scx programs: those with a version are crates that
`autotune schedulers install NAME` builds; the others come with distributions (package `scx-scheds`). *Ready* is whether
their makers call them ready for production; - where they do not say. Settings are written `NAME:knob=value,...`;
`mode=` stands for the settings of a profile; several values of one knob are joined by `+`.
"""


def reference(catalog: Catalog) -> str:
    """Return the whole page."""
    return "\n".join([HEADER, *_overview(catalog.schedulers), *_sections(catalog.schedulers)]) + "\n"


def _overview(known: Iterable[Scheduler]) -> Iterator[str]:
    yield "| name | ready | version | what it is | good for |"
    yield "| --- | --- | --- | --- | --- |"
    for one in known:
        cells = (f"[{one.name}](#{one.name})", ready_word(one), one.version or "-", one.description)
        yield _row(*cells, ", ".join(one.use_cases))


def _sections(known: Iterable[Scheduler]) -> Iterator[str]:
    for one in known:
        yield ""
        yield f"## {one.name}"
        yield ""
        yield f"{one.algorithm} {one.characteristics} {one.performance_profile}"
        yield ""
        yield from _points(one)
        yield from _knob_table(one)


def _points(one: Scheduler) -> Iterator[str]:
    points = {
        "Limits": "; ".join(one.limitations),
        "Needs": needs_text(one.requirements),
        "Changes beside scheduling": "; ".join(one.program.side_effects) if one.program else "",
        "Must hold": "; ".join(rule.sentence() for rule in one.rules),
        "Profiles": "; ".join(
            f"{name} (`{settings_text(settings)}`)" for name, settings in one.modes.items() if settings
        ),
        "Profiles that are its defaults": ", ".join(name for name, settings in one.modes.items() if not settings),
        "Accepted, but without effect": ", ".join(f"`{knob.name}`" for knob in one.knobs if knob.status != "active"),
    }
    yield from (f"- {title}: {text}." for title, text in points.items() if text)


def _knob_table(one: Scheduler) -> Iterator[str]:
    yield ""
    if not one.active_knobs:
        yield "No knobs."
        return
    yield "| knob | takes | default | what it does |"
    yield "| --- | --- | --- | --- |"
    for knob in one.active_knobs:
        option = "" if knob.flag is None or knob.flag.startswith("--") else f" (`{knob.flag}`)"
        yield _row(f"`{knob.name}`{option}", knob.allowed(), knob.default_text(), _what(knob))


def _what(knob: Knob) -> str:
    parts = [knob.description]
    parts += [f"With {_names(knob.requires)}."] if knob.requires else []
    parts += [f"Not with {_names(knob.conflicts)}."] if knob.conflicts else []
    parts += [f"Only with {', '.join(TRAITS[trait] for trait in knob.needs)}."] if knob.needs else []
    parts += [knob.note] if knob.note else []
    return " ".join(parts)


def _names(knobs: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in knobs)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
