# SPDX-License-Identifier: MIT
"""Compares the catalogue's options of a program with the program's own help text. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from autotune.frozen import dataclass
from autotune.records import KnobValue, knob_text
from autotune.schedext.catalogue.catalog import Scheduler
from autotune.schedext.catalogue.knobs import BETWEEN, Knob, parsed
from autotune.schedext.programs.help_text import Option

ALWAYS = frozenset({"--help", "-h", "--version", "-V"})
"""Options that every program has and that are never tuned."""
LIBRARY = frozenset({"--relaxed-maps", "--pin-root-path", "--kconfig", "--btf-custom-path", "--bpf-token-path"})
"""Options of the library that loads BPF objects; they change no scheduling."""

Kind = Literal["new", "gone", "default", "values", "takes_value"]


@dataclass(frozen=True)
class Difference:
    """One difference between a program and its catalogue entry, as a sentence."""

    kind: Kind
    flag: str
    sentence: str


def drift(scheduler: Scheduler, options: Sequence[Option]) -> list[Difference]:
    """Return all differences: the program's own options first, in its order."""
    assert scheduler.program is not None
    known = {name: knob for knob in scheduler.knobs for name in (knob.flag, knob.short) if name}
    ignored = {*ALWAYS, *LIBRARY, *scheduler.program.not_knobs, *scheduler.program.hidden}
    found: list[Difference] = []
    for option in options:
        knob = known.get(option.flag) or (known.get(option.short) if option.short else None)
        if knob is not None:
            found += _compared(knob, option)
        elif not {option.flag, option.short} & ignored:
            found.append(
                Difference("new", option.flag, f"{option.flag} is not in the catalogue{_first_sentence(option)}")
            )
    return found + list(_gone(scheduler, options))


def _first_sentence(option: Option) -> str:
    first = option.text.split(". ")[0].rstrip(".")
    return f": {first[:100]}" if first else ""


def _gone(scheduler: Scheduler, options: Sequence[Option]) -> Iterator[Difference]:
    assert scheduler.program is not None
    there = {name for option in options for name in (option.flag, option.short)} | set(scheduler.program.hidden)
    for knob in scheduler.knobs:
        if knob.flag is not None and knob.flag not in there:
            yield Difference("gone", knob.flag, f"{knob.flag} (knob {knob.name}) is not an option of the program")
    for argument in scheduler.program.arguments:
        flag = argument.partition("=")[0]
        if flag.startswith("-") and flag not in there:
            yield Difference("gone", flag, f"{flag}, which it is always given, is not an option of the program")


def _compared(knob: Knob, option: Option) -> Iterator[Difference]:
    flag = option.flag
    if option.takes_value != knob.takes_value and not option.value_optional:
        words = ("takes a value", "is a switch")
        says, believed = words if option.takes_value else reversed(words)
        yield Difference("takes_value", flag, f"{flag} {says}; the catalogue says that it {believed}")
        return
    if option.default is not None and not _same_default(knob, option.default):
        believed = knob.default_rule or ("no default" if knob.default is None else knob_text(knob.default))
        yield Difference("default", flag, f"{flag} is {option.default} by default; the catalogue says {believed}")
    if option.options and knob.type != "boolean" and set(option.options) != set(knob.options) | set(knob.keywords):
        believed = ", ".join((*knob.options, *knob.keywords)) or "any"
        yield Difference("values", flag, f"{flag} takes {', '.join(option.options)}; the catalogue says {believed}")


def _same_default(knob: Knob, default: str) -> bool:
    """Return whether defaults agree. An empty one, or one that the catalogue has a rule for, is not compared."""
    if not default or (knob.default is None and knob.default_rule is not None):
        return True
    if knob.default is None:
        return False
    text = BETWEEN.join(default.split()) if knob.repeatable else default
    return _values(knob, text) == _values(knob, knob.default)


def _values(knob: Knob, value: KnobValue) -> list[KnobValue | None]:
    """Return single values as numbers, so that `0.50` equals `0.5`."""
    if isinstance(value, str) and not knob.repeatable:
        return [parsed(knob.type, value)]
    return knob.values(value)
