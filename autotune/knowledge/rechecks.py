# SPDX-License-Identifier: MIT
"""Which known bests are to be measured again, and what came of it.

What always holds here: only what was measured by this store's own sessions is run again (`attached` is kept of those
alone), never a command that was imported.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from autotune.frozen import dataclass
from autotune.knowledge import experience
from autotune.knowledge.archive import History
from autotune.knowledge.best import Whereabouts
from autotune.knowledge.commands import words_of
from autotune.knowledge.experience import KnownCandidate
from autotune.knowledge.past import PastSession
from autotune.records import CandidateResult, Session

Outcome = Literal["confirmed", "refuted", "open"]


@dataclass(frozen=True)
class Due:
    """A known best to measure again: in which session it won, and what has changed since."""

    won_in: PastSession
    known: KnownCandidate


def due(
    history: History, here: Whereabouts, cwd: str | None = None, command: str | Sequence[str] | None = None
) -> list[Due]:
    """Return the known bests that are stale `here`, of a directory or of all; of a command that is named also one that
    is fresh. The workload that was used last comes first."""
    wanted = words_of(command) if command is not None else None
    found = []
    for sessions in history.by_workload(cwd):
        if wanted is not None and words_of(sessions[0].argv or sessions[0].command) != wanted:
            continue
        one = _due(sessions, here, fresh_too=wanted is not None)
        if one is not None:
            found.append(one)
    return found


def _due(sessions: Sequence[PastSession], here: Whereabouts, *, fresh_too: bool) -> Due | None:
    own = [one for one in sessions if _was_measured_here(one)]
    good = experience.of_sessions(own, here).good
    if not good or not (good[0].stale or fresh_too):
        return None
    won_in = next(one for one in own if _winner(one) == good[0].candidate)
    return Due(won_in, good[0])


def _winner(session: PastSession) -> object:
    return next((one.candidate.alone for one in session.results if one.key == session.winner), None)


def _was_measured_here(session: PastSession) -> bool:
    return all(one.attached is not None for one in session.results if one.key == session.winner)


def outcome(session: Session, key: str) -> tuple[Outcome, CandidateResult | None]:
    """Return what a session says of the candidate that it measured again."""
    result = next((one for one in session.results if one.candidate.alone.key == key), None)
    if session.winner is not None and result is not None and result.candidate.key == session.winner:
        return "confirmed", result
    if result is not None and result.verdict in ("slower", "same", "invalid"):
        return "refuted", result
    return "open", result
