# SPDX-License-Identifier: MIT
"""One look at a workload: a plain run or two, then one with the probe beside it, and the profile that follows."""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace
from typing import Any

from autotune.deadline import Deadline
from autotune.errors import AutotuneError, MachineLost, WorkloadError, as_ours
from autotune.events import Listener, MachineReady, Step, Warned
from autotune.frozen import dataclass
from autotune.knowledge.store import Knowledge
from autotune.machine.base import Machine
from autotune.observe import perf
from autotune.observe.decode import TasksSeen
from autotune.observe.expectations import expect
from autotune.observe.perf import CpuCounters
from autotune.records import MachineInfo, Profile, Workload
from autotune.schedext.catalogue import custom
from autotune.session import ending, preflight
from autotune.session.observing import Observed, watch
from autotune.session.recorder import Recorder
from autotune.session.request import SessionRequest
from autotune.session.start import Engine
from autotune.session.trials import LostTrial, TrialOutcome, Trials
from autotune.wire import to_json


@dataclass(frozen=True)
class WorkloadLook:
    """What was seen, with redacted arguments. `plain_s` is the wall time of the run before, which nothing watched: the
    difference to the profile's is the cost of watching, and noise."""

    seen: TasksSeen
    profile: Profile
    plain_s: float
    kernel: str
    counted: CpuCounters | str
    """What the CPUs counted in a run of its own, or why they could not."""
    failure: AutotuneError | None = None
    """Why the cleanup command failed, which changes nothing of what was seen."""

    def as_json(self) -> dict[str, Any]:
        """Return the profile as values for JSON."""
        return {
            "version": 1,
            "kernel": self.kernel,
            "plain_s": self.plain_s,
            "profile": to_json(self.profile),
            "counters": None if isinstance(self.counted, str) else perf.as_json(self.counted),
            "not_counted": self.counted if isinstance(self.counted, str) else "",
        }


def look(request: SessionRequest, listener: Listener, engine: Engine | None = None) -> WorkloadLook:
    """Watch the workload once and return what it did, also where its cleanup fails. Raises AutotuneError: when it
    fails, when there is no machine, without root on a host, when the kernel refuses the probe."""
    engine = engine or Engine()
    recorder = Recorder(listener)
    try:
        with contextlib.closing(recorder):
            preflight.check(request, custom.catalog(), engine, baseline_only=True)
            deadline = Deadline(request.settings.budget)
            with engine.machine(request, recorder, deadline) as machine:
                return _look(request, machine, recorder, deadline, engine)
    except AutotuneError:
        raise
    except (KeyboardInterrupt, Exception) as error:
        raise as_ours(error) from error


def _look(
    request: SessionRequest, machine: Machine, listener: Listener, deadline: Deadline, engine: Engine
) -> WorkloadLook:
    workload = request.workload
    listener(MachineReady(machine.info, workload, time.time(), 0))
    trials = Trials(workload, machine, listener, show_output=request.show_output, deadline=deadline)
    try:
        probe = engine.probe(machine, deadline)  # what cannot be watched is said before anything runs
        trials.setup()
        plain = _plain_runs(trials, request.settings.warmup)
        counted = _counted(request, machine, listener, deadline)
        listener(Step("observe", workload.title))
        found = watch(trials, lambda: probe, machine.info.cpus)
    finally:
        failed = ending.clean_up(trials)
    _learn(workload, machine.info, found, listener)
    failure = None if failed is None else as_ours(failed)
    return WorkloadLook(found.shown, found.profile, plain.trial.run.wall_s, machine.info.kernel, counted, failure)


def _counted(request: SessionRequest, machine: Machine, listener: Listener, deadline: Deadline) -> CpuCounters | str:
    """Run the workload once more while the CPUs' own counters count. Return why that cannot be, which costs nothing
    else."""
    absent = perf.why_absent(machine.info)
    if absent:
        return absent
    listener(Step("observe", f"{request.workload.title}, by perf stat"))
    workload = replace(request.workload, argv=perf.counting(request.workload.argv))
    try:
        outcome = Trials(workload, machine, listener, show_output=False, deadline=deadline).baseline("baseline", 2)
    except (MachineLost, WorkloadError) as error:
        return error.message
    return outcome.reason if isinstance(outcome, LostTrial) else perf.counted(outcome.trial.run.stderr)


def _learn(workload: Workload, machine: MachineInfo, found: Observed, listener: Listener) -> None:
    """Keep it for later sessions; the look itself counts all the same."""

    def warn(text: str) -> None:
        listener(Warned(text))

    try:
        with Knowledge(warn=warn) as knowledge:
            knowledge.learn_workload(workload, machine, found.profile)
            knowledge.learn_expected(workload, machine, expect(found.seen))
    except AutotuneError as error:
        warn(str(error))


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
