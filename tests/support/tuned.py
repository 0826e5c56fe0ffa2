# SPDX-License-Identifier: MIT
"""Stores in which a command was tuned on this very machine."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from autotune import resources
from autotune.knowledge import best, versions
from autotune.knowledge.store import Knowledge
from autotune.machine.executor import describe_machine
from autotune.records import Candidate, MeasuredScheduler, Session
from tests.support import sessions

FIFO = Candidate("at_fifo")


def attached(name: str = "at_fifo") -> MeasuredScheduler:
    """What a session notes of one of our own schedulers as it is now."""
    source = resources.bpf_source_dir() / f"{name}.bpf.c"
    status = source.stat()
    digest = versions.of_source(str(source))
    return MeasuredScheduler("bpf", name, "0.1.0", digest, str(source), status.st_size, status.st_mtime_ns)


def session(
    words: Sequence[str], directory: Path, *, won: Candidate | None = FIFO, best_s: float = 8.0, **changed: Any
) -> Session:
    """A session of that command in which a candidate won by a fifth, or nothing did."""
    results = [sessions.result(Candidate("eevdf"), None)]
    trials = [sessions.trial(run=sessions.run(wall_s=best_s * 1.2))]
    if won is not None:
        one = sessions.result(won, "faster", speedup=sessions.interval(1.2, 1.1, 1.3), confirmed=True)
        results.insert(0, replace(one, attached=attached(won.scheduler)))
        trials.append(sessions.trial(won.key, run=sessions.run(wall_s=best_s)))
    work = sessions.workload(command=" ".join(words), argv=tuple(words), cwd=str(directory))
    basis = sessions.session(
        workload=work,
        machine=describe_machine("host", "a test", "none"),
        winner=won.key if won is not None else None,
        results=tuple(results),
        trials=tuple(trials),
        id="0000cafe",
    )
    return replace(basis, **changed)


def keep(state: Path, *kept: Session) -> Path:
    """Keep sessions in the store of a state directory (XDG_STATE_HOME); return the store."""
    path = state / "autotune" / best.FILE
    with Knowledge(path) as knowledge:
        for one in kept:
            knowledge.record(one)
    return path


def uses(path: Path) -> list[dict[str, Any]]:
    """The everyday runs in a store, oldest first."""
    db = sqlite3.connect(path)
    db.row_factory = sqlite3.Row
    try:
        return [dict(row) for row in db.execute("SELECT * FROM uses ORDER BY id")]
    finally:
        db.close()


def environ(state: Path, **changed: str) -> dict[str, str]:
    """An environment whose store is in that state directory, and whose runs meet there too."""
    return {**os.environ, "XDG_STATE_HOME": str(state), "XDG_RUNTIME_DIR": str(state), **changed}


def elsewhere(one: Session, **changed: Any) -> Session:
    """The same session on a machine that differs in something."""
    return replace(one, machine=replace(one.machine, **changed))
