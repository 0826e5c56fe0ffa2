# SPDX-License-Identifier: MIT
"""Views of the catalogue: all schedulers in a table, and one in full. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from autotune.frozen import dataclass
from autotune.records import knob_text
from autotune.report.text import printable
from autotune.views.paragraphs import Lines, paragraph

if TYPE_CHECKING:
    from autotune.schedext.catalogue.catalog import Requirements, Scheduler
    from autotune.schedext.catalogue.knobs import Knob, Range

LEAST_WHAT = 40
"""Least width of the last column; in a narrower terminal its text goes below the row."""
HEAD = ("NAME", "KIND", "READY", "VERSION", "FOUND", "WHAT")
TRAITS = {
    "several_llcs": "several last-level caches",
    "numa": "several NUMA nodes",
    "core_types": "fast and slow cores",
    "smt": "SMT siblings",
    "schedutil": "the schedutil frequency governor",
    "nohz_full": "CPUs booted without ticks (nohz_full)",
}
"""Machine traits (`schedext.catalogue.knobs.Trait`) in words."""
ENFORCED = {
    "parser": "the program refuses it",
    "startup": "the program does not start",
    "clamped": "the program uses the nearest value in the range",
    "stated": "the program accepts it, against its documentation",
    "implied": "the program does not check it, and misbehaves; autotune refuses it",
    "proven": "it was not proven, and autotune refuses it",
}
"""Treatment of values out of range, by `Range.how`."""


@dataclass(frozen=True)
class ListingRow:
    """A scheduler, and what is installed of it on this machine."""

    scheduler: Scheduler
    found: str = ""
    """Origin: `built in`, `store`, `PATH` or `distribution`; empty when it is absent."""
    version: str = ""
    """Version of the installed program; empty when there is none or it is not known."""
    get: str = ""
    """Command that installs it; empty when it is here."""


# --- the table -------------------------------------------------------------------------------------------


def schedulers(rows: Sequence[ListingRow], *, width: int) -> Lines:
    """List one row per scheduler, and how to get those that are not here."""
    cells = [HEAD, *(_cells(row) for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(HEAD) - 1)]
    for row in cells:
        yield from _table_row(row, widths, width)
    yield ""
    yield from _ways_to_get(rows, width)
    legend = "READY: whether its makers call it ready for production; - where they do not say."
    yield from paragraph(f"{legend} 'autotune schedulers show NAME' explains one.", width, 0)


def _cells(row: ListingRow) -> tuple[str, ...]:
    one = row.scheduler
    cells = (one.name, _kind(one), ready_word(one), row.version or "-", row.found or "-", one.description)
    return tuple(printable(cell) for cell in cells)


def _kind(one: Scheduler) -> str:
    return "custom" if one.is_generated else "ours" if one.kind == "bpf" else "program"


def ready_word(one: Scheduler) -> str:
    """Return whether its makers call it ready for production: yes, no, or - where they do not say."""
    return {True: "yes", False: "no", None: "-"}[one.production_ready]


def _table_row(row: Sequence[str], widths: Sequence[int], width: int) -> Lines:
    *cells, what = row
    line = "  ".join(f"{cell:<{space}}" for cell, space in zip(cells, widths, strict=True))
    left = width - len(line) - 2
    if left < LEAST_WHAT:
        yield line.rstrip()
        yield from paragraph(what, width, 2) if row is not HEAD else []
        return
    first, *rest = paragraph(what, left, 0) or [""]
    yield f"{line}  {first}".rstrip()
    yield from (" " * (len(line) + 2) + more for more in rest)


def _ways_to_get(rows: Iterable[ListingRow], width: int) -> Lines:
    """List each way to get schedulers once, with their names."""
    ways: dict[str, list[str]] = {}
    for row in rows:
        if row.get:
            ways.setdefault(row.get.replace(row.scheduler.name, "NAME"), []).append(row.scheduler.name)
    for way, names in ways.items():
        yield from paragraph(f"Not here: {', '.join(names)}.", width, 0, 2)
        yield f"  get one: {printable(way)}"  # one line, so that it can be copied
        yield ""


# --- one scheduler ---------------------------------------------------------------------------------------


def scheduler(one: Scheduler, *, width: int, row: ListingRow | None = None) -> Lines:
    """Describe one scheduler: what it is, what it needs and changes, and all its knobs."""
    yield from paragraph(f"{one.name}: {one.description}", width, 0)
    yield ""
    for title, text in _facts(one, row):
        yield from paragraph(f"{title}: {text}", width, 2, 2)
    yield from _listed("Limits", one.limitations, width)
    yield from _listed("Changes beside scheduling", one.program.side_effects if one.program else (), width)
    yield from _listed("What must hold", [rule.sentence() for rule in one.rules], width)
    yield from _modes(one, width)
    yield from _knobs(one, width)
    yield ""
    yield f"Try it: autotune cc --scheduler {one.name}{_example(one)} 'COMMAND'"


def _facts(one: Scheduler, row: ListingRow | None) -> list[tuple[str, str]]:
    here = [] if row is None else [("Here", _here(row))]
    facts = [
        ("How it works", one.algorithm),
        ("Good for", ", ".join(one.use_cases)),
        ("Character", one.characteristics),
        ("Expect", one.performance_profile),
        ("Made for production", {True: "yes", False: "no", None: "its makers do not say"}[one.production_ready]),
        ("Needs", needs_text(one.requirements)),
        *here,
    ]
    return [(title, text) for title, text in facts if text]


def needs_text(needed: Requirements) -> str:
    """Describe what the machine must have; empty when there is nothing special."""
    kernel = f"Linux {needed.kernel_min} or newer" if needed.kernel_min else ""
    kernel += f", not {', '.join(needed.kernel_not)}" if needed.kernel_not else ""
    most = f"{needed.cpus_max} CPUs at most" if needed.cpus_max else ""
    traits = [f"{TRAITS[trait]} (of no use without)" for trait in needed.machine]
    watched = "a run that was watched ('autotune cc' does that)" if needed.profile else ""
    return "; ".join(part for part in (kernel, *traits, *needed.features, most, watched) if part)


def _here(row: ListingRow) -> str:
    if not row.found:
        return f"no; get it: {row.get}" if row.get else "no"
    version = f", version {row.version}" if row.version else ""
    return f"{row.found}{version}"


def _listed(title: str, items: Sequence[str], width: int) -> Lines:
    if items:
        yield f"  {title}:"
    for item in items:
        yield from paragraph(f"- {item}", width, 4, 2)


def _modes(one: Scheduler, width: int) -> Lines:
    if not one.modes:
        return
    yield ""
    yield f"Profiles (as {one.name}:mode=NAME):"
    plain = [name for name, settings in one.modes.items() if not settings]
    for name, settings in one.modes.items():
        if settings:
            shown = settings_text(settings).replace(",", ", ")  # so that a long line can be broken
            yield from paragraph(f"{name}: {shown}", width, 2, 4)
    if plain:
        yield from paragraph(f"{', '.join(plain)}: its defaults", width, 2, 4)


def settings_text(settings: dict[str, bool | int | float | str]) -> str:
    """Format settings as `--scheduler` takes them: `slice_us=5000,no_wake_sync=true`."""
    return ",".join(f"{name}={knob_text(value)}" for name, value in settings.items())


def _knobs(one: Scheduler, width: int) -> Lines:
    yield ""
    yield "Knobs:" if one.active_knobs else "It has no knobs."
    for knob in one.active_knobs:
        yield f"  {knob.name}"
        for text in (knob.description, *knob_facts(knob)):
            yield from paragraph(text, width, 6)
    dead = [knob for knob in one.knobs if knob.status != "active"]
    if dead:
        yield ""
        yield "Accepted, but without effect:"
    for knob in dead:
        yield from paragraph(f"{knob.name}: {knob.description} {knob.note or ''}", width, 2, 4)


def knob_facts(knob: Knob) -> list[str]:
    """List the facts of a knob: its values and default, values out of range, and other knobs it depends on."""
    takes = f"Takes {knob.allowed()}; default: {knob.default_text()}."
    option = f" Option {knob.flag}{f' ({knob.short})' if knob.short else ''}." if knob.flag else ""
    facts = [takes + option]
    facts += [_range_fact(knob.range)] if knob.range is not None and not _is_plain(knob.range) else []
    facts += [f"Takes effect with {', '.join(knob.requires)}."] if knob.requires else []
    facts += [f"Not together with {', '.join(knob.conflicts)}."] if knob.conflicts else []
    facts += [f"Changes something only with {', '.join(TRAITS[trait] for trait in knob.needs)}."] if knob.needs else []
    facts += [f"Note: {knob.note}"] if knob.note else []
    return facts


def _is_plain(range_: Range) -> bool:
    """Return whether a range needs no remark: ours, which autotune checks, or merely "not negative"."""
    return range_.how is None or (range_.how == "parser" and range_.min == 0 and range_.max is None)


def _range_fact(range_: Range) -> str:
    note = f" ({range_.note})" if range_.note else ""
    return f"Out of range: {ENFORCED[range_.how or 'implied']}{note}."


def _example(one: Scheduler) -> str:
    """Return a setting to try first."""
    mode = next((name for name, settings in one.modes.items() if settings and name != "auto"), None)
    if mode is not None:
        return f":mode={mode}"
    settings = (f":{knob.name}={knob_text(knob.default)}" for knob in one.active_knobs if knob.default is not None)
    return next(settings, "")
