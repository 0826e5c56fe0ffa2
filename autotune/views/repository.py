# SPDX-License-Identifier: MIT
"""The user's own schedulers for a terminal: the list, all that is known of one, two beside each other, a bundle.

Pure.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from autotune.report.table import interval_text
from autotune.report.text import counted, printable
from autotune.views.paragraphs import Lines, paragraph
from autotune.views.past import age_text

if TYPE_CHECKING:
    from autotune.canary.standing import Known
    from autotune.knowledge.outcomes import SessionOutcome
    from autotune.schedext.catalogue.catalog import Scheduler
    from autotune.verify.bundle import Claims
    from autotune.verify.submission import Submission

HEAD = ("NAME", "STANDING", "MADE BY", "MADE FROM", "MEASURED", "BEST")
MOST_LISTED = 20
"""Outcomes that are listed of one scheduler, the newest; --json has them all."""
_NONE = "You have no scheduler of your own yet: 'autotune schedulers verify FILE.bpf.c' makes one."
_LEGEND = (
    "STANDING: candidate (passed the gates), proven (confirmed faster on a workload here), trusted (on several, canary "
    "passed, no strike), barred (three strikes), unsealed (verify it again). BEST: its best confirmed speedup here. "
    "'autotune schedulers show NAME' tells all of one."
)


# --- the list ------------------------------------------------------------------------------------------------


def listing(known: Sequence[Known], *, width: int, now: float) -> Lines:
    """List the user's own schedulers, a row and a description each."""
    if not known:
        yield _NONE
        return
    cells = [HEAD, *(_cells(one, now) for one in known)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(HEAD))]
    for row, one in zip(cells, (None, *known), strict=True):
        yield "  ".join(f"{cell:<{space}}" for cell, space in zip(row, widths, strict=True)).rstrip()
        if one is not None:
            yield from paragraph(one.custom.entry.description, width, 2)
            yield from paragraph(one.promotion.text, width, 2, 2)
    yield ""
    yield from paragraph(_LEGEND, width, 0)


def _cells(one: Known, now: float) -> tuple[str, ...]:
    origin = one.custom.origin
    made_from = ", ".join(ancestor.name for ancestor in origin.made_from) or "-"
    made_by = origin.maker.text + (f", {age_text(now - origin.made_at)}" if origin.made_at is not None else "")
    own = one.of_this_build
    best = max((seen.speedup.estimate for seen in own if seen.confirmed and seen.speedup is not None), default=None)
    cells = (
        one.custom.entry.name,
        one.promotion.standing,
        made_by,
        made_from,
        counted(len({seen.session for seen in own}), "session"),
        "-" if best is None else f"{best:.3f}",
    )
    return tuple(printable(cell) for cell in cells)


# --- what was searched for ------------------------------------------------------------------------------------


def found(schedulers: Sequence[Scheduler], standings: Mapping[str, str], *, width: int, install: str) -> Lines:
    """List schedulers that fit a query, best first. `install` is the command that adds search by meaning; empty where
    it is there."""
    for number, one in enumerate(schedulers, 1):
        standing = f" ({standings[one.name]})" if one.name in standings else ""
        yield from paragraph(f"{number}. {one.name}{standing}: {one.description}", width, 0, 3)
        if one.use_cases:
            yield from paragraph(f"for {', '.join(one.use_cases)}", width, 3, 2)
    if not schedulers:
        yield "No scheduler fits these words; 'autotune schedulers' lists all."
    if install:
        yield from paragraph(f"Only words were compared: {install} adds search by meaning.", width, 0)


def found_as_json(one: Scheduler, standings: Mapping[str, str]) -> dict[str, Any]:
    texts = {"name": one.name, "description": one.description, "use_cases": list(one.use_cases)}
    return {**texts, "tags": list(one.tags), "standing": standings.get(one.name)}


# --- one of them ---------------------------------------------------------------------------------------------


def details(one: Known, claims: Mapping[str, Any], *, width: int, now: float) -> Lines:
    """Tell where a scheduler comes from, its standing, what came of it, and what its bundle claims."""
    origin = one.custom.origin
    yield ""
    yield from paragraph(f"Standing: {one.promotion.text}", width, 0, 2)
    when = f", {age_text(now - origin.made_at)}" if origin.made_at is not None else ""
    where = f", in {origin.directory}" if origin.directory else ""
    yield from paragraph(f"Made by: {origin.maker.text}{when}{where}", width, 0, 2)
    if origin.made_from:
        yield from paragraph(f"Made from: {', '.join(each.text for each in origin.made_from)}", width, 0, 2)
    if one.canary_passed:
        yield from paragraph(f"Canary passed on Linux {', '.join(one.canary_passed)}", width, 0, 2)
    for strike in one.strikes:
        yield f"Detached on Linux {printable(strike.kernel)}: {printable(strike.reason)}"
    yield from _outcomes(one, width=width, now=now)
    yield from _claims(claims, width=width)


def _outcomes(one: Known, *, width: int, now: float) -> Lines:
    if not one.outcomes:
        yield "No session has measured it yet."
        return
    yield "What came of it here:"
    for seen in one.outcomes[:MOST_LISTED]:
        yield from paragraph(_outcome(seen, now, is_this=seen.build == one.build), width, 2, 2)
    if len(one.outcomes) > MOST_LISTED:
        yield f"  and {len(one.outcomes) - MOST_LISTED} older: --json"


def _outcome(seen: SessionOutcome, now: float, *, is_this: bool) -> str:
    what = f" ({seen.workload_class})" if seen.workload_class else ""
    speedup = f", {interval_text(seen.speedup)}" if seen.speedup is not None else ""
    confirmed = ", confirmed" if seen.confirmed else ""
    ejected = f", ejected {counted(seen.ejections, 'time')}" if seen.ejections else ""
    note = f"; {seen.note}" if seen.note and not seen.confirmed else ""
    build = "" if is_this else "; another build, or not known which: it counts for nothing"
    return (
        f"{seen.session}, {age_text(now - seen.measured_at)}: {seen.key} on {seen.command[:200]!r}{what} {seen.where}, "
        f"{counted(seen.cpus, 'CPU')}, Linux {seen.kernel}: {seen.verdict or 'no verdict'}{speedup}{confirmed}"
        f"{ejected}{note}{build}"
    )


# --- claims --------------------------------------------------------------------------------------------------


def _claims(claims: Mapping[str, Any], *, width: int) -> Lines:
    """Tell what a bundle says. It was checked when it was taken in; what was edited since is left out."""
    from pydantic import ValidationError

    from autotune.verify.bundle import Claims

    if not claims:
        return
    try:
        yield from claimed(Claims.model_validate(claims), width=width)
    except ValidationError:
        yield "What was claimed of it cannot be read any more."


def claimed(claims: Claims, *, width: int) -> Lines:
    """Tell what a bundle says of its scheduler; nothing where it says nothing."""
    if claims == type(claims)():
        return
    yield "Claimed by the file that it was imported from, and not measured here:"
    passed = f"version {claims.gates} of the gates on Linux {claims.kernel}" if claims.gates else ""
    facts = {"made by": claims.maker, "made from": ", ".join(claims.made_from), "passed": passed}
    facts["standing"] = claims.standing
    for name, text in facts.items():
        if text:
            yield from paragraph(f"it says {name}: {text}", width, 2, 2)
    for one in claims.outcomes[:MOST_LISTED]:
        speedup = "" if one.speedup is None else f", {one.speedup[0]:.3f} [{one.speedup[1]:.3f}, {one.speedup[2]:.3f}]"
        confirmed = ", confirmed" if one.confirmed else ""
        what = f" ({one.workload_class})" if one.workload_class else ""
        said = f"{one.settings} on {one.program}{what} {one.where}, {counted(one.cpus, 'CPU')}, Linux {one.kernel}"
        yield from paragraph(f"it says {said}: {one.verdict or 'no verdict'}{speedup}{confirmed}", width, 2, 2)


def bundle(submitted: Submission, claims: Claims, *, width: int) -> Lines:
    """Tell what is in a bundle before it is verified."""
    yield from paragraph(f"custom:{submitted.name}: {submitted.description or 'not described'}", width, 0, 2)
    facts = {
        "How it works": submitted.algorithm,
        "Good for": ", ".join(submitted.use_cases),
        "Knobs": ", ".join(knob.name for knob in submitted.knobs or ()),
        "Source": f"{counted(len(submitted.source.splitlines()), 'line')}, {len(submitted.source.encode())} bytes",
    }
    for title, text in facts.items():
        if text:
            yield from paragraph(f"{title}: {text}", width, 2, 2)
    if submitted.unfair_by_design:
        yield "  It is said to be unfair by design: unfairness is reported, and does not fail it."
    yield from claimed(claims, width=width)


# --- two beside each other -----------------------------------------------------------------------------------


def differences(one: Scheduler, other: Scheduler, source: str, other_source: str) -> Lines:
    """Show how two schedulers differ: texts and knobs first, then the sources as `diff -u` does; nothing where they do
    not."""
    for name in ("description", "algorithm", "use_cases", "characteristics", "limitations", "performance_profile"):
        first, second = (_plain(getattr(each, name)) for each in (one, other))
        if first != second:
            yield f"- {name}: {first}"
            yield f"+ {name}: {second}"
    yield from _of_knobs(one, other)
    lines = difflib.unified_diff(_rows(source), _rows(other_source), one.name, other.name, lineterm="")
    yield from lines


def _plain(value: object) -> str:
    return printable(value if isinstance(value, str) else "; ".join(value) if isinstance(value, tuple) else str(value))


def _of_knobs(one: Scheduler, other: Scheduler) -> Lines:
    first, second = ({knob.name: knob for knob in each.knobs} for each in (one, other))
    for name in sorted(first.keys() | second.keys()):
        if first.get(name) != second.get(name):
            for sign, knobs in (("-", first), ("+", second)):
                if name in knobs:
                    knob = knobs[name]
                    yield printable(
                        f"{sign} knob {name}: {knob.allowed()}; default {knob.default_text()}; {knob.description}"
                    )


def source_lines(text: str) -> Iterable[str]:
    """Return a source for a terminal."""
    return _rows(text)


def _rows(text: str) -> list[str]:
    return [printable(line.expandtabs(8)) for line in text.splitlines()]
