# SPDX-License-Identifier: MIT
"""Trials of a workload with parameters: at each of its points, a point's own command, exit code and limits.

What always holds here: a setup or cleanup command that is the same at several points runs once for all of them; a
workload without parameters has one point, which is empty.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from autotune import parameters
from autotune.deadline import Deadline
from autotune.errors import AutotuneError, WorkloadError
from autotune.events import Listener
from autotune.frozen import dataclass
from autotune.machine.base import Machine
from autotune.records import (
    BASELINE,
    AttachSpec,
    Candidate,
    Phase,
    Point,
    ProbeSpec,
    Trial,
    Watched,
    Workload,
    point_text,
)
from autotune.session.guiding import Guiding
from autotune.session.trials import LostTrial, TrialOutcome, Trials


def keys_of(workload: Workload) -> dict[str, Point]:
    """Return EEVDF's keys with their points, in the order of the values."""
    return {Candidate(BASELINE, params=point).key: point for point in parameters.points(workload.parameters)}


class PointTrials:
    """The `Trials` of each point, which share machine, listener and deadline."""

    def __init__(
        self,
        workload: Workload,
        machine: Machine,
        listener: Listener,
        *,
        show_output: bool,
        deadline: Deadline | None = None,
        guiding: Guiding | None = None,
    ) -> None:
        self.guiding = guiding
        self.points = keys_of(workload)
        setups: dict[str, int] = {}
        self._trials = {
            point: Trials(
                parameters.at(workload, point),
                machine,
                listener,
                show_output=show_output,
                deadline=deadline,
                baseline=key,
                setups=setups,
            )
            for key, point in self.points.items()
        }

    def setup(self) -> None:
        """Run the setup command of each point. Raises as `Trials.setup`."""
        for trials in self._trials.values():
            trials.setup()

    def cleanup(self) -> None:
        """Run the cleanup command of each point, whatever comes of the others. Raises the first error."""
        first: AutotuneError | None = None
        for trials in {trials.workload.cleanup: trials for trials in self._trials.values()}.values():
            try:
                trials.cleanup()
            except AutotuneError as error:
                first = first or error
        if first is not None:
            raise first

    def learn_from_baseline(self, trial: Trial) -> None:
        """Set a point's expected exit code and timeout. Raises as `Trials.learn_from_baseline`."""
        point = self.points[trial.candidate]
        with _named(point):
            self._trials[point].learn_from_baseline(trial)

    def at(self, key: str) -> Trials:
        """Return the trials at the point of a key of EEVDF."""
        return self._trials[self.points[key]]

    def baseline(self, phase: Phase, number: int, key: str) -> TrialOutcome | LostTrial:
        """Run the workload under EEVDF, at the point of its key."""
        return self.at(key).baseline(phase, number)

    def candidate(self, phase: Phase, number: int, candidate: Candidate, spec: AttachSpec) -> TrialOutcome | LostTrial:
        """Run the workload under a candidate, at its point. Raises as `Trials.candidate`."""
        return self._trials[candidate.params].candidate(phase, number, candidate, self._guided(spec))

    def under(self, candidate: Candidate, spec: AttachSpec) -> WatchingUnder:
        """Return what watches a run under a candidate, at its point."""
        return WatchingUnder(self._trials[candidate.params], candidate, self._guided(spec))

    def _guided(self, spec: AttachSpec) -> AttachSpec:
        return spec if self.guiding is None else self.guiding.applied(spec)


@dataclass(frozen=True)
class WatchingUnder:
    """Watches runs under a candidate."""

    trials: Trials
    candidate: Candidate
    spec: AttachSpec

    @property
    def workload(self) -> Workload:
        return self.trials.workload

    def watched(self, probe: ProbeSpec) -> Watched:
        """Run the workload. Raises as `Trials.watched_under`."""
        return self.trials.watched_under(self.candidate, self.spec, probe)


@contextlib.contextmanager
def _named(point: Point) -> Iterator[None]:
    """Name the point in what makes a workload unusable."""
    try:
        yield
    except WorkloadError as error:
        if point:
            error.message = f"{error.message} (with {point_text(point)})"
        raise
