# SPDX-License-Identifier: MIT
"""The catalogue: the schedulers, what they are for, and what their knobs take.

`schedulers.json` is the only list. Its schema holds both kinds: `bpf`, objects built from `bpf_src/` whose knobs are
`const volatile` variables, and `binary`, programs whose knobs are command line options.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from autotune import reading, resources
from autotune.errors import AutotuneError, UsageError
from autotune.records import BASELINE, AttachSpec, Candidate, KnobValue, knob_text
from autotune.schedext.catalogue import knobs as knob_rules
from autotune.schedext.catalogue.knobs import Knob, Rule, Strict, Trait, unknown

CUSTOM = "custom:"
"""Prefix of the names of generated schedulers."""
PREFIX = "scx_"
"""How names of the scx family begin; scxctl's users leave it out."""
MODE = "mode"
"""In settings: stands for the settings of a profile."""


class Requirements(Strict):
    """What the machine must have. `kernel_not` lists kernel series (`6.16`) known to refuse it; `features` lists in
    words what else the kernel needs."""

    kernel_min: str | None = None
    kernel_not: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    machine: tuple[Trait, ...] = ()
    """Without these it runs, but cannot do what it is made for."""
    cpus_max: int | None = None
    profile: bool = False
    """A run of the workload that was watched: without one, it knows nothing to go by."""


class ProgramEntry(Strict):
    """A scheduler that is a program of its own: how to get it, read its options, and run it."""

    language: Literal["rust", "c"]
    package: str = "scx-scheds"
    """Packages of distributions that ship it."""
    help: Literal["stdout", "stderr", "never"] = "stdout"
    """The stream that `--help` is written to; `never`: running it would attach the scheduler."""
    help_exit: int = 0
    version_option: str | None = "--version"
    """None: it has none, and running it would attach the scheduler."""
    log: Literal["stdout", "stderr"] = "stderr"
    arguments: tuple[str, ...] = ()
    """Options that are always given, unless the knob of the same option is set: without them it does not start, or does
    more than scheduling."""
    not_knobs: tuple[str, ...] = ()
    """Options that print, log or monitor, and change no scheduling."""
    hidden: tuple[str, ...] = ()
    """Options that its help does not list."""
    exits_zero_when_ejected: bool = False
    restarts: bool = True
    """It attaches itself again when a CPU comes or goes."""
    watchdog_timeout_ms: int | None = None
    """The watchdog that the scheduler itself sets; None: the kernel's."""
    side_effects: tuple[str, ...] = ()
    """What it changes besides scheduling."""
    not_in_vm: str | None = None
    """Why it cannot run in a micro-VM; None when it can."""


class Scheduler(Strict):
    """An entry of the catalogue. `performance_profile` says in one sentence what to expect of it."""

    name: Annotated[str, Field(pattern=r"^(custom:)?[a-z][a-z0-9_]*$")]
    kind: Literal["bpf", "binary"]
    ops_name: str
    source: str
    """A file of `bpf_src/`, or the crate of a binary; empty for a program that has none."""
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
    rules: tuple[Rule, ...] = ()
    modes: dict[str, dict[str, KnobValue]] = Field(default_factory=dict)
    """Settings of the profiles that scx_loader has (auto, gaming, lowlatency, powersave, server), by profile."""
    version: str | None = None
    """Version of the crate that is installed unless another is requested."""
    program: ProgramEntry | None = None

    @property
    def is_generated(self) -> bool:
        """Whether it was written by a model or a user, and is kept apart from our own (`custom`)."""
        return self.name.startswith(CUSTOM)

    @property
    def active_knobs(self) -> tuple[Knob, ...]:
        """The knobs that change something."""
        return tuple(knob for knob in self.knobs if knob.status == "active")

    @model_validator(mode="after")
    def _consistent(self) -> Scheduler:
        names = [knob.name for knob in self.knobs]
        if len(set(names)) < len(names):
            raise ValueError(f"{self.name} names a knob twice")
        if (self.kind == "binary") != (self.program is not None):
            raise ValueError(f"{self.name}: a binary has a program, and nothing else has")
        try:
            for knob in self.knobs:
                if knob.default is not None:
                    knob.check(knob.default)
            for settings in self.modes.values():
                self.check(settings)
        except UsageError as error:
            raise ValueError(f"{self.name}: {error.message}") from error
        return self

    def knob(self, name: str) -> Knob:
        """Return the knob of this name. Raises UsageError naming the existing ones."""
        return knob_rules.find(self.knobs, name, self.name)

    def has(self, name: str) -> bool:
        """Return whether it has a knob of this name."""
        return any(knob.name == name for knob in self.knobs)

    def mode(self, name: str) -> dict[str, KnobValue]:
        """Return the settings of a profile. Raises UsageError naming the existing ones."""
        if name not in self.modes:
            raise unknown(f"{self.name} has no mode '{name}'", name, list(self.modes), "it has no modes")
        return dict(self.modes[name])

    def settings(self, given: Mapping[str, str]) -> dict[str, KnobValue]:
        """Check settings given as texts by knob. `mode` stands for the settings of a profile, unless a knob has that
        name; other settings override it. Raises UsageError."""
        is_profile = MODE in given and not self.has(MODE)
        settings = self.mode(given[MODE]) if is_profile else {}
        own = {name: text for name, text in given.items() if not (is_profile and name == MODE)}
        settings.update({name: self.knob(name).parse(text) for name, text in own.items()})
        self.check(settings)
        return settings

    def check(self, settings: Mapping[str, KnobValue]) -> None:
        """Raise UsageError for an unknown knob, a value that it does not take, and settings that exclude each other."""
        for name, value in settings.items():
            self.knob(name).check(value)
        knob_rules.check_together(self.name, self.knobs, self.rules, settings)

    def candidate(self, settings: Mapping[str, KnobValue]) -> Candidate:
        """Build a candidate without settings that equal the defaults: the same settings are the same candidate."""
        changed = self._changed(settings)
        return Candidate(self.name, tuple(sorted(changed.items())), self.profile_of(changed))

    def _changed(self, settings: Mapping[str, KnobValue]) -> dict[str, KnobValue]:
        return {name: value for name, value in settings.items() if value != self.knob(name).default}

    def profile_of(self, settings: Mapping[str, KnobValue]) -> str:
        """Return the name of the profile that has exactly these settings; empty when none has, for the defaults, and
        where `mode` is a knob."""
        changed = self._changed(settings)
        found = (name for name, own in self.modes.items() if changed and self._changed(own) == changed)
        return "" if self.has(MODE) else next(found, "")

    def arguments(self, settings: Mapping[str, KnobValue]) -> tuple[str, ...]:
        """Turn checked settings into arguments of its program, in the order of the catalogue."""
        chosen = [knob for knob in self.knobs if knob.name in settings]
        flags = {knob.flag for knob in chosen}
        fixed = self.program.arguments if self.program else ()
        kept = [argument for argument in fixed if argument.partition("=")[0] not in flags]
        given = (knob.arguments(settings[knob.name]) for knob in chosen)
        return (*kept, *(argument for arguments in given for argument in arguments))


class Catalog:
    """The schedulers that can be tried."""

    def __init__(self, schedulers: Sequence[Scheduler]) -> None:
        self.schedulers = tuple(schedulers)

    @classmethod
    def load(cls, path: Path | None = None) -> Catalog:
        """Read and check the list. Raises AutotuneError naming the faulty place."""
        path = path or resources.schedulers_json()
        try:
            return reading.record(cls._from_json, path)
        except OSError as error:
            raise AutotuneError(f"{path.name}: {error.strerror}", hint="install autotune again") from error
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise AutotuneError(f"{path.name} is wrong at {where or 'top'}: {first['msg']}") from error
        except ValueError as error:
            raise AutotuneError(f"{path.name} is not a catalogue: {error}", hint="install autotune again") from error

    @classmethod
    def _from_json(cls, found: Any) -> Catalog:
        if not isinstance(found["schedulers"], list) or not found["schedulers"]:
            raise TypeError("'schedulers' is not a list of schedulers")
        return cls([Scheduler.model_validate(entry) for entry in found["schedulers"]])

    def add(self, scheduler: Scheduler) -> None:
        """Add a scheduler that was just verified; all users of this catalogue see it."""
        others = [one for one in self.schedulers if one.name != scheduler.name]
        self.schedulers = (*others, scheduler)

    def get(self, name: str) -> Scheduler:
        """Return the scheduler of this name. Raises UsageError naming the existing ones."""
        for scheduler in self.schedulers:
            if scheduler.name == name:
                return scheduler
        names = [scheduler.name for scheduler in self.schedulers]
        raise unknown(f"no scheduler is called '{name}'", name, names, "'autotune schedulers' lists them")

    def named(self, name: str) -> Scheduler:
        """Return the scheduler that a person means, in upper or lower case: `scx_` may be left out, as scxctl's users
        do, and so may `custom:`. Raises UsageError; also where both fit, and for EEVDF, which every session runs."""
        wanted = name.strip().lower()
        if wanted == BASELINE:
            raise UsageError(
                "EEVDF is the kernel's own scheduler, and always runs as the baseline",
                hint="name only those to compare with it; 'autotune schedulers' lists them",
            )
        known = [scheduler.name for scheduler in self.schedulers]
        if wanted in known:
            return self.get(wanted)
        places = (CUSTOM,) if wanted.startswith(CUSTOM) else ("", CUSTOM)
        stems = (wanted.removeprefix(CUSTOM), PREFIX + wanted.removeprefix(CUSTOM))
        fitting = [place + stem for place in places for stem in stems if place + stem in known]
        if len(fitting) > 1:
            raise UsageError(f"'{name}' may be either of two", hint=f"name {' or '.join(fitting)}")
        if fitting:
            return self.get(fitting[0])
        bare = {one.removeprefix(PREFIX): one for one in known}
        near = wanted.removeprefix(PREFIX)
        raise unknown(f"no scheduler is called '{name}'", near, list(bare), "'autotune schedulers' lists them", bare)

    def parse_candidate(self, text: str) -> Candidate:
        """Parse `NAME[:knob=value,...]` as `--scheduler` takes it; `mode=NAME` stands for the settings of a profile,
        which other settings override. Raises UsageError."""
        prefix = CUSTOM if text.lower().startswith(CUSTOM) else ""
        name, _, settings = text[len(prefix) :].partition(":")
        scheduler = self.named(prefix + name.strip())
        given: dict[str, str] = {}
        for knob, value in _pairs(scheduler, settings):
            if knob in given:
                raise UsageError(f"knob '{knob}' is given twice in '{text}'")
            given[knob] = value
        chosen = scheduler.settings(given)
        return Candidate(scheduler.name, tuple(sorted(chosen.items())), scheduler.profile_of(chosen))

    def validate(self, candidate: Candidate) -> None:
        """Raise UsageError for an unknown scheduler or knob, a value that it does not take, and settings that exclude
        each other."""
        self.get(candidate.scheduler).check(dict(candidate.knobs))

    def attach_spec(self, candidate: Candidate, object_path: Path) -> AttachSpec:
        """Return what a machine needs to attach a checked candidate of kind `bpf`."""
        self.validate(candidate)
        settings = dict(candidate.knobs)
        return AttachSpec(
            ops=self.get(candidate.scheduler).ops_name,
            object_path=str(object_path),
            rodata=settings,
            partial=settings.get("partial") is True,
        )


def _pairs(scheduler: Scheduler, settings: str) -> list[tuple[str, str]]:
    """Split `knob=value,...`. A part without `=` belongs to the value before it: CPU lists have commas too."""
    pairs: list[tuple[str, str]] = []
    for part in filter(None, (part.strip() for part in settings.split(","))):
        knob, equals, value = (piece.strip() for piece in part.partition("="))
        if equals:
            pairs.append((knob, value))
        elif pairs and scheduler.has(pairs[-1][0]) and scheduler.knob(pairs[-1][0]).type == "string":
            pairs[-1] = (pairs[-1][0], f"{pairs[-1][1]},{part}")
        else:
            raise UsageError(f"'{part}' is not knob=value", hint=f"such as {scheduler.name}:{_example(scheduler)}")
    return pairs


def _example(scheduler: Scheduler) -> str:
    knob = next((knob for knob in scheduler.knobs if knob.default is not None), None)
    return f"{knob.name}={knob_text(knob.default)}" if knob is not None and knob.default is not None else "knob=value"
