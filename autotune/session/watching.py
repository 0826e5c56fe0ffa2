# SPDX-License-Identifier: MIT
"""One look at a workload: a plain run or two, then one with the probe beside it, and the profile that follows."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from autotune import resources
from autotune.deadline import Deadline
from autotune.errors import AutotuneError, as_ours
from autotune.events import Listener, MachineReady, Step
from autotune.machine.base import Machine
from autotune.observe.decode import TasksSeen, decode
from autotune.observe.profile import Profile, profile
from autotune.records import ProbeSpec, RawTasks
from autotune.schedext import build
from autotune.schedext.catalogue import custom
from autotune.secrecy import redacted
from autotune.session import ending, preflight
from autotune.session.recorder import Recorder
from autotune.session.request import SessionRequest
from autotune.session.start import Engine
from autotune.session.trials import LostTrial, TrialOutcome, Trials
from autotune.wire import to_json

PROBE_SOURCE = "probes/tasks.bpf.c"


@dataclass(frozen=True)
class Observed:
    """What was seen. `plain_s` is the wall time of the run before, which nothing watched: the difference to the
    profile's is the cost of watching, and noise."""

    seen: TasksSeen
    profile: Profile
    plain_s: float
    kernel: str

    def as_json(self) -> dict[str, Any]:
        """Return the profile as values for JSON."""
        return {"version": 1, "kernel": self.kernel, "plain_s": self.plain_s, "profile": to_json(self.profile)}


def look(request: SessionRequest, listener: Listener, engine: Engine | None = None) -> Observed:
    """Watch the workload once and return what it did. Raises AutotuneError: when it fails, when there is no machine,
    without root on a host, when the kernel refuses the probe."""
    engine = engine or Engine()
    recorder = Recorder(listener)
    try:
        with contextlib.closing(recorder):
            preflight.check(request, custom.catalog(), engine, baseline_only=True)
            deadline = Deadline(request.settings.budget)
            with engine.machine(request, recorder, deadline) as machine:
                return _look(request, machine, recorder, deadline)
    except AutotuneError:
        raise
    except (KeyboardInterrupt, Exception) as error:
        raise as_ours(error) from error


def _look(request: SessionRequest, machine: Machine, listener: Listener, deadline: Deadline) -> Observed:
    workload = request.workload
    listener(MachineReady(machine.info, workload, time.time(), 0))
    trials = Trials(workload, machine, listener, show_output=request.show_output, deadline=deadline)
    ended = None
    try:
        probe = compiled(machine, deadline)
        trials.setup()
        plain = _plain_runs(trials, request.settings.warmup)
        listener(Step("observe", workload.title))
        watched = trials.watched(probe)
    except BaseException as error:
        ended = error
        raise
    finally:
        failed = ending.clean_up(trials)
        if failed is not None and ended is None:
            raise failed
    seen = _without_secrets(_decoded(watched.tasks))
    found = profile(seen, wall_s=watched.run.wall_s, cpus=machine.info.cpus, cwd=workload.cwd)
    return Observed(seen, found, plain.trial.run.wall_s, machine.info.kernel)


def _decoded(raw: RawTasks) -> TasksSeen:
    try:
        return decode(raw)
    except ValueError as error:
        raise AutotuneError(str(error), hint="run again", stage="observe") from error


def _without_secrets(seen: TasksSeen) -> TasksSeen:
    """Redact the arguments, which are shown, kept, and sent to a model."""
    known: dict[tuple[str, ...], tuple[str, ...]] = {}
    for task in seen.tasks:
        if task.arguments not in known:
            line = " ".join(task.arguments)
            safe = redacted(line)
            known[task.arguments] = task.arguments if safe == line else (safe,)
    return replace(seen, tasks=tuple(replace(one, arguments=known[one.arguments]) for one in seen.tasks))


def _plain_runs(trials: Trials, warmup: int) -> TrialOutcome:
    """Warm up, then run once more; the last run is the one to compare with."""
    for number in range(warmup):
        _known(trials, trials.baseline("warmup", number + 1))
    return _known(trials, trials.baseline("baseline", 1))


def _known(trials: Trials, outcome: TrialOutcome | LostTrial) -> TrialOutcome:
    if isinstance(outcome, LostTrial):
        raise AutotuneError(f"a run was lost: {outcome.reason}", hint="run again", stage="observe")
    trials.learn_from_baseline(outcome.trial)
    return outcome


def compiled(machine: Machine, deadline: Deadline) -> ProbeSpec:
    """Compile the probe for this machine's kernel, or take it from the cache. Raises BuildError."""
    headers = Path(machine.headers) if machine.headers else None
    source = resources.bpf_source_dir() / PROBE_SOURCE
    made = build.build(source, headers=headers, limit_s=deadline.bound(build.COMPILE_S))
    return ProbeSpec(str(made.object_path), made.sha256)
