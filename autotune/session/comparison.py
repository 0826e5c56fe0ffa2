# SPDX-License-Identifier: MIT
"""A session beside the newest earlier one of the same command on such a machine: has anything become slower?

EEVDF is compared with EEVDF, and the earlier winner with itself where it ran again.
"""

from __future__ import annotations

from collections.abc import Iterator

from autotune.frozen import dataclass
from autotune.knowledge.past import PastSession
from autotune.knowledge.store import Knowledge
from autotune.records import BASELINE, Interval, Session
from autotune.verdict import regression

MOST_SESSIONS = 20
"""Newest earlier sessions among which one of such a machine is looked for."""
WARM_UP = "warmup"


@dataclass(frozen=True)
class SessionChange:
    """EEVDF or a candidate in both sessions."""

    key: str
    change: Interval
    """How many times as good it is now; below 1 is worse."""
    then: PastSession


def with_earlier(session: Session, knowledge: Knowledge) -> list[SessionChange]:
    """Return EEVDF and the earlier winner, as far as both sessions have runs of them that count; nothing without an
    earlier session. Raises AutotuneError when the store cannot be read."""
    then = next(_earlier(session, knowledge), None)
    if then is None or session.workload.parameters:
        return []
    before = knowledge.runs_of(then.id)
    found = []
    for key in dict.fromkeys((BASELINE, *([then.winner] if then.winner else ()))):
        now = [one.value for one in session.trials if one.candidate == key and one.phase != WARM_UP]
        old = [one.value for one in before if one.key == key and one.phase != WARM_UP]
        change = regression.change(
            [value for value in now if value is not None],
            [value for value in old if value is not None],
            session.workload.goal,
        )
        if change is not None:
            found.append(SessionChange(key, change, then))
    return found


def _earlier(session: Session, knowledge: Knowledge) -> Iterator[PastSession]:
    here = session.machine
    for past in knowledge.sessions_of(session.workload, limit=MOST_SESSIONS):
        there = (past.machine, past.acceleration, past.cpus, past.cpu_model)
        is_alike = there == (here.kind, here.acceleration, here.cpus, here.cpu_model)
        if is_alike and past.name != session.id and past.baseline_median is not None and past.state == "ended":
            yield past
