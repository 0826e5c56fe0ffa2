# SPDX-License-Identifier: MIT
"""Lists for `autotune doctor`, `autotune schedulers` and `autotune vm`: records -> lines of text. Pure.

Colour only repeats what words say, so nothing is lost without it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from autotune import reading
from autotune.records import Seal
from autotune.report.text import printable
from autotune.verify.summary import summary
from autotune.views.catalogue import ListingRow, scheduler, schedulers
from autotune.views.paragraphs import Lines, paragraph

if TYPE_CHECKING:
    from autotune.machine.vm.kernels import Kernel
    from autotune.views.checks import Check

GREEN, RED = "\x1b[32m", "\x1b[31m"
_END = "\x1b[0m"

__all__ = ["GREEN", "RED", "ListingRow", "doctor", "kernels", "proof", "scheduler", "schedulers"]


def _painted(word: str, colour: str, *, coloured: bool) -> str:
    return f"{colour}{word}{_END}" if coloured and colour else word


# --- doctor ----------------------------------------------------------------------------------------------

_MACHINES = {"host": "on this host", "vm": "in a micro-VM"}
_INDENT = 9


def doctor(checks: Sequence[Check], can_run: dict[str, bool], *, width: int, coloured: bool) -> Lines:
    """List every requirement with its state, purpose and fix; then what this machine can run."""
    for check in checks:
        word, colour = ("ok", GREEN) if check.found else ("missing", RED) if check.required_for else ("note", "")
        detail = f": {check.detail}" if check.detail else ""
        first, *rest = paragraph(f"{check.name}{detail}", width, _INDENT)
        yield _painted(word, colour, coloured=coloured) + first[len(word) :]
        yield from rest
        yield from paragraph(f"{check.purpose} ({_needed(check)})", width, _INDENT)
        if not check.found and check.fix:
            yield " " * _INDENT + f"fix: {printable(check.fix)}"  # one line, so that it can be copied
    yield ""
    for kind, able in can_run.items():
        word, colour = ("yes", GREEN) if able else ("no", RED)
        yield f"Can run sched_ext schedulers {_MACHINES.get(kind, kind)}: {_painted(word, colour, coloured=coloured)}"


def _needed(check: Check) -> str:
    if len(check.required_for) == 1:
        return f"needed to run {_MACHINES[check.required_for[0]]}"
    return "needed" if check.required_for else "optional"


# --- generated schedulers ---------------------------------------------------------------------------------


def proof(token: Seal, reports: Sequence[Any], *, width: int) -> Lines:
    """Show the proof of a generated scheduler: the seal, and the numbers of each gate."""
    yield ""
    said = f"Proven on Linux {token.kernel}, compiled by clang {token.clang}, with version {token.gates} of the gates:"
    yield from paragraph(said, width, 0)
    try:
        yield from reading.shaped(lambda found: list(_gates(found, width)), reports)
    except ValueError:  # it was edited since
        yield "  What they measured cannot be read any more."


def _gates(reports: Sequence[Any], width: int) -> Lines:
    short = summary(reports)
    for report in reports:
        gate = str(report.get("gate"))
        plain = {name: value for name, value in short[gate].items() if not isinstance(value, Mapping)}
        said = ", ".join(f"{name} {_number(value)}" for name, value in plain.items())
        yield from paragraph(f"{gate} ({report.get('took_s', 0.0):.1f} s){': ' if said else ''}{said}", width, 2)
        for load, numbers in short[gate].items():
            if isinstance(numbers, Mapping):
                compared = ", ".join(f"{name} {_compared(value)}" for name, value in numbers.items())
                yield from paragraph(f"{load}: {compared}", width, 4)
        for finding in report.get("findings", ()):
            yield from paragraph(f"note: {finding.get('message')}", width, 4)


def _compared(value: Any) -> str:
    """Format a number beside EEVDF's: `0.024 (EEVDF 0.03)`."""
    return f"{_number(value[0])} (EEVDF {_number(value[1])})" if isinstance(value, list) else _number(value)


def _number(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else printable(str(value))


# --- kernels ---------------------------------------------------------------------------------------------


def kernels(installed: Sequence[Kernel], chosen: Kernel | None) -> Lines:
    """List the kernels that a micro-VM can boot, with a mark at the one it would use."""
    for kernel in installed:
        mark = "*" if kernel == chosen else " "
        yield f"{mark} {printable(kernel.version)}  {printable(str(kernel.image))}"
    if not installed:
        yield "No kernel was fetched yet; 'autotune vm setup' fetches one."
    if chosen is not None:
        yield f"A micro-VM would boot {printable(chosen.version)} ({printable(chosen.source)})."
