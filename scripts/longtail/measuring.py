# SPDX-License-Identifier: MIT
"""Measures batches in the micro-VM: by sessions of `autotune cc`, and what such a session does not do (the longest job,
EEVDF with a niceness) by runs of its own."""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from autotune.config import Settings
from autotune.deadline import unlimited
from autotune.measure.client import shell_argv
from autotune.observe.bound import bound
from autotune.observe.decode import TasksSeen, WatchedTask
from autotune.records import BASELINE, Workload
from autotune.schedext.catalogue import custom
from autotune.session import observing
from autotune.session.request import SessionRequest
from autotune.session.start import Engine
from autotune.session.trials import TrialOutcome, Trials

from .batch import Batch
from .kind import Job
from .results import Lengths, Sample, samples

NICENESS = -20
NICE = f"{BASELINE}, long job at nice {NICENESS}"
GUIDED = "at_guided"
"""The scheduler that goes by what was seen in a run before."""
SESSION_S = 3600
WARM_UPS = 1


def known(candidates: Sequence[str]) -> list[str]:
    """Return the candidates (`NAME[:KNOB=...]`) whose scheduler is in the catalogue; say which are not."""
    there = {one.name for one in custom.catalog().schedulers}
    for one in candidates:
        if one.partition(":")[0] not in there:
            print(f"skipped: {one} is not in the catalogue", file=sys.stderr)
    return [one for one in candidates if one.partition(":")[0] in there]


def session(
    directory: Path, command: str, candidates: Sequence[str], *, cpus: int, rounds: int, options: Sequence[str] = ()
) -> dict[str, Any]:
    """Run `autotune cc` in a directory and return its document. Raises RuntimeError when it has none."""
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        document = Path(scratch) / "session.json"
        chosen = [word for one in candidates for word in ("--scheduler", one)]
        argv = [str(Path(sys.executable).parent / "autotune"), "cc", "--machine", "vm", "--cpus", str(cpus)]
        argv += [
            "--runs",
            str(rounds),
            "--budget",
            f"{SESSION_S}s",
            "--json",
            str(document),
            "--style",
            "basic",
            "--no-early-end",
        ]
        ended = subprocess.run(
            [*argv, *options, *chosen, command], cwd=directory, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False
        )
        try:
            found: dict[str, Any] = json.loads(document.read_text())
        except (OSError, ValueError):
            raise RuntimeError(f"autotune cc in {directory} ended with {ended.returncode} and no document") from None
        if found.get("failure"):
            print(f"the session ended early: {found['failure']}", file=sys.stderr)
        return found


def of_batch(batch: Batch, candidates: Sequence[str], *, cpus: int, rounds: int) -> dict[str, list[Sample]]:
    """Return the runs of EEVDF and the candidates in one session of `autotune cc`. Those of a scheduler that goes by
    what was seen before do not count where nothing was."""
    options = ["--prepare", batch.prepare, "--cleanup", batch.clean, "--command-name", batch.kind.name]
    document = session(batch.directory, batch.start, candidates, cpus=cpus, rounds=rounds, options=options)
    found = samples(document)
    if document.get("watched") is None:
        blind = [key for key in found if key.partition(":")[0] == GUIDED]
        for key in blind:
            print(f"{key} does not count, it had nothing to go by: {document.get('not_watched')}", file=sys.stderr)
            del found[key]
    return found


def watched_and_niced(batch: Batch, *, cpus: int, rounds: int) -> tuple[Lengths, dict[str, list[Sample]]]:
    """Return what the jobs took in a run with the probe beside it, and the runs of EEVDF with and without a niceness
    for the long job, in turn. Only root may give it one; for others there is none. Raises RuntimeError for a run that
    is lost."""
    plain = _workload(batch, batch.start)
    workloads = {BASELINE: plain}
    if os.geteuid() == 0:
        workloads[NICE] = _workload(batch, f"{batch.start} {NICENESS}")
    request = SessionRequest(plain, Settings(machine="vm", cpus=cpus))
    with Engine().machine(request, lambda _event: None, unlimited()) as machine:
        trials = {name: Trials(one, machine, lambda _event: None, show_output=False) for name, one in workloads.items()}
        for _ in range(WARM_UPS):
            _run(trials[BASELINE])
        seen = observing.watch(trials[BASELINE], lambda: observing.compiled(machine, unlimited()), cpus).seen
        found: dict[str, list[Sample]] = {name: [] for name in trials}
        for _ in range(rounds):
            for name in random.sample(list(trials), len(trials)):
                found[name].append(_run(trials[name]))
                print(f"  {name}: {found[name][-1].wall_s:.2f} s", file=sys.stderr, flush=True)
        trials[BASELINE].cleanup()
    return lengths(seen, batch, cpus), found


def lengths(seen: TasksSeen, batch: Batch, cpus: int) -> Lengths:
    """Return what the jobs took in a run that was watched on so many CPUs. Raises RuntimeError when one is missing."""
    own = {job: [task for task in seen.tasks if _is_of(task, job)] for job in batch.jobs}
    if missing := [job.name for job, tasks in own.items() if not tasks]:
        raise RuntimeError(f"the probe did not see {missing[0]}")
    cpu_s = {job: sum(task.cpu_s for task in tasks) for job, tasks in own.items()}
    by_all = bound(seen, cpus)
    return Lengths(
        short_s=statistics.median(taken_s for job, taken_s in cpu_s.items() if not job.is_long),
        long_s=cpu_s[batch.long],
        work_s=by_all.work_s,
        chain_s=by_all.chain_s,
        least_s=by_all.least_s,
        last_start_s=max(tasks[0].start_s for tasks in own.values()),
    )


def _is_of(task: WatchedTask, job: Job) -> bool:
    """Return whether a task is this job's: a word of its command is the input, a file in it, or a path that ends so."""
    inside, ends = f"{job.name}/", (f"={job.name}", f"/{job.name}")
    return any(word == job.name or word.startswith(inside) or word.endswith(ends) for word in task.arguments)


def _workload(batch: Batch, command: str) -> Workload:
    plain = Workload(
        command=command, argv=shell_argv(command), cwd=str(batch.directory), env=dict(os.environ), guards=()
    )
    return replace(plain, prepare=batch.prepare, cleanup=batch.clean)


def _run(trials: Trials) -> Sample:
    outcome = trials.baseline("race", 1)
    if not isinstance(outcome, TrialOutcome):
        raise RuntimeError(f"a run was lost: {outcome.reason}")
    if outcome.trial.invalid is not None:
        raise RuntimeError(f"a run does not count: {outcome.trial.invalid}")
    run = outcome.trial.run
    return Sample(run.wall_s, run.user_s + run.system_s)
