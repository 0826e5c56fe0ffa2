# SPDX-License-Identifier: MIT
"""A session to start, as a plain record, the same for every caller."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from pathlib import Path
from typing import TypeAlias

from autotune.config import Settings
from autotune.frozen import dataclass
from autotune.lease.other import Other
from autotune.records import Candidate, Workload
from autotune.report.formats import ReportKind
from autotune.session.continuation import TakenUp
from autotune.session.runs import Approve

Sink: TypeAlias = Callable[[str], None]
"""Writes the text of a report. Raises AutotuneError when it cannot."""
Consent: TypeAlias = Callable[[Other], bool]
"""Returns True when a scheduler that somebody else attached may be stopped for the session and restored afterwards. May
raise BusyError instead of refusing."""


def refuse(_other: Other) -> bool:
    """Refuse; the default consent."""
    return False


@dataclass(frozen=True)
class SessionRequest:
    """The workload, the settings, the candidates, and where to write the results."""

    workload: Workload
    settings: Settings = field(default_factory=Settings)
    """Includes the machine and the planner."""
    candidates: tuple[Candidate, ...] = ()
    """Candidates to try instead of a planner's; empty: `settings.planner` proposes."""
    consent: Consent = refuse
    approve: Approve | None = None
    """Called before each switch of the scheduler; None: the request itself is consent."""
    apply: bool = False
    """Keep the winner attached on the host afterwards, until a signal or `autotune stop`. For the main thread."""
    show_output: bool = False
    """Pass the workload's output to the listener."""
    output_to_model: bool = True
    """Allow a model to see the workload's output."""
    reports: Mapping[ReportKind, Path | Sink] = field(default_factory=dict)
    keep_writes: Path | None = None
    """Directory for what the workload wrote in the micro-VM; None: it is discarded."""
    brief: bool = False
    """Confirm or refute the candidates in as few runs as can: whether rare runs are slow was known before."""
    continues: TakenUp | None = None
    """The session to continue; its contenders are the candidates. None: a new one."""
