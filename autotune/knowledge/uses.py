# SPDX-License-Identifier: MIT
"""Everyday runs of commands that a session tuned (`autotune run`): how long each took, under which scheduler, and how
it ended; and whether the best known scheduler still does what a session found.

What always holds here:
- only runs of commands that a session knows are kept: nothing new about a command is written down;
- they are bounded in number, per command and in all;
- the store is neither made nor migrated here. Whoever calls has no terminal and no time: errors are sqlite3's.
"""

from __future__ import annotations

import os
import sqlite3
import statistics
import time

from autotune.knowledge import best, commands, matching

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from autotune.knowledge.matching import Match

MOST_OF_ONE = 200
"""Runs of one command that are kept, the newest."""
MOST = 20_000
"""Runs of all commands."""
BUSY_S = 10.0
"""How long to wait for other writers."""
DRIFT_RUNS = 5
"""Runs under the best known scheduler that decide about a drift, the newest."""
FAILED_AGO_S = 14 * 24 * 3600.0
NOT_AGAIN = "not attached again after a stop"
"""How the reason begins where a run lost its scheduler by a stop (Ctrl-Z) alone."""
BASELINE = "eevdf"


class Times:
    """Median times of a command in the session that found its best scheduler, `key`; None where no run counts."""

    def __init__(self, key: str, best_s: float | None, baseline_s: float | None) -> None:
        self.key = key
        self.best_s = best_s
        self.baseline_s = baseline_s


class Use:
    """One everyday run. `key` is the scheduler that was attached, or BASELINE, with the values of parameters
    (`at_fifo jobs=4`) where a session tried several; `attached_after_s` is how late after the start that was; `lost`
    says why the scheduler was detached before the end."""

    def __init__(
        self,
        key: str,
        wall_s: float,
        status: int | None,
        *,
        attached_after_s: float | None = None,
        lost: str | None = None,
        started_at: float | None = None,
    ) -> None:
        self.key = key
        self.wall_s = wall_s
        self.status = status
        """Exit code, -N when signal N ended it; None when the kernel did not tell."""
        self.attached_after_s = attached_after_s
        self.lost = lost
        self.started_at = time.time() - wall_s if started_at is None else started_at


def opened(path: str | None = None) -> sqlite3.Connection | None:
    """Open the store for writing; None where there is none, or one of an older version. Raises sqlite3.Error and
    StoreProblem."""
    file = best.path() if path is None else path
    version = _version(file)
    if version > best.STORE_VERSION:
        file = best.own_beside(file)
        version = _version(file)
    if version != best.STORE_VERSION:
        return None
    db = sqlite3.connect(file, timeout=BUSY_S, isolation_level=None)
    try:
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("PRAGMA foreign_keys = ON")
    except BaseException:
        db.close()
        raise
    return db


def _version(file: str) -> int:
    """Return the version of a store; 0 where there is none."""
    if not os.path.isfile(file):
        return 0
    db = sqlite3.connect(file, timeout=BUSY_S)
    try:
        return int(db.execute("PRAGMA user_version").fetchone()[0])
    finally:
        db.close()


def workloads_of(db: sqlite3.Connection, words: Sequence[str], directory: str) -> list[Match]:
    """Return the workloads of a command in a directory, newest first; empty where no session knows it."""
    return matching.in_directory(db, commands.words_of(words), directory)


def workload_of(db: sqlite3.Connection, session: str) -> int | None:
    """Return the workload of a session, by its name; None where it is not known."""
    row = db.execute("SELECT workload FROM sessions WHERE name = ? ORDER BY id DESC", (session,)).fetchone()
    return None if row is None else int(row[0])


def is_measuring(db: sqlite3.Connection, claims: str) -> bool:
    """Return whether a session of this user is going on. `claims` is the file of its claims."""
    from pathlib import Path

    from autotune.knowledge.claims import is_held

    found = db.execute("SELECT claim FROM sessions WHERE state = 'running'").fetchall()
    return any(is_held(Path(claims), claim) for (claim,) in found)


def times_of(db: sqlite3.Connection, session: str, key: str) -> Times | None:
    """Return the wall times of a session, by its name, under a scheduler and under EEVDF, with the same values of
    parameters; None where it is not known."""
    row = db.execute("SELECT id FROM sessions WHERE name = ? ORDER BY id DESC", (session,)).fetchone()
    if row is None:
        return None
    query = "SELECT wall_s FROM runs WHERE session = ? AND key = ? AND invalid IS NULL AND phase <> 'warmup'"
    medians = []
    for one in (key, _baseline_of(db, row[0], key)):
        found = [float(wall_s) for (wall_s,) in db.execute(query, (row[0], one))]
        medians.append(statistics.median(found) if found else None)
    return Times(key, *medians)


def _baseline_of(db: sqlite3.Connection, session: int, key: str) -> str:
    """Return EEVDF's key in a session, with the values of parameters that a key ends with."""
    keys = db.execute("SELECT key FROM results WHERE session = ? AND scheduler = ?", (session, BASELINE))
    tails = (str(one).removeprefix(BASELINE) for (one,) in keys)
    return BASELINE + next((tail for tail in tails if tail and key.endswith(tail)), "")


def lost_lately(db: sqlite3.Connection, workloads: Sequence[int], key: str, since: float) -> str | None:
    """Return why a scheduler was detached early in an everyday run after `since` (Unix time), and lately; None when it
    was not. A scheduler that was only not attached again after a stop is not to blame."""
    after = max(since, time.time() - FAILED_AGO_S)
    row = db.execute(
        f"SELECT lost FROM uses WHERE workload IN ({_list(workloads)}) AND key = ? AND started_at > ? "
        "AND lost IS NOT NULL AND substr(lost, 1, ?) <> ? ORDER BY id DESC LIMIT 1",
        (key, after, len(NOT_AGAIN), NOT_AGAIN),
    ).fetchone()
    return None if row is None else str(row[0])


def record(db: sqlite3.Connection, workload: int, use: Use) -> None:
    """Keep a run, and drop the oldest where there are too many. Raises sqlite3.Error."""
    row = (
        workload,
        use.started_at,
        use.key,
        os.uname().release,
        use.wall_s,
        use.status,
        use.attached_after_s,
        use.lost,
    )
    db.execute("BEGIN IMMEDIATE")
    try:
        db.execute(
            "INSERT INTO uses (workload, started_at, key, kernel, wall_s, status, attached_after_s, lost) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            row,
        )
        newest = "SELECT id FROM uses WHERE workload = ? ORDER BY id DESC LIMIT 1 OFFSET ?"
        db.execute(f"DELETE FROM uses WHERE workload = ? AND id <= ({newest})", (workload, workload, MOST_OF_ONE))
        db.execute("DELETE FROM uses WHERE id <= (SELECT max(id) FROM uses) - ?", (MOST,))
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def uses_of(db: sqlite3.Connection, workloads: Sequence[int], limit: int = MOST_OF_ONE) -> list[Use]:
    """Return the newest everyday runs of workloads, newest first."""
    query = (
        "SELECT key, wall_s, status, attached_after_s, lost, started_at FROM uses "
        f"WHERE workload IN ({_list(workloads)}) ORDER BY id DESC LIMIT ?"
    )
    return [
        Use(str(key), float(wall_s), status, attached_after_s=after_s, lost=lost, started_at=float(started_at))
        for key, wall_s, status, after_s, lost, started_at in db.execute(query, (limit,))
    ]


def _list(numbers: Sequence[int]) -> str:
    return ", ".join(str(int(number)) for number in numbers)


def drift(uses: Sequence[Use], times: Times, since: float) -> str | None:
    """Return, as a sentence, that the best known scheduler is no longer better than EEVDF was when it was measured, by
    the newest successful runs since then; None where they do not show that, or are too few. Runs that do less than the
    measured ones (a build that finds little to do) show nothing."""
    under = [one.wall_s for one in uses if _counts(one, times.key) and one.started_at > since]
    if times.baseline_s is None or len(under) < DRIFT_RUNS:
        return None
    recent_s = statistics.median(under[:DRIFT_RUNS])
    if recent_s < times.baseline_s:
        return None
    return (
        f"its last {DRIFT_RUNS} runs under {times.key} took {recent_s:.2f} s, not less than the "
        f"{times.baseline_s:.2f} s under EEVDF when it was measured: 'autotune recheck' finds out whether it is still "
        "the best"
    )


_IN_USE = """
    SELECT w.id, w.command, u.key, s.name, s.started_at
    FROM (SELECT DISTINCT workload, key FROM uses WHERE key <> ?) u JOIN workloads w ON w.id = u.workload
    JOIN sessions s ON s.id = (
        SELECT id FROM sessions WHERE workload = u.workload AND winner = u.key AND state = 'ended'
        ORDER BY started_at DESC, id DESC LIMIT 1
    )
    WHERE w.cwd = coalesce(?, w.cwd) AND s.name IS NOT NULL ORDER BY w.id
"""


def drifts(db: sqlite3.Connection, directory: str | None = None) -> list[tuple[str, str]]:
    """Return the commands (of a directory, or of all) whose known best shows a drift, each with the sentence."""
    found = []
    for workload, command, key, session, since in db.execute(_IN_USE, (BASELINE, directory)).fetchall():
        times = times_of(db, str(session), str(key))
        said = drift(uses_of(db, [int(workload)]), times, float(since)) if times is not None else None
        if said is not None:
            found.append((str(command), said))
    return found


def _counts(use: Use, key: str) -> bool:
    return use.key == key and use.status == 0 and use.lost is None
