# SPDX-License-Identifier: MIT
"""A run with the probe beside it, which is never compared with others: what was seen, and the profile that follows.

`autotune observe` and a session watch alike. What was seen is kept raw for whoever matches tasks of later runs; what is
shown, kept or sent is made from redacted arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from autotune import resources, signals
from autotune.deadline import Deadline
from autotune.errors import AutotuneError, DetachError, Interrupted, MachineLost, as_ours
from autotune.frozen import dataclass
from autotune.machine.base import Machine
from autotune.observe.decode import TasksSeen, decode
from autotune.observe.profile import profile
from autotune.records import ProbeSpec, Profile, RawTasks, Watched, Workload
from autotune.schedext import build
from autotune.secrecy import redacted, redacted_arguments
from autotune.session.spending import OutOfBudget

PROBE_SOURCE = "probes/tasks.bpf.c"

Probe = Callable[[], ProbeSpec]
"""Finds or builds the probe. Raises BuildError."""


class Watching(Protocol):
    """Runs a workload with a probe beside it."""

    @property
    def workload(self) -> Workload: ...

    def watched(self, probe: ProbeSpec) -> Watched: ...


@dataclass(frozen=True)
class Observed:
    """One run that was watched."""

    seen: TasksSeen
    """All that the probe saw, with the arguments as they were: nothing of it may be shown, kept or sent."""
    profile: Profile
    """Made from redacted arguments."""

    @property
    def shown(self) -> TasksSeen:
        """What was seen, with redacted arguments."""
        return without_secrets(self.seen)


def watch(trials: Watching, probe: Probe, cpus: int) -> Observed:
    """Run the workload once with the probe beside it, on a machine of so many CPUs. Raises AutotuneError: BuildError,
    AttachError when the kernel refuses the probe, PrivilegeError without root, WorkloadError when the run fails."""
    watched = trials.watched(probe())
    seen = _decoded(watched.tasks)
    found = profile(without_secrets(seen), wall_s=watched.run.wall_s, cpus=cpus, cwd=trials.workload.cwd)
    return Observed(seen, found)


def attempt(trials: Watching, probe: Probe, cpus: int) -> Observed | str:
    """Watch the workload as `watch` does. Return why that cannot be, where nothing is lost but what would have been
    seen. Raises Interrupted, MachineLost, and DetachError, after which nothing may be measured."""
    try:
        found = watch(trials, probe, cpus)
    except (DetachError, Interrupted, MachineLost):
        raise
    except OutOfBudget as error:
        return f"the budget ended during {error.during or 'it'}"
    except Exception as error:
        if signals.is_interruption(error):
            raise
        return str(as_ours(error))
    return found if found.profile.tasks else "the probe saw no task"


def without_secrets(seen: TasksSeen) -> TasksSeen:
    """Redact the arguments and the names of tasks, which are shown, kept, and sent to a model."""
    known = {arguments: redacted_arguments(arguments) for arguments in {one.arguments for one in seen.tasks}}
    names = {name: redacted(name) for name in {one.comm for one in seen.tasks}}
    safe = (replace(one, arguments=known[one.arguments], comm=names[one.comm]) for one in seen.tasks)
    return replace(seen, tasks=tuple(safe))


def compiled(machine: Machine, deadline: Deadline) -> ProbeSpec:
    """Compile the probe for this machine's kernel, or take it from the cache. Raises BuildError."""
    headers = Path(machine.headers) if machine.headers else None
    source = resources.bpf_source_dir() / PROBE_SOURCE
    made = build.build(source, headers=headers, limit_s=deadline.bound(build.COMPILE_S))
    return ProbeSpec(str(made.object_path), made.sha256)


def _decoded(raw: RawTasks) -> TasksSeen:
    try:
        return decode(raw)
    except ValueError as error:
        raise AutotuneError(str(error), hint="run again", stage="observe") from error
