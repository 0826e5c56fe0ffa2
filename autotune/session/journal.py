# SPDX-License-Identifier: MIT
"""The session in the knowledge store while it goes on: each run is there as soon as it has ended.

What always holds here:
- a session is in the store from its first run on, and is known to be running; after kill -9 it is known to be lost;
- a store that cannot be written costs the session nothing: what is missing is written with the next run, or at the end;
- a session that measured nothing leaves nothing.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, replace

import autotune
from autotune.events import (
    BaselineKnown,
    Event,
    Finished,
    Left,
    MachineReady,
    Proposed,
    RunFinished,
    Standings,
    Unmeasured,
    WorkloadSeen,
)
from autotune.knowledge.claims import Claim
from autotune.knowledge.store import Knowledge
from autotune.records import Profile, Session, Trial
from autotune.report import json_document, session_table


@dataclass
class Journal:
    """Listens to a session and writes what is known of it. `knowledge` is for this journal alone. `session` is what is
    known so far, without the runs; None before the machine is ready."""

    knowledge: Knowledge
    session: Session | None = None
    trials: list[Trial] = field(default_factory=list)
    _number: int | None = None
    _claim: Claim | None = None
    _seen: Profile | None = None
    """What a run showed that was watched, until it is in the store."""

    def __call__(self, event: Event) -> None:
        """Learn from an event; write when it ends a run or a round. Raises no Exception."""
        if isinstance(event, MachineReady):
            self.session = _begun(event)
        elif isinstance(event, (Finished, Unmeasured)):
            self.session = event.session
        elif self.session is None:
            return
        elif isinstance(event, Proposed):
            self.session = replace(self.session, planner=event.planner)
        elif isinstance(event, BaselineKnown):
            self.session = replace(self.session, baseline=event.baseline, observation=event.observation)
        elif isinstance(event, WorkloadSeen):
            self._seen = event.watched if not event.not_watched else None
            self._write()
        elif isinstance(event, Standings):
            self.session = replace(self.session, results=event.results)
            self._write()
        elif isinstance(event, Left):
            self.session = replace(self.session, chain=event.chain)
            self._write()  # before the runs that it allows: a kill must not hand on what they were given
        elif isinstance(event, RunFinished):
            self.trials.append(event.trial)
            elapsed_s = event.trial.started_at + event.trial.run.wall_s - self.session.started_at
            self.session = replace(self.session, elapsed_s=max(0.0, elapsed_s))
            self._write()

    def _write(self) -> None:
        if self.session is None or not self.trials:
            return
        with contextlib.suppress(Exception):  # the end of the session tries again, and reports what fails
            if self._claim is None:
                self._claim = self.knowledge.claim()
            session = replace(self.session, trials=tuple(self.trials))
            self._number = self.knowledge.keep(session, self._number, self._claim)
            self._learn(session, self.knowledge)

    def _learn(self, session: Session, knowledge: Knowledge) -> None:
        if self._seen is not None:
            knowledge.learn_workload(session.workload, session.machine, self._seen)
            self._seen = None

    def so_far(self, failure: str) -> Session | None:
        """Return the session as far as it is known, when `failure` kept it from coming to an end of its own; None when
        it measured nothing."""
        if self.session is None or not self.trials:
            return None
        return replace(self.session, trials=tuple(self.trials), failure=failure)

    def finish(self, session: Session, knowledge: Knowledge) -> None:
        """Write the session as it ended, into a store that waits for others. Raises AutotuneError."""
        if self.trials:
            self._number = knowledge.keep(session, self._number)
            self._learn(session, knowledge)

    def close(self) -> None:
        """Give up the claim: from now on nobody takes the session for a running one."""
        if self._claim is not None:
            self._claim.close()
        with contextlib.suppress(Exception):
            self.knowledge.close()


def _begun(event: MachineReady) -> Session:
    """Return the record of a session that has measured nothing yet."""
    workload = event.workload
    return Session(
        schema=json_document.SCHEMA_VERSION,
        autotune_version=autotune.__version__,
        started_at=event.started_at,
        elapsed_s=0.0,
        machine=event.info,
        workload=workload,
        seed=event.seed,
        planner="",
        metric=workload.metric_regex or session_table.WALL_METRIC,
        baseline=None,
        observation=None,
        results=(),
        winner=None,
        recommendation="",
        trials=(),
        id=event.session,
        continues=event.continues,
    )
