# SPDX-License-Identifier: MIT
"""The catalogue: what schedulers there are, what they are for, and what their knobs take.

`schedulers.json` is the only list. Its schema holds both kinds: `bpf`, objects built from `bpf_src/` whose knobs are
`const volatile` variables, and `binary`, programs whose knobs are command line options.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from autotune import resources
from autotune.errors import AutotuneError, UsageError
from autotune.records import AttachSpec, Candidate, KnobValue, knob_text

CUSTOM = "custom:"
"""Before the names of generated schedulers."""

KnobType = Literal["integer", "float", "boolean", "string"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Range(_Strict):
    """Both ends belong to it; None is open. `how` says who enforces it (facts of binaries)."""

    min: int | float | None = None
    max: int | float | None = None
    how: str | None = None
    note: str | None = None


class Knob(_Strict):
    """A tunable. For a binary, `flag` is its command line option."""

    name: str
    type: KnobType
    description: str
    unit: str | None = None
    default: KnobValue | None = None
    """None: unset, or found by `default_rule`."""
    default_rule: str | None = None
    range: Range | None = None
    options: tuple[str, ...] = ()
    flag: str | None = None
    short: str | None = None
    takes_value: bool = True
    repeatable: bool = False
    requires: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    status: Literal["active", "deprecated", "no_effect"] = "active"
    note: str | None = None

    def parse(self, text: str) -> KnobValue:
        """The value that a text names. Raises UsageError saying what is allowed."""
        value = _parsed(self.type, text)
        if value is None:
            raise UsageError(f"knob '{self.name}' takes {self.allowed()}, not '{text}'")
        self.check(value)
        return value

    def check(self, value: KnobValue) -> None:
        """Raises UsageError when the value is of another type or out of range."""
        low = self.range.min if self.range else None
        high = self.range.max if self.range else None
        fits = _is_of(self.type, value) and (not self.options or value in self.options)
        if fits and isinstance(value, (int, float)) and not isinstance(value, bool):
            fits = (low is None or value >= low) and (high is None or value <= high)
        if not fits:
            raise UsageError(f"knob '{self.name}' takes {self.allowed()}, not {knob_text(value)}")

    def allowed(self) -> str:
        """What it takes, in words."""
        if self.type == "boolean":
            return "true or false"
        if self.options:
            return f"one of {', '.join(self.options)}"
        words = {"integer": "a whole number", "float": "a number", "string": "a text"}[self.type]
        if self.range is not None and (self.range.min is not None or self.range.max is not None):
            low, high = _end(self.range.min), _end(self.range.max)
            words += f" from {low} to {high}"
        return f"{words} ({self.unit})" if self.unit else words


def _end(value: float | None) -> str:
    """An end of a range; whole numbers in full, however large."""
    return "any" if value is None else str(value) if isinstance(value, int) else f"{value:g}"


def _parsed(kind: KnobType, text: str) -> KnobValue | None:
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


class Requirements(_Strict):
    """What the machine must have."""

    kernel_min: str | None = None
    features: tuple[str, ...] = ()


class Scheduler(_Strict):
    """An entry of the catalogue. `performance_profile` says what to expect of it, in a sentence."""

    name: Annotated[str, Field(pattern=r"^(custom:)?[a-z][a-z0-9_]*$")]
    kind: Literal["bpf", "binary"]
    ops_name: str
    source: str
    """A file of `bpf_src/`, or the crate of a binary."""
    production_ready: bool | None
    description: Annotated[str, Field(max_length=100)]
    algorithm: str
    use_cases: tuple[str, ...]
    characteristics: str
    limitations: tuple[str, ...]
    performance_profile: str
    requirements: Requirements = Requirements()
    tags: tuple[str, ...] = ()
    knobs: tuple[Knob, ...] = ()
    modes: dict[str, tuple[str, ...]] = {}
    """Flags of a loader's profiles, by profile."""
    version: str | None = None

    @property
    def is_generated(self) -> bool:
        """Written by a model or a user, and kept apart from our own (`custom`)."""
        return self.name.startswith(CUSTOM)

    @model_validator(mode="after")
    def _consistent(self) -> Scheduler:
        names = [knob.name for knob in self.knobs]
        if len(set(names)) < len(names):
            raise ValueError(f"{self.name} names a knob twice")
        for knob in self.knobs:
            if knob.default is not None:
                try:
                    knob.check(knob.default)
                except UsageError as error:
                    raise ValueError(f"{self.name}: default: {error.message}") from error
        return self

    def knob(self, name: str) -> Knob:
        """Raises UsageError naming the knobs there are."""
        for knob in self.knobs:
            if knob.name == name:
                return knob
        raise UsageError(
            f"{self.name} has no knob '{name}'{_nearest(name, [knob.name for knob in self.knobs])}",
            hint=f"it has: {', '.join(knob.name for knob in self.knobs) or 'none'}",
        )


class Catalog:
    """The schedulers that can be tried."""

    def __init__(self, schedulers: Sequence[Scheduler]) -> None:
        self.schedulers = tuple(schedulers)

    @classmethod
    def load(cls, path: Path | None = None) -> Catalog:
        """Read and check the list. Raises AutotuneError saying where it is wrong."""
        path = path or resources.schedulers_json()
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            return cls([Scheduler.model_validate(entry) for entry in data["schedulers"]])
        except OSError as error:
            raise AutotuneError(f"{path.name}: {error.strerror}", hint="install autotune again") from error
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise AutotuneError(f"{path.name} is wrong at {where or 'top'}: {first['msg']}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise AutotuneError(f"{path.name} is not a catalogue: {error}") from error

    def add(self, scheduler: Scheduler) -> None:
        """Take in one that was just verified; everybody who holds this catalogue sees it."""
        others = [one for one in self.schedulers if one.name != scheduler.name]
        self.schedulers = (*others, scheduler)

    def get(self, name: str) -> Scheduler:
        """Raises UsageError naming what there is."""
        for scheduler in self.schedulers:
            if scheduler.name == name:
                return scheduler
        names = [scheduler.name for scheduler in self.schedulers]
        known = ", ".join(names)
        raise UsageError(f"no scheduler is called '{name}'{_nearest(name, names)}", hint=f"there are: {known}")

    def parse_candidate(self, text: str) -> Candidate:
        """`NAME[:knob=value,...]` as `--scheduler` takes it. Raises UsageError."""
        prefix = CUSTOM if text.startswith(CUSTOM) else ""
        name, _, settings = text.removeprefix(prefix).partition(":")
        scheduler = self.get(prefix + name.strip())
        knobs: dict[str, KnobValue] = {}
        for setting in filter(None, (part.strip() for part in settings.split(","))):
            knob, equals, value = setting.partition("=")
            if not equals:
                example = f"{scheduler.name}:{_example(scheduler)}"
                raise UsageError(f"'{setting}' is not knob=value", hint=f"such as {example}")
            if knob in knobs:
                raise UsageError(f"knob '{knob}' is given twice in '{text}'")
            knobs[knob] = scheduler.knob(knob.strip()).parse(value.strip())
        return Candidate(scheduler.name, tuple(sorted(knobs.items())))

    def validate(self, candidate: Candidate) -> None:
        """Raises UsageError for an unknown scheduler or knob, and for a value that it does not take."""
        scheduler = self.get(candidate.scheduler)
        for name, value in candidate.knobs:
            scheduler.knob(name).check(value)

    def attach_spec(self, candidate: Candidate, object_path: Path) -> AttachSpec:
        """What a machine must know to attach a checked candidate of kind `bpf`."""
        self.validate(candidate)
        settings = dict(candidate.knobs)
        return AttachSpec(
            ops=self.get(candidate.scheduler).ops_name,
            object_path=str(object_path),
            rodata=settings,
            partial=settings.get("partial") is True,
        )


def _nearest(name: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, names, 1)
    return f" (did you mean '{near[0]}'?)" if near else ""


def _example(scheduler: Scheduler) -> str:
    knob = next((knob for knob in scheduler.knobs if knob.default is not None), None)
    return f"{knob.name}={knob_text(knob.default)}" if knob is not None and knob.default is not None else "knob=value"
