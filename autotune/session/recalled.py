# SPDX-License-Identifier: MIT
"""What earlier sessions learned of the command, where the knowledge can be read: a session goes on without it."""

from __future__ import annotations

from collections.abc import Callable

from autotune.errors import AutotuneError
from autotune.frozen import dataclass
from autotune.knowledge import experience
from autotune.knowledge.store import Knowledge
from autotune.records import Expectations, MachineInfo, Profile, Workload
from autotune.session.guiding import Guiding

MOST_SESSIONS = 20
"""Most sessions of a workload that tell what is known of it."""


@dataclass(frozen=True)
class Recalled:
    """What is known of a workload on such a machine. `warn` gets a sentence when the knowledge cannot be used."""

    knowledge: Knowledge
    workload: Workload
    machine: MachineInfo
    warn: Callable[[str], None]

    def profile(self) -> Profile | None:
        """Return what it does; None when nothing is known."""
        try:
            return self.knowledge.known_workload(self.workload, self.machine)
        except AutotuneError as error:
            self.warn(str(error))
            return None

    def confirmed(self) -> frozenset[str]:
        """Return the key of the known best, where nothing has changed since; empty when there is none."""
        try:
            sessions = self.knowledge.sessions_of(self.workload, MOST_SESSIONS)
        except AutotuneError:
            return frozenset()  # `profile` has said so
        known = experience.of_sessions(sessions, experience.here_of(self.machine)).known_best
        return frozenset() if known is None else frozenset({known.candidate.key})

    def guide(self, guiding: Guiding) -> None:
        """Let schedulers expect what earlier runs showed, as long as this session has watched none."""
        try:
            expected = self.knowledge.known_expected(self.workload, self.machine)
        except AutotuneError:
            return  # `profile` has said so
        refused = guiding.use(expected) if expected is not None else None
        if refused is not None:
            self.warn(f"schedulers cannot be told what to expect of tasks: {refused}")

    def merged(self, seen: Expectations) -> Expectations:
        """Keep what a run showed, and return it merged with what is known; alone where it cannot be kept."""
        try:
            return self.knowledge.learn_expected(self.workload, self.machine, seen)
        except AutotuneError as error:
            self.warn(f"what to expect of this command's tasks is not kept: {error}")
            return seen
