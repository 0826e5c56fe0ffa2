# SPDX-License-Identifier: MIT
"""The settings of a scheduler as points of a grid, for a search over its knobs.

Each knob that has an effect here is a dimension with a few values. Numbers that span decades rise by nearly equal
factors, the others by equal steps; smaller steps rarely have an effect above the noise. A number whose range is open is
searched around its default. The rest of a profile (switches and texts of a program) is one dimension, the profile.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from autotune.errors import UsageError
from autotune.frozen import dataclass
from autotune.records import KnobValue, MachineInfo
from autotune.schedext.catalogue.catalog import Scheduler
from autotune.schedext.catalogue.knobs import Knob

PROFILES = ("lowlatency", "gaming", "server")
"""Profiles worth trying for speed: `auto` is close to the defaults, and `powersave` saves power."""
REACH = 64
"""A number is searched from its default over this factor to its default times this factor, within its range."""
PROFILE = "(profile)"
"""Name of the dimension for what a profile sets besides the other dimensions. No knob has such a name."""
_SERIES = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)
"""Numbers in a decade."""
_FEW = 1024
"""A closed range that is no wider is searched in equal steps."""
_STEPS = 20
"""Equal steps in a range, at most."""
_DECADES = 30
"""From this ratio of its ends on, a range is searched by factors."""
_OF_UNIT: Mapping[str | None, tuple[float, float]] = {"us": (100, 100_000), "ms": (1, 1000)}
"""Range to search, by unit, where the default is 0: it shows no scale."""

Point = Mapping[str, int]
"""For each dimension, the index of its value."""


@dataclass(frozen=True)
class Dimension:
    """The values of one knob, rising where they are `ordered`."""

    name: str
    values: tuple[KnobValue, ...]
    ordered: bool

    def nearest(self, value: KnobValue) -> int | None:
        """Return the index of this value, or of the nearest number; None when there is no such value."""
        if value in self.values:
            return self.values.index(value)
        if not self.ordered or isinstance(value, (bool, str)):
            return None
        return min(range(len(self.values)), key=lambda index: _distance(self.values[index], value))


@dataclass(frozen=True)
class Space:
    """The grid of one scheduler on one machine."""

    scheduler: Scheduler
    dimensions: tuple[Dimension, ...]
    bases: tuple[Mapping[str, KnobValue], ...]
    """What a point sets besides its knobs, by the index of PROFILE: nothing, or the rest of a profile."""

    def settings(self, point: Point) -> dict[str, KnobValue]:
        """Return the settings at a point, without those that equal the defaults."""
        given = dict(self.bases[point.get(PROFILE, 0)])
        given.update((one.name, one.values[point[one.name]]) for one in self.dimensions if one.name != PROFILE)
        return dict(self.scheduler.candidate(given).knobs)

    def point(self, settings: Mapping[str, KnobValue]) -> dict[str, int] | None:
        """Return the point next to these settings; None when they are outside of the grid."""
        knobs = [one for one in self.dimensions if one.name != PROFILE]
        named = {one.name for one in knobs}
        rest = {name: value for name, value in self.scheduler.candidate(settings).knobs if name not in named}
        found = {one.name: one.nearest(_value(self.scheduler, one.name, settings)) for one in knobs}
        base = next((index for index, one in enumerate(self.bases) if one == rest), None)
        if len(self.bases) > 1:
            found[PROFILE] = base
        point = {name: index for name, index in found.items() if index is not None}
        return point if base is not None and len(point) == len(found) else None

    def allows(self, settings: Mapping[str, KnobValue]) -> bool:
        """Return whether the settings keep the scheduler's rules."""
        return goes_together(self.scheduler, settings)

    def neighbours(self, point: Point) -> Iterator[dict[str, int]]:
        """Yield the points that differ in one dimension: by one step where it is ordered, else by any value."""
        for one in self.dimensions:
            at = point[one.name]
            others = (at + 1, at - 1) if one.ordered else range(len(one.values))
            for index in others:
                if index != at and 0 <= index < len(one.values):
                    yield {**point, one.name: index}


def of(scheduler: Scheduler, machine: MachineInfo) -> Space:
    """Return the grid of a scheduler on this machine; without a dimension when there is nothing to search."""
    found = [_dimension(knob) for knob in scheduler.knobs if _is_free(knob, scheduler, machine)]
    knobs = [one for one in found if one is not None and len(one.values) > 1]
    bases = _bases(scheduler, {one.name for one in knobs})
    if len(bases) > 1:
        names: tuple[KnobValue, ...] = tuple(map(str, range(len(bases))))
        knobs.append(Dimension(PROFILE, names, ordered=False))
    return Space(scheduler, tuple(knobs), bases)


def can_be_turned(knob: Knob, scheduler: Scheduler, machine: MachineInfo) -> bool:
    """Return whether to vary a knob: it has an effect on this machine. Switches of programs are left to their profiles:
    there are many, and they change a lot."""
    if knob.name == "partial" or knob.status != "active" or knob.repeatable:
        return False
    if scheduler.kind == "binary" and knob.type == "boolean":
        return False
    return machine.traits is None or set(knob.needs) <= set(machine.traits)


def goes_together(scheduler: Scheduler, settings: Mapping[str, KnobValue]) -> bool:
    """Return whether the scheduler takes these settings."""
    try:
        scheduler.check(settings)
    except UsageError:
        return False
    return True


def profiles(scheduler: Scheduler) -> Iterator[tuple[str, dict[str, KnobValue]]]:
    """Yield the profiles worth trying, with their settings."""
    for name in PROFILES:
        if scheduler.modes.get(name):
            yield name, dict(scheduler.modes[name])


def _is_free(knob: Knob, scheduler: Scheduler, machine: MachineInfo) -> bool:
    """Return whether a knob can be varied by itself: it is on by default, and does not count the values of another."""
    if not can_be_turned(knob, scheduler, machine) or any(
        scheduler.knob(other).default in (None, False) for other in knob.requires
    ):
        return False
    return not any(rule.kind == "as_many_as" and knob.name in (rule.knob, rule.other) for rule in scheduler.rules)


def _bases(scheduler: Scheduler, names: set[str]) -> tuple[Mapping[str, KnobValue], ...]:
    found: list[Mapping[str, KnobValue]] = [{}]
    for _, settings in profiles(scheduler):
        rest = {name: value for name, value in scheduler.candidate(settings).knobs if name not in names}
        if rest not in found:
            found.append(rest)
    return tuple(found)


# --- the values of one knob ------------------------------------------------------------------------------


def _dimension(knob: Knob) -> Dimension | None:
    default = knob.default
    if isinstance(default, bool):
        return Dimension(knob.name, (False, True), ordered=False)
    if knob.options:
        return Dimension(knob.name, knob.options, ordered=False) if default in knob.options else None
    if isinstance(default, (int, float)):
        return Dimension(knob.name, tuple(_numbers(knob, default)), ordered=True)
    return None


def _numbers(knob: Knob, default: float) -> list[KnobValue]:
    """Return the numbers to try, rising; the default is always one."""
    low, high = (knob.range.min, knob.range.max) if knob.range else (None, None)
    if low is not None and high is not None and _is_even(low, high):
        raw = _steps(low, high, whole=knob.type == "integer")
    else:
        raw = _factors(knob, default, low, high)
    whole = knob.type == "integer"
    values = {round(value) if whole else float(f"{value:.6g}") for value in raw}
    return sorted(value for value in {*values, default} if _fits(knob, value))


def _is_even(low: float, high: float) -> bool:
    return high - low <= _FEW and not (low > 0 and high / low >= _DECADES)


def _steps(low: float, high: float, *, whole: bool) -> list[float]:
    step = (high - low) / _STEPS
    step = max(1, math.ceil(step)) if whole else step
    count = int((high - low) / step + 1e-9) if step else 0
    return [low + step * index for index in range(count + 1)] + [high]


def _factors(knob: Knob, default: float, low: float | None, high: float | None) -> list[float]:
    begin, end = (default / REACH, default * REACH) if default > 0 else _OF_UNIT.get(knob.unit, (1, 0))
    begin = begin if low is None else max(begin, low)
    end = end if high is None else min(end, high)
    if begin > end:
        return []
    decades = range(math.floor(math.log10(begin)), math.ceil(math.log10(end)) + 1)
    raw = [value * 10.0**decade for decade in decades for value in _SERIES]
    found = [value for value in raw if begin <= value <= end]
    if low is None or high is None:  # an open range says what is accepted, not what makes sense
        return found
    return [*found, *(one for one in (low, high) if begin <= one <= end or one == 0)]


def _fits(knob: Knob, value: KnobValue) -> bool:
    try:
        knob.check(value)
    except UsageError:
        return False
    return True


def _distance(one: KnobValue, other: float) -> float:
    """Return how far two numbers are from each other: by their ratio where there is one."""
    assert isinstance(one, (int, float))
    if one > 0 and other > 0:
        return abs(math.log(one / other))
    return math.inf if one > 0 or other > 0 else abs(one - other)


def _value(scheduler: Scheduler, name: str, settings: Mapping[str, KnobValue]) -> KnobValue:
    default = scheduler.knob(name).default
    assert default is not None
    return settings.get(name, default)
