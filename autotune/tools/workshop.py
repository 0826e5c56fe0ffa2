# SPDX-License-Identifier: MIT
"""Verification of schedulers that a model writes: the source goes through the gates (`verify`), and a scheduler that
passes joins the catalogue of this and later sessions."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from autotune.errors import UsageError
from autotune.schedext.catalogue import custom
from autotune.schedext.catalogue.catalog import CUSTOM, Catalog
from autotune.verify.findings import GateReport, answer
from autotune.verify.submission import Submission, submission
from autotune.verify.summary import summary
from autotune.wire import to_json


class Verified(Protocol):
    """The outcome of a verification (`verify.gates.Verification`)."""

    @property
    def reports(self) -> tuple[GateReport, ...]: ...

    @property
    def custom(self) -> custom.Custom | None: ...


Verify = Callable[[Submission], Verified]
MOST_TRIES = 6
"""Verifications per session: each takes about a minute of the budget."""


@dataclass
class Workshop:
    """Verifies schedulers for one session."""

    catalog: Catalog
    verify: Verify
    took_s: float = 0.0
    tries: int = 0

    def create(self, fields: dict[str, Any]) -> tuple[bool, Any]:
        """Verify a source. Return whether it passed, and the answer to the model. Raises UsageError for an invalid name
        or entry, and AutotuneError when this machine cannot verify."""
        submitted = submission(**fields)
        name = f"{CUSTOM}{submitted.name}"
        if any(one.name == name for one in self.catalog.schedulers):
            raise UsageError(f"{name} exists already", hint="choose another name")
        if any(one.name == submitted.name for one in self.catalog.schedulers):
            raise UsageError(f"{submitted.name} is one of ours", hint="choose another name")
        if self.tries >= MOST_TRIES:
            raise UsageError(f"{MOST_TRIES} sources were verified in this session", hint="use what there is")
        self.tries += 1
        started = time.monotonic()
        try:
            outcome = self.verify(submitted)
        finally:
            self.took_s += time.monotonic() - started
        if outcome.custom is None:
            return False, answer(next(report for report in outcome.reports if not report.passed))
        self.catalog.add(outcome.custom.entry)
        numbers = summary(to_json(list(outcome.reports)))
        notes = [finding.text() for report in outcome.reports for finding in report.findings]
        return True, {"scheduler": name, "passed": "all gates", "notes": notes[:10], "numbers": numbers}
