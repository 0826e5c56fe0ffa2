# SPDX-License-Identifier: MIT
"""Knobs: the values they take, the rules between several, and how settings become a program's options."""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

from autotune.errors import UsageError
from autotune.records import KnobValue, knob_text

KnobType = Literal["integer", "float", "boolean", "string"]
Trait = Literal["several_llcs", "numa", "core_types", "smt", "schedutil", "nohz_full"]
"""Traits a machine may have (`autotune.machine.traits` detects them): several last-level caches, several NUMA nodes,
big and little cores, SMT siblings, the frequency governor that listens to schedulers, CPUs booted without ticks."""
_LEAST, _MOST = -(2**63), 2**64 - 1
"""What the 64 bits of a program's number hold. A float that is infinite or no number is outside too."""
BETWEEN = "+"
"""Separates the values of a knob that takes several: `dsq_time_slices=500+2500`. A comma separates knobs."""
MOST_NEAR = 3
"""Most names that are suggested in place of a wrong one."""
FEW = 6
"""So many names are listed in an error; for more it says where they are listed."""
_PATHS: Mapping[str | None, str] = {"path": "/sys/fs/bpf/", "cgroup path": "/"}
"""Units of texts that are paths, and where these begin. A cgroup's counts from the mount of cgroup v2."""
_SAFE_TEXT = re.compile(r"[A-Za-z0-9_.:/*][A-Za-z0-9_.,:/*+ -]{0,255}")
"""Characters allowed in a text value: CPU lists, masks, names. Models propose such values too, and they become
arguments of a program."""


class Strict(BaseModel):
    """A part of the catalogue; unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Range(Strict):
    """Both ends included; None is open. `how` names who enforces it: `stated` is only advice, `proven` are the values
    for which the seal of a generated scheduler holds; the others are known of binaries."""

    min: int | float | None = None
    max: int | float | None = None
    how: Literal["parser", "startup", "clamped", "stated", "implied", "proven"] | None = None
    note: str | None = None

    def holds(self, value: float) -> bool:
        above = self.min is None or value >= self.min
        return self.how == "stated" or (above and (self.max is None or value <= self.max))


class Knob(Strict):
    """A tunable. For a binary, `flag` is its command line option."""

    name: str
    type: KnobType
    """Range of each single value, where the knob is repeatable."""
    description: str
    unit: str | None = None
    default: KnobValue | None = None
    """None: unset, or found by `default_rule`."""
    default_rule: str | None = None
    range: Range | None = None
    options: tuple[str, ...] = ()
    """The only texts that it takes."""
    keywords: tuple[str, ...] = ()
    """Texts that it takes besides others, such as CPU lists."""
    flag: str | None = None
    short: str | None = None
    takes_value: bool = True
    """False for a switch, which is given or not."""
    repeatable: bool = False
    """Whether it takes several values, joined by `+`; the option is repeated for each."""
    requires: tuple[str, ...] = ()
    """Knobs that must also be set or on for it to be accepted or to matter."""
    conflicts: tuple[str, ...] = ()
    needs: tuple[Trait, ...] = ()
    """Traits of the machine without which it changes nothing."""
    status: Literal["active", "deprecated", "no_effect"] = "active"
    note: str | None = None

    def parse(self, text: str) -> KnobValue:
        """Parse a value. Raises UsageError naming what is allowed."""
        value = text if self.repeatable else parsed(self.type, text)
        if value is None:
            raise UsageError(f"knob '{self.name}' takes {self.allowed()}, not '{text}'")
        self.check(value)
        return value

    def check(self, value: KnobValue) -> None:
        """Raise UsageError when the value is of another type or out of range."""
        values = self.values(value)
        if not values or not all(self._fits(one) for one in values):
            raise UsageError(f"knob '{self.name}' takes {self.allowed()}, not {knob_text(value)}")

    def values(self, value: KnobValue) -> list[KnobValue | None]:
        """Return the single values in one setting; None for a part that does not parse."""
        if not self.repeatable or not isinstance(value, str):
            return [value]
        return [parsed(self.type, part) for part in value.split(BETWEEN)]

    def _fits(self, value: KnobValue | None) -> bool:
        if value is None or not _is_of(self.type, value) or (self.options and value not in self.options):
            return False
        if isinstance(value, str):
            return _SAFE_TEXT.fullmatch(value) is not None and self._leads_nowhere_else(value)
        if isinstance(value, bool):
            return True
        return _LEAST <= value <= _MOST and (self.range is None or self.range.holds(value))

    def _leads_nowhere_else(self, text: str) -> bool:
        """Return whether a text is no path, or one of where this knob looks: the program opens it as root."""
        begins_well = text.startswith(_PATHS[self.unit]) if self.unit in _PATHS else not text.startswith("/")
        return begins_well and ".." not in text.split("/")

    def allowed(self) -> str:
        """Describe the values that it takes."""
        if self.type == "boolean":
            return "true or false"
        if self.options:
            return f"one of {', '.join(self.options)}"
        words = {"integer": "a whole number", "float": "a number", "string": "a text"}[self.type]
        if self.range is not None and (self.range.min is not None or self.range.max is not None):
            words += _between(self.range) + (" as it was proven" if self.range.how == "proven" else "")
        words += f" ({self.unit})" if self.unit else ""
        words += f" below {_PATHS[self.unit]}" if self.unit in _PATHS else ""
        words += f", or {', '.join(self.keywords)}" if self.keywords else ""
        return f"{words}; several are joined by {BETWEEN}" if self.repeatable else words

    def default_text(self) -> str:
        """The default, or how it is found."""
        return self.default_rule or "unset" if self.default is None else knob_text(self.default)

    def arguments(self, value: KnobValue) -> list[str]:
        """Turn the setting into a program's arguments. A value is joined to a long option by `=`, so that it can never
        pass for an option; C programs have short options only, which take the next argument whatever it is."""
        if self.flag is None:
            raise UsageError(f"knob '{self.name}' is not an option of a program")
        if not self.takes_value:
            return [self.flag] if value else []
        texts = [knob_text(one) for one in self.values(value) if one is not None]
        if self.flag.startswith("--"):
            return [f"{self.flag}={text}" for text in texts]
        return [argument for text in texts for argument in (self.flag, text)]


def _between(range_: Range) -> str:
    """Describe the range as a phrase: ` from 1 to 99`, ` of at least 0`."""
    if range_.min is not None and range_.max is not None:
        return f" from {_end(range_.min)} to {_end(range_.max)}"
    return f" of at least {_end(range_.min)}" if range_.min is not None else f" of at most {_end(range_.max)}"


def _end(value: float | None) -> str:
    """Write an end of a range; whole numbers in full, however large."""
    return str(value) if isinstance(value, int) else f"{value:g}"


def parsed(kind: KnobType, text: str) -> KnobValue | None:
    """Parse a text as a value of a type; None when it does not parse."""
    try:
        if kind == "boolean":
            return {"true": True, "false": False, "1": True, "0": False}.get(text.lower())
        if kind == "integer":
            return int(text)
        return float(text) if kind == "float" else text
    except ValueError:
        return None


def _is_of(kind: KnobType, value: KnobValue) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if kind == "float":
        return isinstance(value, (int, float))
    return isinstance(value, int if kind == "integer" else str) and kind != "boolean"


def find(knobs: Sequence[Knob], name: str, owner: str) -> Knob:
    """Return the knob of this name. Raises UsageError naming the existing ones."""
    for knob in knobs:
        if knob.name == name:
            return knob
    where = f"'autotune schedulers show {owner}' lists them" if knobs else "it has no knobs"
    raise unknown(f"{owner} has no knob '{name}'", name, [knob.name for knob in knobs], where)


def unknown(
    what: str, name: str, names: Sequence[str], where: str, shown: Mapping[str, str] | None = None
) -> UsageError:
    """Return the error for a name that does not exist: with the few that are near, as they are `shown`, or else `where`
    all are listed."""
    near = [(shown or {}).get(one, one) for one in _near(name, names)]
    if near:
        *others, last = (f"'{one}'" for one in near)
        return UsageError(what, hint=f"did you mean {', '.join(others)}{' or ' if others else ''}{last}?")
    return UsageError(what, hint=f"there are: {', '.join(names)}" if 0 < len(names) <= FEW else where)


def _near(name: str, names: Sequence[str]) -> list[str]:
    """Return the nearest names, the best first, without those that are clearly further away than the best."""
    near = difflib.get_close_matches(name, names, MOST_NEAR)
    if near:
        ratios = [difflib.SequenceMatcher(None, one, name).ratio() for one in near]
        return [one for one, ratio in zip(near, ratios, strict=True) if ratio >= ratios[0] - 0.1]
    inside = [one for one in names if name and name in one]
    return inside if len(inside) <= MOST_NEAR else []


# --- between knobs ---------------------------------------------------------------------------------------


class Rule(Strict):
    """A condition between two knobs, defaults included: `at_most` and `below` compare their values, `as_many_as` the
    number of values of `knob` with the value of `other`; `rising` is about the values of `knob` alone."""

    kind: Literal["at_most", "below", "as_many_as", "rising"]
    knob: str
    other: str = ""
    or_zero: bool = False
    """A value of 0 for `other` turns the rule off."""
    because: str
    """The reason as a clause: `the scheduler ends at once`."""

    def broken(self, knobs: Sequence[Knob], settings: Mapping[str, KnobValue]) -> str | None:
        """Describe how the settings break the rule; None when they do not, or when a value is unknown."""
        mine = _values_of(knobs, self.knob, settings)
        if not mine:
            return None
        if self.kind == "rising":
            return None if all(low < high for low, high in itertools.pairwise(mine)) else self.sentence()
        others = _values_of(knobs, self.other, settings)
        if not others or (self.or_zero and others[0] == 0):
            return None
        fits = {
            "as_many_as": len(mine) == others[0],
            "at_most": mine[0] <= others[0],
            "below": mine[0] < others[0],
        }[self.kind]
        words = f"{self._words()}, not {_shown(mine)} against {_shown(others)}"
        return None if fits else f"{words}: {self.because}"

    def sentence(self) -> str:
        """Describe the rule, with its reason."""
        off = f" (unless {self.other} is 0)" if self.or_zero else ""
        return f"{self._words()}{off}: {self.because}"

    def _words(self) -> str:
        return {
            "rising": f"the values of {self.knob} must rise",
            "as_many_as": f"{self.knob} must have as many values as {self.other} says",
            "at_most": f"{self.knob} must be at most {self.other}",
            "below": f"{self.knob} must be below {self.other}",
        }[self.kind]


def _values_of(knobs: Sequence[Knob], name: str, settings: Mapping[str, KnobValue]) -> list[float]:
    knob = find(knobs, name, "it")
    value = settings.get(name, knob.default)
    found = [] if value is None else knob.values(value)
    return [float(one) for one in found if isinstance(one, (int, float))]


def _shown(values: Iterable[float]) -> str:
    return BETWEEN.join(f"{value:g}" for value in values)


def check_together(owner: str, knobs: Sequence[Knob], rules: Sequence[Rule], settings: Mapping[str, KnobValue]) -> None:
    """Raise UsageError when settings are right one by one but do not go together."""
    for name, value in settings.items():
        knob = find(knobs, name, owner)
        if value is False:
            continue
        for other in knob.requires:
            if settings.get(other, find(knobs, other, owner).default) in (None, False):
                raise UsageError(f"{owner}: knob '{name}' needs '{other}' as well", hint=f"set {other} too")
        for other in knob.conflicts:
            if settings.get(other) not in (None, False):
                raise UsageError(f"{owner}: knobs '{name}' and '{other}' exclude each other", hint="leave one out")
    for rule in rules:
        problem = rule.broken(knobs, settings)
        if problem is not None:
            raise UsageError(f"{owner}: {problem}", hint="set them together")
