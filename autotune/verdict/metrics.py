# SPDX-License-Identifier: MIT
"""Further numbers in a workload's output, which are reported or guarded and not compared. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from autotune.records import Found, Metric, Run, Workload

_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")
_LITERAL = re.compile(r"(?:\\s[*+?]?|\\b|[\w .,:=/-])*")


def name_of(regex: str, taken: Iterable[str] = ()) -> str:
    """Return a name for an expression: the last word before its number, as `rps` of `rps: ([0-9.]+)`, or the whole
    expression where it has none or the word is taken."""
    literal = (_LITERAL.match(regex) or [""])[0].replace("\\s", " ").replace("\\b", " ")
    words = _WORD.findall(literal)
    name = words[-1].rstrip(".-") if words else ""
    return name if name and name not in taken else regex


def named(regexes: Iterable[str]) -> tuple[Metric, ...]:
    """Return metrics with names that differ."""
    found: dict[str, Metric] = {}
    for regex in regexes:
        name = name_of(regex, found)
        found[name] = Metric(name, regex)
    return tuple(found.values())


def expressions(workload: Workload) -> tuple[str, ...]:
    """Return the expressions of further metrics and of guards, each once."""
    guarded = (guard.regex for guard in workload.guards if guard.regex is not None)
    return tuple(dict.fromkeys([*(metric.regex for metric in workload.metrics), *guarded]))


def values(workload: Workload, run: Run) -> dict[str, float]:
    """Return the numbers that a run printed for further metrics and guards, by name."""
    found = dict(zip(expressions(workload), run.found, strict=False))
    wanted = {metric.name: metric.regex for metric in workload.metrics}
    wanted |= {guard.name: guard.regex for guard in workload.guards if guard.regex is not None}
    numbers = ((name, number_of(found[regex])) for name, regex in wanted.items() if regex in found)
    return {name: number for name, number in numbers if number is not None}


def number_of(found: Found) -> float | None:
    """Return the one number that was found; None where `problem_of` says why."""
    return None if problem_of(found) else float(found.matches[0])


def problem_of(found: Found) -> str | None:
    """Return why an expression did not find exactly one number; None when it did."""
    if found.error is not None:
        return found.error
    if found.count != 1:
        return "it matched nothing in the output" if found.count == 0 else f"it matched {found.count} times, not once"
    try:
        number = float(found.matches[0])
    except ValueError:
        return f"it found {found.matches[0]!r}, which is not a number"
    return None if math.isfinite(number) else f"it found {number:g}"
