# SPDX-License-Identifier: MIT
"""Guards: what a scheduler must not cost, however fast it is. Their grammar, and their judgement. Pure.

A guard is written `NAME:BOUND` for a built-in one or a further `--metric`, `NAME=REGEX:BOUND` for a number in the
output, `NAME:off` to switch a built-in one off. A bound is `max+5%` (at most 5 % above EEVDF's in the same rounds),
`min-5%` (at least 95 % of EEVDF's), or a number of its own: `max=120`, `min=10`; `memory` takes sizes there (`max=2G`),
`cpu` and `latency` times (`max=5ms`).

What always holds here:
- a guard is judged over the pairs that the verdict compared, no others;
- it is broken only when the whole interval of the candidate's value lies beyond the bound. All guards of a candidate
  share the risk of a false alarm, `ALPHA`, evenly. So noise alone seldom breaks one, and never by its size;
- with fewer than `LEAST_PAIRS` pairs it is not judged, and that is reported.

Built-in guards are on by default. Their bounds are wide: nearly every scheduler changes a little of everything, and a
warning about nothing is soon ignored. Values below a `floor` count as the floor: nobody notices smaller ones.

- `memory`, max+25%: the peak of the largest process hardly depends on the scheduler. Parallel garbage collectors
  scatter by 10 to 20 %; a rise by a quarter may be what makes a machine swap.
- `cpu`, max+30%: a scheduler that keeps more CPUs busy shares cores and caches between more tasks, and CPU time then
  rises by 20 to 30 % for the same work. More than that is paid for by whatever else runs.
- `energy`, max+20%: a faster run draws more power for a shorter time, so most winners save energy.
- `latency`, max+100%, above 10 ms: how late a bystander wakes, on average. Below 10 ms nobody feels it; above, twice
  as late as under EEVDF does feel slow.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from autotune.errors import UsageError
from autotune.expressions import compiled
from autotune.frozen import dataclass
from autotune.quantities import duration_flag, parse_duration, parse_size, size_flag
from autotune.records import DEFAULT_GUARDS, Guard, GuardResult, Interval, Metric, Run, SideEffects
from autotune.verdict.confirm import Estimate, Scatter

ALPHA = 0.05
"""Risk that a candidate without side effects breaks any guard."""

LEAST_PAIRS = 4
"""Counts often agree exactly over two or three rounds."""

EXAMPLE = "such as --guard memory:max+20% or --guard 'p99=p99: ([0-9.]+):max+5%'"

_BOUND = re.compile(r"(max|min)(?:([+-]\d+(?:\.\d+)?)\s*%|=(.+))")
Side = Literal["max", "min"]
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,39}")


@dataclass(frozen=True)
class BuiltIn:
    """A built-in guard: what it is in words, its value in a run, the value below which nobody notices it, and how an
    absolute bound reads and is written."""

    words: str
    value: Callable[[Run, SideEffects], float | None]
    floor: float
    parse: Callable[[str], float]
    write: Callable[[float], str]


BUILT_IN: Mapping[str, BuiltIn] = {
    "memory": BuiltIn(
        "peak memory",
        lambda run, _side: float(run.max_rss_bytes),
        floor=32 << 20,
        parse=lambda text: float(parse_size(text)),
        write=lambda value: size_flag(int(value)),
    ),
    "cpu": BuiltIn(
        "CPU time",
        lambda run, _side: run.user_s + run.system_s,
        floor=0.05,
        parse=parse_duration,
        write=duration_flag,
    ),
    "energy": BuiltIn("energy", lambda _run, side: side.energy_j, floor=1.0, parse=float, write=lambda one: f"{one:g}"),
    "latency": BuiltIn(
        "a bystander's wake-up latency",
        lambda _run, side: side.wake_late_s,
        floor=0.010,
        parse=parse_duration,
        write=duration_flag,
    ),
}


# --- the grammar -----------------------------------------------------------------------------------------


def chosen(texts: Sequence[str], *, metrics: Sequence[Metric] = (), defaults: bool = True) -> tuple[Guard, ...]:
    """Return the guards of a session: the defaults, unless switched off or changed, then the user's own. Raises
    UsageError in one line with an example."""
    guards = {guard.name: guard for guard in DEFAULT_GUARDS} if defaults else {}
    given: set[str] = set()
    for text in texts:
        name, guard = _parse(text, {metric.name: metric.regex for metric in metrics})
        if name in given:
            raise UsageError(f"--guard {name} is given twice", hint="give each guard one bound")
        given.add(name)
        guards.pop(name, None)
        if guard is not None:
            guards[name] = guard
    return tuple(guards.values())


def _parse(text: str, known: Mapping[str, str]) -> tuple[str, Guard | None]:
    """Return the guard's name and the guard, None for one that is switched off."""
    head, colon, bound = text.rpartition(":")
    name, equals, regex = head.partition("=")
    if not colon or not _NAME.fullmatch(name):
        raise UsageError(f"--guard {text!r} is not NAME:BOUND or NAME=REGEX:BOUND", hint=EXAMPLE)
    if not equals:
        return name, _named(text, name, bound, known)
    if name in BUILT_IN:
        hint = f"give {name}:BOUND, or another name"
        raise UsageError(f"--guard {name} is built in and takes no expression", hint=hint)
    side, limit, relative = _bound(text, bound, _number)
    return name, Guard(name, side, limit, relative, _regex(name, regex), chosen=True)


def _named(text: str, name: str, bound: str, known: Mapping[str, str]) -> Guard | None:
    if name in BUILT_IN and bound == "off":
        return None
    if name not in BUILT_IN and name not in known:
        names = ", ".join([*BUILT_IN, *known])
        raise UsageError(f"--guard {name} is none of {names}", hint=f"{EXAMPLE}")
    parse = BUILT_IN[name].parse if name in BUILT_IN else _number
    side, limit, relative = _bound(text, bound, parse)
    return Guard(name, side, limit, relative, known.get(name) if name not in BUILT_IN else None, chosen=True)


def _bound(text: str, bound: str, parse: Callable[[str], float]) -> tuple[Side, float, bool]:
    match = _BOUND.fullmatch(bound.strip())
    if match is None:
        raise UsageError(f"--guard {text!r}: {bound!r} is not a bound such as max+5%, min-5% or max=120", hint=EXAMPLE)
    side: Side = "max" if match[1] == "max" else "min"
    if match[2] is not None:
        ratio = 1.0 + float(match[2]) / 100.0
        if ratio <= 0.0:
            raise UsageError(f"--guard {text!r}: {match[2]} % leaves nothing of EEVDF's value", hint=EXAMPLE)
        return side, ratio, True
    try:
        limit = parse(match[3].strip())
    except ValueError as error:
        raise UsageError(f"--guard {text!r}: {error}", hint=EXAMPLE) from None
    if not math.isfinite(limit):
        raise UsageError(f"--guard {text!r}: {match[3]} is no bound", hint=EXAMPLE)
    return side, limit, False


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a number") from None


def _regex(name: str, text: str) -> str:
    try:
        groups = compiled(text).groups
    except ValueError as error:
        raise UsageError(f"--guard {name} is not a regular expression: {error}", hint=EXAMPLE) from None
    if groups != 1:
        raise UsageError(f"--guard {name} has {groups} groups, not one around the number", hint=EXAMPLE)
    return text


def bound_text(guard: Guard) -> str:
    """Write a bound as `--guard` takes it: `max+5%`, `max=2G`."""
    if guard.relative:
        return f"{guard.side}{round((guard.limit - 1.0) * 100, 6):+g}%"
    built_in = BUILT_IN.get(guard.name) if guard.regex is None else None
    return f"{guard.side}={built_in.write(guard.limit) if built_in else f'{guard.limit:g}'}"


def flag_text(guard: Guard) -> str:
    """Write a guard as `--guard` takes it."""
    expression = "" if guard.regex is None else f"={guard.regex}"
    return f"{guard.name}{expression}:{bound_text(guard)}"


def flags(guards: Sequence[Guard]) -> list[str]:
    """Return the options that choose these guards."""
    names = {guard.name for guard in guards}
    off = [one.name for one in DEFAULT_GUARDS if one.name not in names]
    switches = (
        ["--no-guards"] if len(off) == len(DEFAULT_GUARDS) else [w for name in off for w in ("--guard", f"{name}:off")]
    )
    return switches + [word for one in guards if one.chosen for word in ("--guard", flag_text(one))]


# --- the judgement ---------------------------------------------------------------------------------------


def values(guards: Iterable[Guard], run: Run, side: SideEffects) -> dict[str, float]:
    """Return the values of the built-in guards among these in a run; what the run does not show is left out."""
    known = {one.name: BUILT_IN[one.name].value(run, side) for one in guards if one.regex is None}
    return {name: value for name, value in known.items() if value is not None and math.isfinite(value)}


def judge(
    guards: Sequence[Guard], rounds: Sequence[tuple[Mapping[str, float], Mapping[str, float]]]
) -> tuple[GuardResult, ...]:
    """Judge a candidate. `rounds` are EEVDF's values and its own, by guard, in the rounds that were compared."""
    level = ALPHA / max(1, len(guards))
    return tuple(_judged(guard, rounds, level) for guard in guards)


def _judged(
    guard: Guard, rounds: Sequence[tuple[Mapping[str, float], Mapping[str, float]]], level: float
) -> GuardResult:
    name = guard.name
    pairs = [(eevdf[name], own[name]) for eevdf, own in rounds if name in eevdf and name in own]
    result = GuardResult(name, bound_text(guard), "not judged", None, len(pairs), chosen=guard.chosen)
    if not pairs:
        return replace(result, reason="it was not measured here" if rounds else "no round was compared")
    if len(pairs) < LEAST_PAIRS:
        return replace(result, reason=f"{len(pairs)} pairs are too few; it takes {LEAST_PAIRS}")
    floor = BUILT_IN[name].floor if guard.regex is None and guard.relative else 0.0
    pairs = [(max(floor, eevdf), max(floor, own)) for eevdf, own in pairs] if floor else pairs
    beyond, interval = _compare(guard, pairs, level)
    if not beyond:
        return replace(result, outcome="kept", value=interval)
    return replace(result, outcome="broken", value=interval, reason=_broken(guard, interval))


def _compare(guard: Guard, pairs: list[tuple[float, float]], level: float) -> tuple[bool, Interval | None]:
    """Return whether the whole interval lies beyond the bound, and the interval. A ratio is judged by its logarithm
    where all values are above 0; where some are not, the difference to the bound is, and there is no interval."""
    if not guard.relative:
        interval = _linear([own for _, own in pairs], level)
        return _is_beyond(guard, interval, guard.limit), interval
    if all(eevdf > 0.0 and own > 0.0 for eevdf, own in pairs):
        estimate = Estimate.of([math.log(own / eevdf) for eevdf, own in pairs], Scatter())
        assert estimate is not None  # there are more than two pairs
        interval = estimate.interval(level)
        return _is_beyond(guard, interval, guard.limit), interval
    return _is_beyond(guard, _linear([own - guard.limit * eevdf for eevdf, own in pairs], level), 0.0), None


def _linear(numbers: list[float], level: float) -> Interval:
    """Return the interval of a mean, without logarithms."""
    estimate = Estimate.of(numbers, Scatter())
    assert estimate is not None
    half = estimate.half_width(level)
    return Interval(estimate.mean, estimate.mean - half, estimate.mean + half, 1.0 - 2 * level)


def _is_beyond(guard: Guard, interval: Interval, limit: float) -> bool:
    rounding = 1e-9 * max(1.0, abs(limit))
    return interval.low > limit + rounding if guard.side == "max" else interval.high < limit - rounding


def _broken(guard: Guard, interval: Interval | None) -> str:
    """Say what a guard broke: `peak memory is 1.31 x EEVDF's [1.25, 1.37], and the bound is max+10%`."""
    what = BUILT_IN[guard.name].words if guard.regex is None else guard.name
    bound = f"and the bound is {bound_text(guard)}"
    if interval is None:
        way = "more" if guard.side == "max" else "less"
        return f"{what} is {way} than EEVDF's, {bound}"
    if guard.relative:
        return f"{what} is {interval.estimate:.2f} x EEVDF's [{interval.low:.2f}, {interval.high:.2f}], {bound}"
    built_in = BUILT_IN.get(guard.name) if guard.regex is None else None
    shown = built_in.write(interval.estimate) if built_in else f"{interval.estimate:.4g}"
    return f"{what} is {shown}, {bound}"


def widened(guards: Sequence[Guard], results: Sequence[GuardResult]) -> tuple[Guard, ...]:
    """Return the guards with bounds that a candidate with these results would keep, in steps of 5 %. A broken guard of
    another kind is left out."""
    broken = {one.name: one.value for one in results if one.outcome == "broken"}
    found = []
    for guard in guards:
        value = broken.get(guard.name)
        if guard.name not in broken:
            found.append(guard)
        elif guard.relative and value is not None:
            beyond = value.high if guard.side == "max" else value.low
            steps = (math.ceil if guard.side == "max" else math.floor)((beyond - 1.0) * 20)
            found.append(replace(guard, limit=1.0 + steps / 20, chosen=True))
    return tuple(found)
