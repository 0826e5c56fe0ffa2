# SPDX-License-Identifier: MIT
"""The store under any order of what several sessions do to it: nothing written is lost, and nobody sees a part.

Several instances are several processes here: each has its own connection, and SQLite locks between connections as
between processes. A claim that is closed without an end is a process that was killed.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from autotune.knowledge import best, experience
from autotune.knowledge.archive import History
from autotune.knowledge.claims import Claim
from autotune.knowledge.store import Knowledge
from autotune.records import Session
from autotune.wire import to_json
from tests.support import sessions

pytestmark = pytest.mark.slow

WRITERS = 3
WORKLOADS = tuple(sessions.workload(command=f"make -j{jobs}") for jobs in (1, 2))


class Interleaved(RuleBasedStateMachine):
    """What is expected of the store: by name the runs that were written, and whether the session is over."""

    @initialize()
    def begin(self) -> None:
        self.directory = Path(tempfile.mkdtemp())
        self.path = self.directory / "state" / "history.sqlite3"
        self.stores = [Knowledge(self.path, between_runs=bool(number)) for number in range(WRITERS)]
        self.runs: dict[str, int] = {}
        self.command: dict[str, str] = {}
        self.over: set[str] = set()
        self.lost: set[str] = set()
        self.going: dict[str, tuple[Session, int, Claim]] = {}
        self.count = 0

    def teardown(self) -> None:
        for _, _, claim in self.going.values():
            claim.close()
        for one in self.stores:
            one.close()
        shutil.rmtree(self.directory)

    def _new(self, workload: int) -> Session:
        self.count += 1
        made = sessions.session(
            id=f"{self.count:08x}",
            started_at=float(self.count),
            workload=WORKLOADS[workload],
            trials=(sessions.trial(),),
        )
        self.runs[made.id] = 1
        self.command[made.id] = made.workload.command
        return made

    @rule(store=st.integers(0, WRITERS - 1), workload=st.integers(0, 1))
    def record(self, store: int, workload: int) -> None:
        made = self._new(workload)
        self.stores[store].record(made)
        self.over.add(made.id)

    @rule(store=st.integers(0, WRITERS - 1), workload=st.integers(0, 1))
    def start(self, store: int, workload: int) -> None:
        made, claim = self._new(workload), self.stores[store].claim()
        self.going[made.id] = (made, self.stores[store].keep(made, None, claim), claim)

    @rule(store=st.integers(0, WRITERS - 1), which=st.integers(0, 9))
    def run_ends(self, store: int, which: int) -> None:
        if not self.going:
            return
        name = sorted(self.going)[which % len(self.going)]
        session, number, claim = self.going[name]
        session = replace(session, trials=(*session.trials, sessions.trial(round=len(session.trials) + 1)))
        assert self.stores[store].keep(session, number, claim) == number
        self.going[name] = (session, number, claim)
        self.runs[name] += 1

    @rule(store=st.integers(0, WRITERS - 1), which=st.integers(0, 9), is_killed=st.booleans())
    def end(self, store: int, which: int, is_killed: bool) -> None:
        if not self.going:
            return
        name = sorted(self.going)[which % len(self.going)]
        session, number, claim = self.going.pop(name)
        if not is_killed:
            self.stores[store].keep(session, number)
            self.over.add(name)
        else:
            self.lost.add(name)
        claim.close()

    @rule(store=st.integers(0, WRITERS - 1), which=st.integers(0, 9))
    def forget(self, store: int, which: int) -> None:
        names = sorted(self.over | self.lost)
        if not names:
            return
        name, history = names[which % len(names)], History(self.stores[store])
        assert history.forget([history.named(name)]) == 1
        self.over.discard(name)
        self.lost.discard(name)
        del self.runs[name]

    @rule(store=st.integers(0, WRITERS - 1))
    def reopen(self, store: int) -> None:
        self.stores[store].close()

    @rule(store=st.integers(0, WRITERS - 1), of=st.integers(0, WRITERS - 1))
    def take_in_what_is_there(self, store: int, of: int) -> None:
        history = History(self.stores[of])
        documents = [history.whole(one) for one in history.newest(limit=100)]
        assert History(self.stores[store]).take_in([to_json(one) for one in documents]).sessions == 0

    @invariant()
    def all_is_there(self) -> None:
        if not hasattr(self, "stores"):
            return
        for one in self.stores:
            found = History(one).newest(limit=100)
            assert {session.name: session.measured_runs for session in found} == {
                name: self.runs[name] for name in self.over | self.lost
            }
            assert {session.name for session in found if session.state == "lost"} == self.lost
            assert all(len(session.results) == 5 for session in found)
            assert {session.name for session in History(one).running()} == set(self.going)

    @invariant()
    def the_known_best_is_of_the_newest_that_is_over(self) -> None:
        if not hasattr(self, "stores") or not self.path.exists():
            return
        here = experience.here_of(sessions.machine())
        for number in (1, 2):
            of_command = [name for name in self.over if self.command[name] == f"make -j{number}"]
            found = best.known_best(f"make -j{number}", "/home/me/project", here=here, store=str(self.path))
            assert (found.session if found is not None else None) == max(of_command, default=None)


TestInterleaved = Interleaved.TestCase
TestInterleaved.settings = settings(max_examples=25, stateful_step_count=15, deadline=None)
