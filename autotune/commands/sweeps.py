# SPDX-License-Identifier: MIT
"""The options of `autotune cc` that give the command's own parameters: ours, and those of hyperfine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal, InvalidOperation

from autotune import parameters
from autotune.errors import UsageError
from autotune.records import Parameter

EXAMPLE = "such as --param jobs=2,4,8 'make -j{jobs}'"


def parameters_of(
    given: Sequence[str], lists: Sequence[Sequence[str]], scans: Sequence[Sequence[str]], step: str | None
) -> tuple[Parameter, ...]:
    """Return the parameters of `--param`, `--parameter-list` and `--parameter-scan`. Raises UsageError."""
    if step is not None and not scans:
        raise UsageError("--parameter-step-size needs --parameter-scan", hint="such as -P jobs 2 8 -D 2")
    found = [
        *(_parameter("--param", *_parted(text)) for text in given),
        *(_parameter("--parameter-list", name, values) for name, values in lists),
        *(_parameter("--parameter-scan", name, ",".join(_numbers(low, high, step))) for name, low, high in scans),
    ]
    names = [one.name for one in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"the parameter {twice} is given twice", hint="give all of its values in one list")
    return tuple(found)


def _parted(text: str) -> tuple[str, str]:
    name, is_given, values = text.partition("=")
    if not is_given:
        raise UsageError(f"--param: {text!r} has no values", hint=EXAMPLE)
    return name, values


def _parameter(option: str, name: str, values: str) -> Parameter:
    try:
        return parameters.parameter(name, values)
    except ValueError as error:
        raise UsageError(f"{option}: {error}", hint=EXAMPLE) from None


def _numbers(low: str, high: str, step: str | None) -> Iterator[str]:
    """Yield the numbers from `low` to `high`, as exact as they are written: 0.1, 0.2, 0.3."""
    try:
        at, end, by = (Decimal(text) for text in (low, high, "1" if step is None else step))
        is_finite = all(one.is_finite() for one in (at, end, by))
    except InvalidOperation:
        is_finite = False
    if not is_finite:
        raise UsageError("--parameter-scan: MIN, MAX and STEP must be numbers", hint="such as -P jobs 2 8 -D 2")
    if at > end or by <= 0:
        raise UsageError("--parameter-scan: no numbers from MIN to MAX", hint="MIN is not above MAX, STEP is above 0")
    count = int((end - at) / by) + 1
    if count > parameters.MOST_POINTS:
        what = f"--parameter-scan: {count} numbers; at most {parameters.MOST_POINTS} can be compared"
        raise UsageError(what, hint="give a larger --parameter-step-size")
    yield from (f"{at + by * number:f}" for number in range(count))
