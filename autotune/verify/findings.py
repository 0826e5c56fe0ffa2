# SPDX-License-Identifier: MIT
"""The report of a gate: what is wrong, where, what to do about it, and the numbers it measured.

A model reads the short form, which is bounded; people read the whole report on disk. Standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any, Literal

from autotune.frozen import dataclass

Gate = Literal["source", "compile", "load", "behaviour"]
GATES: tuple[Gate, ...] = ("source", "compile", "load", "behaviour")
"""The gates in the order in which they are passed."""
ANSWER_BYTES = 4096
"""The longest answer of a failed gate to a model."""


@dataclass(frozen=True)
class Finding:
    """An error, or a note (`severity`). `line` and `column` count from 1 in the scheduler's own source; None where no
    place can be named."""

    rule: str
    """The identifier of the rule, such as `enqueue-inserts`; docs/VERIFICATION.md explains each."""
    message: str
    advice: str = ""
    line: int | None = None
    column: int | None = None
    severity: Literal["error", "note"] = "error"

    def text(self) -> str:
        """Describe it: `12:5: [enqueue-inserts] what is wrong. What to do.`"""
        place = "" if self.line is None else f"{self.line}:{self.column or 1}: "
        advice = f". {self.advice[:1].upper()}{self.advice[1:]}" if self.advice else ""
        return f"{place}[{self.rule}] {self.message}{advice}"


@dataclass(frozen=True)
class GateReport:
    """The result of one gate. `numbers` is JSON: what was measured; `log` the whole output that it is based on."""

    gate: Gate
    findings: tuple[Finding, ...] = ()
    numbers: Mapping[str, Any] = field(default_factory=dict)
    took_s: float = 0.0
    log: str = ""

    @property
    def passed(self) -> bool:
        return not any(finding.severity == "error" for finding in self.findings)


def answer(report: GateReport, limit_bytes: int = ANSWER_BYTES) -> str:
    """Return what a model reads of a failed gate: the gate, and as many of its findings as fit, errors first."""
    head = f"The source did not pass gate '{report.gate}' ({GATES.index(report.gate) + 1} of {len(GATES)}).\n"
    ordered = sorted(report.findings, key=lambda finding: finding.severity != "error")
    lines = [finding.text() for finding in ordered]
    kept: list[str] = []
    for index, line in enumerate(lines):
        rest = f"and {len(lines) - index} more; fix these first"
        line = _cut(line, limit_bytes // 2)
        if len("\n".join((head, *kept, line, rest)).encode()) > limit_bytes:
            kept.append(rest)
            break
        kept.append(line)
    return head + "\n".join(kept)


def _cut(text: str, limit_bytes: int) -> str:
    data = text.encode()
    return text if len(data) <= limit_bytes else data[: limit_bytes - 12].decode(errors="ignore") + " [cut off]"
