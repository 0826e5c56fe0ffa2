# SPDX-License-Identifier: MIT
"""A submission for verification: a source and its catalogue entry."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from autotune.errors import UsageError
from autotune.schedext import libbpf
from autotune.schedext.catalogue.catalog import CUSTOM, Requirements, Scheduler
from autotune.schedext.catalogue.custom import checked_name
from autotune.schedext.catalogue.knobs import Knob, Range
from autotune.schedext.holding import guide
from autotune.schedext.kernel import LEAST_KERNEL
from autotune.verify import comments, maps
from autotune.verify.findings import Finding

MOST_KNOBS = 16
MOST_TEXT = 600
MOST_ANCESTORS = 8
MOST_WHERE = 200
PARTIAL = Knob(
    name="partial", type="boolean", default=False, description="Schedule only the workload's own tasks, not the system."
)
"""Every scheduler that includes at.h has this knob."""


class Submission(BaseModel):
    """A source with its entry. Texts are bounded, since models read them again in every session."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    source: str
    description: str = Field("", max_length=100)
    algorithm: str = Field("", max_length=MOST_TEXT)
    use_cases: tuple[str, ...] = Field((), max_length=8)
    characteristics: str = Field("", max_length=MOST_TEXT)
    limitations: tuple[str, ...] = Field((), max_length=8)
    performance_profile: str = Field("", max_length=MOST_TEXT)
    knobs: tuple[Knob, ...] | None = Field(None, max_length=MOST_KNOBS)
    """None: the object's own knobs. A knob without a range takes from half to twice its default."""
    unfair_by_design: bool = False
    """It is unfair by design: the behaviour gate notes unfairness without failing it."""
    made_from: tuple[str, ...] = Field((), max_length=MOST_ANCESTORS)
    """Names of the schedulers that it was made from: ours, or generated ones."""


def submission(**fields: object) -> Submission:
    """Check a submission; its name has no prefix. Raises UsageError."""
    try:
        made = Submission.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))[:MOST_WHERE] or "it"
        raise UsageError(f"the scheduler cannot be accepted: {where}: {first['msg']}") from error
    return made.model_copy(update={"name": checked_name(made.name)})


def entry(given: Submission, knobs: Sequence[Knob]) -> Scheduler:
    """Return the catalogue entry of a scheduler that passed."""
    return Scheduler(
        name=f"{CUSTOM}{given.name}",
        kind="bpf",
        ops_name=given.name,
        source=f"{given.name}.bpf.c",
        production_ready=False,
        description=given.description or comments.description(given.source, given.name) or "A generated scheduler.",
        algorithm=given.algorithm,
        use_cases=given.use_cases,
        characteristics=given.characteristics,
        limitations=given.limitations,
        performance_profile=given.performance_profile,
        requirements=Requirements(kernel_min=LEAST_KERNEL),
        tags=("generated",),
        knobs=tuple(knobs),
    )


def knobs_of(given: Submission, content_path: Path, library: str | None) -> tuple[tuple[Knob, ...], list[Finding]]:
    """Return the knobs of the entry, and findings where they do not fit the object. Raises AttachError when it is
    unreadable."""
    opened = libbpf.Libbpf(library).open(str(content_path))
    try:
        found = {knob.name: knob for knob in opened.knobs()}
        faults = list(maps.check(opened.maps()))
    finally:
        opened.close()
    if faults:
        return (), faults
    partial = (PARTIAL,) if PARTIAL.name in found else ()
    if given.knobs is None:
        descriptions = comments.knob_descriptions(given.source)
        inferred = (
            _inferred(knob, descriptions.get(knob.name, "")) for knob in found.values() if knob.name != PARTIAL.name
        )
        return (*(knob for knob in inferred if knob is not None), *partial), []
    declared = tuple(knob for knob in given.knobs if knob.name != PARTIAL.name)
    misfits = list(_misfits(declared, found))
    if misfits:
        return (), misfits
    return (*(_ranged(knob, found[knob.name]) for knob in declared), *partial), []


def may_expect(content_path: Path, library: str | None) -> bool:
    """Return whether an object asks what to expect of tasks. Raises AttachError when it is unreadable."""
    opened = libbpf.Libbpf(library).open(str(content_path))
    try:
        return guide.asks(opened)
    finally:
        opened.close()


def ends(knobs: Sequence[Knob]) -> dict[str, tuple[int | bool, int | bool]]:
    """Return the lowest and the highest value of each knob of an entry: those with which it is proven."""
    found: dict[str, tuple[int | bool, int | bool]] = {}
    for knob in knobs:
        if knob.range is None:
            found[knob.name] = (False, True)
        else:
            assert isinstance(knob.range.min, int), knob
            assert isinstance(knob.range.max, int), knob
            found[knob.name] = (knob.range.min, knob.range.max)
    return found


def _ranged(knob: Knob, there: libbpf.ObjectKnob) -> Knob:
    """Give a knob the range for which it is proven: the declared one, with whole numbers that its variable can hold; an
    end that is not declared is half or twice the default."""
    if knob.type == "boolean":
        return knob.model_copy(update={"range": None})
    low, high = _span(knob, there)
    return knob.model_copy(update={"range": Range(min=low, max=high, how="proven")})


def _span(knob: Knob, there: libbpf.ObjectKnob) -> tuple[int, int]:
    default = int(there.value)
    least, most = _holds(there)
    half = default // 2 if default >= 0 else -(-default // 2)
    near = sorted((half, 2 * default or 1))
    declared = knob.range or Range()
    low = near[0] if declared.min is None else _whole(declared.min, math.ceil)
    high = near[1] if declared.max is None else _whole(declared.max, math.floor)
    return max(least, low), min(most, high)


def _holds(there: libbpf.ObjectKnob) -> tuple[int, int]:
    """Return the least and the greatest number that a variable can hold."""
    bits = 8 * there.width
    return (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if there.signed else (0, (1 << bits) - 1)


def _whole(end: float, rounded: Callable[[float], int]) -> int:
    """Return the nearest whole number inside a range; an infinite end is as good as the largest numbers."""
    if isinstance(end, int):
        return end
    return rounded(end) if math.isfinite(end) else int(math.copysign(1 << 64, end))


def _inferred(knob: libbpf.ObjectKnob, description: str) -> Knob | None:
    """Make a knob that no entry names. Returns None for a variable that is no whole number and no switch."""
    description = description or "Not described."
    if knob.kind == "bool":
        return Knob(name=knob.name, type="boolean", default=knob.value, description=description)
    if knob.kind != "int":
        return None
    return _ranged(Knob(name=knob.name, type="integer", default=knob.value, description=description), knob)


def _misfits(declared: Sequence[Knob], found: dict[str, libbpf.ObjectKnob]) -> Iterator[Finding]:
    for knob in declared:
        there = found.get(knob.name)
        if there is None:
            known = ", ".join(sorted(found)) or "none"
            text = f"the knob '{knob.name}' is no `const volatile` variable of the source"
            yield Finding("knob-missing", text, f"it has: {known}; declare knobs with AT_KNOB(type, name, value)")
        elif knob.type not in ("boolean", "integer") or (there.kind == "bool") != (knob.type == "boolean"):
            yield Finding("knob-type", f"the knob '{knob.name}' is not a {knob.type} in the source")
        elif knob.default != there.value:
            text = f"the knob '{knob.name}' begins with {there.value} in the source, not {knob.default}"
            yield Finding("knob-default", text, "make both the same")
        elif knob.type == "integer" and not _span(knob, there)[0] <= int(there.value) <= _span(knob, there)[1]:
            low, high = _span(knob, there)
            text = f"the knob '{knob.name}' begins with {there.value}, outside its range of {low} to {high}"
            yield Finding("knob-range", text, "declare a range that has the default")
    for name in sorted(set(found) - {knob.name for knob in declared} - {PARTIAL.name}):
        yield Finding("knob-undeclared", f"the source has a knob '{name}' that is not declared", "declare it as well")
