# SPDX-License-Identifier: MIT
"""With which values of its parameters a command did best, by the newest session that tried several. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from autotune.frozen import dataclass
from autotune.knowledge.archive import title
from autotune.knowledge.commands import words_of
from autotune.knowledge.matching import fill
from autotune.knowledge.past import PastResult, PastSession
from autotune.records import BASELINE, Point, is_baseline, point_text


@dataclass(frozen=True)
class BestValues:
    """The best values of a session: under which scheduler (BASELINE where nothing beat EEVDF), and the command with
    them."""

    scheduler: str
    values: str
    """`jobs=4`."""
    command: str
    session: str


def best_values(sessions: Sequence[PastSession], command: str | Sequence[str]) -> BestValues | None:
    """Return the best values by the newest of these sessions (newest first) that tried values of which some give this
    command, or whose command this is as it was written (`make -j{jobs}`); None where there is none."""
    wanted = words_of(command)
    for session in sessions:
        points = [one.candidate.params for one in session.results if is_baseline(one.key) and one.candidate.params]
        commands = [_words(session, point) for point in ((), *points)]
        best = _best(session) if points and session.state == "ended" and wanted in commands else None
        if best is not None:
            return _told(session, best)
    return None


def _words(session: PastSession, point: Point) -> tuple[str, ...]:
    if session.argv is None:
        return words_of(fill(session.command, dict(point)))
    return words_of([fill(word, dict(point)) for word in session.argv])


def _best(session: PastSession) -> PastResult | None:
    """Return the winner, or EEVDF with its best values: the one that has no verdict."""
    for one in session.results:
        if one.key == session.winner if session.winner is not None else is_baseline(one.key) and one.verdict is None:
            return one
    return None


def _told(session: PastSession, best: PastResult) -> BestValues:
    params = best.candidate.params
    scheduler = BASELINE if is_baseline(best.key) else best.candidate.alone.key
    return BestValues(scheduler, point_text(params), fill(session.command, dict(params)), title(session))
