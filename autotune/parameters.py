# SPDX-License-Identifier: MIT
"""Parameters of the workload's own: `{jobs}` in its commands stands for each of the given values in turn.

What always holds here:
- a value replaces its name as plain text, as in hyperfine: in a command for the shell, the shell reads it, and quotes
  around `{name}` keep it one word; in an argument vector it never becomes two arguments;
- one pass replaces all, so a value that looks like a parameter stays as it is; `${name}` is the shell's own;
- command, its name, setup, prepare, conclude and cleanup have parameters; the file for `--input` has none, as in
  hyperfine.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
import shlex
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from autotune.records import Parameter, Point, Workload

MOST_POINTS = 100
"""Most combinations of values. Each is measured under EEVDF."""

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


def parameter(name: str, values: str) -> Parameter:
    """Return a parameter with the values of a list (`split`). Raises ValueError with what is wrong."""
    if not NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not a name such as jobs")
    found = tuple(split(values))
    twice = sorted({value for value in found if found.count(value) > 1})
    if twice:
        raise ValueError(f"{name} has the value {twice[0]!r} twice")
    return Parameter(name, found)


def split(values: str) -> list[str]:
    """Split a list at its commas; a backslash before a comma or a backslash takes it as it is."""
    parts = [""]
    for text in re.findall(r"\\[,\\]|.", values, re.DOTALL):
        if text == ",":
            parts.append("")
        else:
            parts[-1] += text[-1]
    return parts


def joined(values: Iterable[str]) -> str:
    """Write a list of values so that `split` returns them."""
    return ",".join(re.sub(r"([,\\])", r"\\\1", value) for value in values)


def points(parameters: Sequence[Parameter]) -> tuple[Point, ...]:
    """Return all combinations of values, the last parameter's changing fastest; one empty point without parameters."""
    choices = ([(one.name, value) for value in one.values] for one in parameters)
    return tuple(itertools.product(*choices))


def at(workload: Workload, point: Point) -> Workload:
    """Return the workload with its parameters replaced by the values of a point."""
    if not workload.parameters:
        return workload
    fill = _filling(point)
    argv = tuple(map(fill, workload.argv))
    is_joined = workload.command == shlex.join(workload.argv)  # an argument vector as a line: quoted anew
    return dataclasses.replace(
        workload,
        parameters=(),
        command=shlex.join(argv) if is_joined else fill(workload.command),
        argv=argv,
        name=fill(workload.name),
        setup=_filled(fill, workload.setup),
        prepare=_filled(fill, workload.prepare),
        conclude=_filled(fill, workload.conclude),
        cleanup=_filled(fill, workload.cleanup),
    )


def everywhere(workload: Workload) -> list[Workload]:
    """Return the workload at each point; itself alone without parameters."""
    return [at(workload, point) for point in points(workload.parameters)]


def unused(workload: Workload) -> str | None:
    """Return the name of a parameter that changes no run; None when all do."""
    in_runs = [*workload.argv, workload.prepare or "", workload.conclude or ""]
    for one in workload.parameters:
        mark = _filling(((one.name, "\0"),))
        if not any("\0" in mark(text) for text in in_runs):
            return one.name
    return None


Fill: TypeAlias = Callable[[str], str]


def _filled(fill: Fill, text: str | None) -> str | None:
    return None if text is None else fill(text)


def _filling(point: Point) -> Fill:
    values = dict(point)
    named = re.compile(r"(?<!\$)\{(" + "|".join(map(re.escape, values)) + r")\}")
    return lambda text: named.sub(lambda match: values[match[1]], text)
