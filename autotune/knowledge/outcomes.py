# SPDX-License-Identifier: MIT
"""What came of a scheduler in the sessions of this store, one line for each candidate of it and session.

What always holds here:
- only sessions that ended are told, and of each what it measured itself;
- a result without the digest of what was attached (of an older version, or taken in from elsewhere) is told, and is
  about no build: it counts for nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

from autotune.frozen import dataclass
from autotune.knowledge import rows, sqlite
from autotune.knowledge.archive import title
from autotune.knowledge.best import place_of as place_text
from autotune.knowledge.commands import program_of, words_of
from autotune.knowledge.experience import place_of
from autotune.knowledge.past import PastResult, PastSession
from autotune.knowledge.store import Knowledge
from autotune.records import Interval
from autotune.verdict.promotion import Outcome

MOST_OUTCOMES = 1000
"""Newest results of one scheduler that are read."""
_EJECTED = "ejected: %"
"""How the reason begins for which a run does not count (`schedext.evidence`)."""
_QUERY = (
    "SELECT DISTINCT s.*, w.command AS command, w.cwd AS cwd, w.argv AS argv, w.project AS project, "
    "w.metric AS metric, w.goal AS goal "
    "FROM sessions s JOIN workloads w ON w.id = s.workload JOIN results r ON r.session = s.id "
    "WHERE r.scheduler = ? AND s.state = 'ended' AND s.baseline_median IS NOT NULL "
    "ORDER BY s.started_at DESC, s.id DESC LIMIT ?"
)


@dataclass(frozen=True)
class SessionOutcome:
    """What came of one candidate in one session, for people and for `verdict.promotion`."""

    session: str
    measured_at: float
    """Unix time."""
    command: str
    directory: str
    workload: str
    """What tells workloads apart: the project, or the directory where there is none, and the words of the command."""
    workload_class: str
    """What the baseline showed, in words; empty where nothing stood out."""
    program: str
    where: str
    """`on the host`, `in an emulated micro-VM`."""
    kernel: str
    cpus: int
    cpu_model: str
    metric: str
    key: str
    verdict: str | None
    speedup: Interval | None
    confirmed: bool
    runs: int
    invalid_runs: int
    ejections: int
    """Runs during which the kernel ejected it."""
    note: str
    build: str
    """SHA-256 of what was attached; empty where that is not known."""

    def outcome(self) -> Outcome:
        """Return what decides about a promotion."""
        return Outcome(
            workload=self.workload,
            surroundings="\0".join((self.where, self.kernel, str(self.cpus), self.cpu_model, self.metric)),
            settings=self.key,
            at_s=self.measured_at,
            verdict=self.verdict,
            confirmed=self.confirmed,
            ejected=self.ejections > 0,
        )


def of_scheduler(knowledge: Knowledge, name: str) -> list[SessionOutcome]:
    """Return what came of a scheduler (`custom:NAME`), newest first. Raises AutotuneError when the store cannot be
    used."""
    with knowledge.transaction() as db:
        found = sqlite.run(db, _QUERY, name, MOST_OUTCOMES).fetchall()
        return [one for row in found for one in _of_session(db, row, name)]


def of_build(outcomes: Iterable[SessionOutcome], object_sha256: str) -> list[Outcome]:
    """Return what was measured of one build."""
    return [one.outcome() for one in outcomes if one.build == object_sha256]


def _of_session(db: sqlite3.Connection, row: sqlite3.Row, name: str) -> list[SessionOutcome]:
    session = rows.past_session(db, row)
    return [_told(db, session, one, row) for one in session.results if one.candidate.scheduler == name]


def _told(db: sqlite3.Connection, session: PastSession, result: PastResult, row: sqlite3.Row) -> SessionOutcome:
    words: Sequence[str] = words_of(session.argv or session.command)
    counted = "SELECT COUNT(*) FROM runs WHERE session = ? AND key = ? AND invalid LIKE ?"
    goal = "" if row["metric"] == "wall_s" else f" {row['goal']}"
    return SessionOutcome(
        session=title(session),
        measured_at=session.started_at,
        command=session.command,
        directory=session.cwd,
        workload="\0".join((session.project or session.cwd, *words)),
        workload_class=session.kind.text,
        program=program_of(words),
        where=place_text(place_of(session)),
        kernel=session.kernel,
        cpus=session.cpus,
        cpu_model=session.cpu_model,
        metric=f"{row['metric']}{goal}",
        key=result.candidate.alone.key,
        verdict=result.verdict,
        speedup=result.speedup,
        confirmed=result.confirmed,
        runs=result.runs,
        invalid_runs=result.invalid_runs,
        ejections=int(sqlite.run(db, counted, session.id, result.key, _EJECTED).fetchone()[0]),
        note=result.note,
        build=str((result.attached or {}).get("digest", "")),
    )
