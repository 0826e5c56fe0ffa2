# SPDX-License-Identifier: MIT
"""The shapes of structured answers. Fields beyond those named may be there: a shape is a promise, not a fence."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict


class ToolAnswer(BaseModel):
    model_config = ConfigDict(extra="allow")


class SchedulerLine(ToolAnswer):
    name: str
    description: str
    production_ready: bool | None
    tags: list[str]
    knobs: int
    cannot_run_here: str | None = None


class SchedulersListed(ToolAnswer):
    schedulers: list[SchedulerLine]
    total: int
    next_offset: int | None = None


class SchedulerDescribed(ToolAnswer):
    name: str
    description: str
    tuning_parameters: dict[str, str] | None = None


class ExecutionStarted(ToolAnswer):
    execution_id: str
    scheduler: str
    status: str
    message: str


class ExecutionShown(ToolAnswer):
    execution_id: str
    status: str
    output: list[str]
    scheduler_name: str | None = None
    duration_s: float | None = None
    verification: Any = None


class MonitorSeen(ToolAnswer):
    session_id: str | None = None
    samples: int | None = None
    cpu_percent_average: float | None = None
    cpu_percent_maximum: float | None = None


class WorkloadNotes(ToolAnswer):
    workload_id: str | None = None
    history_id: str | None = None
    profiles: list[dict[str, Any]] | None = None
    profile: dict[str, Any] | None = None
    history: list[dict[str, Any]] | None = None


class FilePiece(ToolAnswer):
    path: str
    entries: list[str] | None = None
    text: str | None = None
    next_offset: int | None = None


class WorkloadObserved(ToolAnswer):
    """A view of a profile; what is in it depends on the view."""


class TunedResult(ToolAnswer):
    scheduler: str
    verdict: str | None
    speedup: float | None
    interval: dict[str, float] | None
    median: float | None
    runs: int
    confirmed: bool
    note: str


class TuningShown(ToolAnswer):
    id: str
    status: str
    """running, stopping, finished, stopped or failed."""
    step: str
    elapsed_s: float
    runs: int
    output: list[str]
    winner: str | None = None
    recommendation: str | None = None
    results: list[TunedResult] | None = None
    report: str | None = None
    error: str | None = None


class SessionFound(ToolAnswer):
    session: str | None
    command: str
    cwd: str
    started_at: float
    finding: str
    winner: str | None


class HistoryFound(ToolAnswer):
    sessions: list[SessionFound]
    has_all_words: bool
    """False: no session has all of the words, and these are the nearest."""
    total: int
    next_offset: int | None = None


class BestKnown(ToolAnswer):
    best: dict[str, Any] | None
    bad: list[dict[str, str]]


class SchedulerKept(ToolAnswer):
    scheduler: str | None
    status: str
    output: list[str]
