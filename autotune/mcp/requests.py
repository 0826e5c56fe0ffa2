# SPDX-License-Identifier: MIT
"""A SessionRequest as a client writes it, in JSON, with what a client may decide.

A client is a model: it says what to measure and how long, within the user's limits. Which programs run as root, which
service is contacted and what may be spent stays with the user (`config`): no model plans here, since the client is one.
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from autotune import config
from autotune.errors import UsageError
from autotune.machine.local import invoking_environment
from autotune.records import Workload
from autotune.schedext.catalogue import custom
from autotune.session.request import SessionRequest
from autotune.tools.toolbox import ToolArguments

MOST_TEXT = 4000
MOST_CANDIDATES = 16


class TuneWorkload(ToolArguments):
    command: str | list[str] = Field(description="For sh as one text, or the words of a program and its arguments.")
    cwd: str | None = Field(None, description="Absolute directory; without it, the server's.")
    setup: str | None = Field(None, max_length=MOST_TEXT, description="Runs once, before all runs.")
    prepare: str | None = Field(None, max_length=MOST_TEXT, description="Runs before each run, such as 'make clean'.")
    conclude: str | None = Field(None, max_length=MOST_TEXT, description="Runs after each run.")
    cleanup: str | None = Field(None, max_length=MOST_TEXT, description="Runs once, at the end.")
    timeout_s: float | None = Field(None, gt=0, description="A run that takes longer is ended.")
    metric_regex: str | None = Field(
        None, max_length=MOST_TEXT, description="Finds the number to judge in the output, such as 'rps: ([0-9.]+)'."
    )
    goal: Literal["min", "max"] = Field("min", description="Whether less or more of it is better.")
    pristine: bool = Field(False, description="Give every run the same files, by a disposable overlay.")
    ignore_failure: bool = Field(False, description="Judge runs whose exit code is not 0.")


class TuneSettings(ToolArguments):
    budget: str | None = Field(None, description="Time for the whole session, such as 90s or 10m. Default: 10m.")
    machine: Literal["auto", "host", "vm"] | None = Field(
        None, description="auto: the host where its kernel has sched_ext, else a micro-VM."
    )
    cpus: str | None = Field(None, description="CPUs of the micro-VM.")
    memory: str | None = Field(None, description="Memory of the micro-VM, such as 2G.")
    runs: str | None = Field(None, description="Rounds of the race, exactly.")
    warmup: str | None = Field(None, description="Runs before any is measured.")
    min_effect: str | None = Field(None, description="The least gain worth having, such as 3%.")
    statistic: str | None = Field(None, description="What of the runs is judged: typical, mean, median, p50 to p99.")
    seed: str | None = Field(None, description="Of the order of the runs.")
    planner: Literal["offline", "search"] = Field("offline", description="Who proposes where no candidates are given.")


class TuningStart(ToolArguments):
    workload: TuneWorkload
    settings: TuneSettings = Field(default_factory=lambda: TuneSettings())  # type: ignore[call-arg]
    candidates: list[str] = Field(
        [],
        max_length=MOST_CANDIDATES,
        description="Schedulers to try, as NAME or NAME:knob=value,...; empty: the planner proposes.",
    )


def session_request(given: TuningStart, directory: Path) -> SessionRequest:
    """Return the request. Raises UsageError for what cannot be one."""
    cwd = directory_of(given.workload.cwd, directory)
    flags = {name: value for name, value in given.settings.model_dump().items() if value is not None}
    catalog = custom.catalog()
    return SessionRequest(
        _workload(given.workload, cwd),
        config.load(flags, cwd=cwd, environ=os.environ, of_client=True),
        tuple(catalog.parse_candidate(text) for text in given.candidates),
    )


def directory_of(given: str | None, default: Path) -> Path:
    """Return the directory that a client names. Raises UsageError."""
    if given is None:
        return default
    path = Path(given)
    if "\0" in given or not path.is_absolute() or not os.path.isdir(given) or not os.access(given, os.X_OK):
        raise UsageError("the directory cannot be used", hint="give an absolute one that exists")
    return path


def _workload(given: TuneWorkload, cwd: Path) -> Workload:
    command, argv = command_of(given.command)
    return Workload(
        command=command,
        argv=argv,
        cwd=str(cwd),
        env=invoking_environment(os.environ),
        setup=given.setup,
        prepare=given.prepare,
        conclude=given.conclude,
        cleanup=given.cleanup,
        timeout_s=given.timeout_s,
        metric_regex=given.metric_regex,
        goal=given.goal,
        pristine=given.pristine,
        ignore_failure=given.ignore_failure,
    )


def command_of(given: str | list[str]) -> tuple[str, tuple[str, ...]]:
    """Return the command for people, and the arguments to execute. Raises UsageError."""
    words = [given] if isinstance(given, str) else given
    if not words or not words[0].strip() or any("\0" in word for word in words):
        raise UsageError("the command is empty, or has a NUL", hint="such as 'make -j8'")
    return (given, ("sh", "-c", given)) if isinstance(given, str) else (shlex.join(words), tuple(words))


def facts(given: TuningStart, directory: Path) -> dict[str, Any]:
    """Return what a person is asked about: everything that the client gave."""
    workload = given.workload.model_dump(exclude_defaults=True, exclude={"command", "cwd"})
    shown = {"command": command_of(given.workload.command)[0], "directory": given.workload.cwd or str(directory)}
    return {
        **shown,
        **workload,
        "settings": given.settings.model_dump(exclude_defaults=True),
        "schedulers": given.candidates,
    }
