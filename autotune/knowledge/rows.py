# SPDX-License-Identifier: MIT
"""Rows of the database, from records and back into records. What a command printed is not kept: it holds secrets."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shlex
import sqlite3
from typing import Any, TypeVar

from autotune import reading
from autotune.knowledge import sqlite
from autotune.knowledge.past import PastResult, PastRun, PastSession
from autotune.records import (
    Baseline,
    Candidate,
    CandidateResult,
    Evidence,
    Interval,
    KnobValue,
    MachineInfo,
    Observation,
    Output,
    Point,
    Profile,
    Run,
    Session,
    Surroundings,
    Trial,
    Workload,
)
from autotune.report import why
from autotune.verdict.workload_kind import classify
from autotune.wire import from_json, to_json

T = TypeVar("T")

TEXT_CHARACTERS = 2000


def session_row(session: Session, workload: int) -> dict[str, Any]:
    machine, baseline = session.machine, session.baseline
    return {
        "workload": workload,
        "started_at": session.started_at,
        "elapsed_s": session.elapsed_s,
        "autotune_version": session.autotune_version,
        "machine": machine.kind,
        "kernel": machine.kernel,
        "cpus": machine.cpus,
        "cpu_model": machine.cpu_model,
        "memory_bytes": machine.memory_bytes,
        "topology": machine.topology,
        "acceleration": machine.acceleration,
        "planner": session.planner,
        "seed": session.seed,
        "baseline_median": baseline.median if baseline else None,
        "baseline_noise": baseline.noise if baseline else None,
        "baseline_runs": baseline.runs if baseline else None,
        "winner": session.winner,
        "recommendation": session.recommendation,
        "interrupted": session.interrupted,
        "failure": session.failure,
        "name": session.id or None,
        "continues": session.continues,
        "document": _document(session),
    }


def _document(session: Session) -> str | None:
    """Return what a continuation and a report need of a session: all but its runs and the environment."""
    if not session.id:
        return None
    workload = dataclasses.replace(session.workload, env={})
    kept = dataclasses.replace(session, workload=workload, trials=())
    return json.dumps(to_json(kept))


def session_of(document: str) -> Session:
    """Return the session that `session_row` kept. Raises ValueError."""
    return reading.shaped(lambda found: from_json(Session, found), reading.parsed_json(document))


def result_row(session: int, rank: int, result: CandidateResult) -> dict[str, Any]:
    speedup = result.speedup
    return {
        "session": session,
        "rank": rank,
        "key": result.candidate.key,
        "scheduler": result.candidate.scheduler,
        "knobs": json.dumps(dict(result.candidate.knobs), sort_keys=True),
        "verdict": result.verdict,
        "speedup": speedup.estimate if speedup else None,
        "low": speedup.low if speedup else None,
        "high": speedup.high if speedup else None,
        "confidence": speedup.confidence if speedup else None,
        "median": result.median,
        "runs": result.runs,
        "invalid_runs": result.invalid_runs,
        "confirmed": result.confirmed,
        "reason": bounded(result.reason),
        "prediction": result.prediction,
        "held": result.held,
        "note": bounded(result.note),
        "attached": json.dumps(to_json(result.attached)) if result.attached else None,
    }


def run_row(session: int, number: int, trial: Trial) -> dict[str, Any]:
    return {
        "session": session,
        "number": number,
        "phase": trial.phase,
        "round": trial.round,
        "key": trial.candidate,
        "started_at": trial.started_at,
        "value": trial.value,
        "invalid": bounded(trial.invalid),
        **{name: getattr(trial.run, name) for name in _OF_A_RUN},
        "evidence": json.dumps(to_json(trial.evidence)),
        "more": json.dumps({name: to_json(getattr(trial, name)) for name in _MORE_OF_A_TRIAL}),
    }


_MORE_OF_A_TRIAL = ("others", "surroundings", "disturbed", "events")
"""What is read as a whole only."""
_OF_A_RUN = (
    "wall_s", "user_s", "system_s", "max_rss_bytes", "voluntary_switches", "involuntary_switches", "minor_faults",
    "major_faults", "exit_code", "signal", "timed_out", "left_running",
)  # fmt: skip


def past_session(db: sqlite3.Connection, row: sqlite3.Row) -> PastSession:
    """Return a session. One that is still noted as running is lost: those whose owner lives are not asked for."""
    results = sqlite.run(db, "SELECT * FROM results WHERE session = ? ORDER BY rank", row["id"])
    made = ("results", "measured_runs", "why", "argv", "project", "observation", "kind")
    fields = {field.name: row[field.name] for field in dataclasses.fields(PastSession) if field.name not in made}
    fields["interrupted"] = bool(fields["interrupted"])
    fields["state"] = "ended" if row["state"] == "ended" else "lost"
    counted = sqlite.run(db, "SELECT COUNT(*) FROM runs WHERE session = ?", row["id"]).fetchone()[0]
    document = _parsed(row["document"])
    past = PastSession(
        **fields,
        results=tuple(_past_result(result) for result in results),
        measured_runs=counted,
        why=_why(document),
        argv=_words(row["argv"]),
        project=row["project"] or "",
        observation=(seen := _part(document, "observation", Observation)),
        kind=classify(seen, _part(document, "watched", Profile)),
    )
    kept_before = sum(result.runs + result.invalid_runs for result in past.results)  # runs themselves were not kept
    return past if counted else dataclasses.replace(past, measured_runs=kept_before)


def _parsed(document: str | None) -> dict[str, Any]:
    """Return a session's document, or an empty one where none is kept."""
    with contextlib.suppress(ValueError):
        found = json.loads(document) if document else {}
        return found if isinstance(found, dict) else {}
    return {}


def _why(document: dict[str, Any]) -> tuple[str, ...]:
    """Return why the winner won; nothing where no run under it was watched."""
    if not document.get("watched_winner"):  # making a session of it takes milliseconds
        return ()
    with contextlib.suppress(ValueError):
        return tuple(why.lines(reading.shaped(lambda found: from_json(Session, found), document)))
    return ()


def _part(document: dict[str, Any], name: str, kind: type[T]) -> T | None:
    """Return a part of a session's document; None where it is not kept, or damaged."""
    with contextlib.suppress(ValueError):
        found = document.get(name)
        return reading.shaped(lambda one: from_json(kind, one), found) if found else None
    return None


def _words(argv: str | None) -> tuple[str, ...] | None:
    with contextlib.suppress(ValueError, TypeError):
        return tuple(str(word) for word in json.loads(argv)) if argv else None
    return None


def whole_session(db: sqlite3.Connection, row: sqlite3.Row) -> Session:
    """Return a session with all that is kept of it and its runs, without their output; of one of an older version what
    the columns tell. `row` is that of the session, with the command and the directory of its workload."""
    known = _kept_session(row) or _told_by_columns(db, row)
    runs = sqlite.run(db, "SELECT * FROM runs WHERE session = ? ORDER BY number", row["id"])
    return dataclasses.replace(known, trials=tuple(_trial(one) for one in runs))


def _kept_session(row: sqlite3.Row) -> Session | None:
    try:
        return session_of(str(row["document"]))
    except ValueError:
        return None


def _told_by_columns(db: sqlite3.Connection, row: sqlite3.Row) -> Session:
    results = sqlite.run(db, "SELECT * FROM results WHERE session = ? ORDER BY rank", row["id"])
    words = _words(row["argv"]) or ("sh", "-c", row["command"])
    baseline = None
    if row["baseline_median"] is not None:
        baseline = Baseline(row["baseline_median"], row["baseline_runs"] or 0, row["baseline_noise"] or 0.0, None)
    is_time = row["metric"] == "wall_s"
    return Session(
        schema=0,
        autotune_version=row["autotune_version"],
        started_at=row["started_at"],
        elapsed_s=row["elapsed_s"],
        machine=MachineInfo(
            kind=row["machine"],
            why="",
            kernel=row["kernel"],
            cpus=row["cpus"],
            memory_bytes=row["memory_bytes"] or 0,
            cpu_model=row["cpu_model"],
            acceleration=row["acceleration"],
            topology=row["topology"] or "",
        ),
        workload=Workload(
            row["command"], words, row["cwd"], setup=row["setup"], prepare=row["prepare"], goal=row["goal"],
            metric_regex=None if is_time else row["metric"],
        ),
        seed=row["seed"],
        planner=row["planner"],
        metric=row["metric"],
        baseline=baseline,
        observation=None,
        results=tuple(_told_result(one) for one in results),
        winner=row["winner"],
        recommendation=row["recommendation"],
        trials=(),
        interrupted=bool(row["interrupted"]),
        failure=row["failure"],
        id=row["name"] or "",
        continues=row["continues"],
    )  # fmt: skip


def _told_result(row: sqlite3.Row) -> CandidateResult:
    past = _past_result(row)
    return CandidateResult(
        candidate=past.candidate,
        reason=past.reason,
        verdict=row["verdict"],
        speedup=past.speedup,
        median=past.median,
        runs=past.runs,
        invalid_runs=past.invalid_runs,
        confirmed=past.confirmed,
        note=past.note,
        prediction=row["prediction"],
        held=None if row["held"] is None else bool(row["held"]),
    )


def _trial(row: sqlite3.Row) -> Trial:
    nothing = Output("", "", 0, 0)
    more = json.loads(row["more"]) if row["more"] else {}
    run = {name: row[name] for name in _OF_A_RUN}
    surroundings = more.get("surroundings")
    return Trial(
        phase=row["phase"],
        round=row["round"],
        candidate=row["key"],
        started_at=row["started_at"],
        run=Run(**{**run, "timed_out": bool(run["timed_out"])}, stdout=nothing, stderr=nothing),
        evidence=from_json(Evidence, json.loads(row["evidence"])),
        value=row["value"],
        invalid=row["invalid"],
        others=more.get("others") or {},
        surroundings=from_json(Surroundings, surroundings) if surroundings else None,
        disturbed=more.get("disturbed") or "",
        events=more.get("events") or {},
    )


def past_run(row: sqlite3.Row) -> PastRun:
    return PastRun(**{field.name: row[field.name] for field in dataclasses.fields(PastRun)})


def bounded(text: str | None) -> str | None:
    return None if text is None else str(sqlite.storable(text))[:TEXT_CHARACTERS]


def _knobs(text: Any) -> tuple[tuple[str, KnobValue], ...]:
    """Raises ValueError for what is no object of JSON."""
    return reading.shaped(lambda knobs: tuple(knobs.items()), reading.parsed_json(str(text)))


def _params(key: str, alone: Candidate) -> Point:
    """Return the values of the workload's parameters, which a key has at its end."""
    words = shlex.split(key[len(alone.key) :]) if key.startswith(f"{alone.key} ") else []
    return tuple((name, value) for name, _, value in (word.partition("=") for word in words))


def _past_result(row: sqlite3.Row) -> PastResult:
    speedup = (row["speedup"], row["low"], row["high"], row["confidence"])
    alone = Candidate(row["scheduler"], _knobs(row["knobs"]))
    return PastResult(
        key=row["key"],
        candidate=dataclasses.replace(alone, params=_params(row["key"], alone)),
        verdict=row["verdict"],
        speedup=None if None in speedup else Interval(*speedup),
        median=row["median"],
        runs=row["runs"],
        invalid_runs=row["invalid_runs"],
        confirmed=bool(row["confirmed"]),
        reason=row["reason"],
        note=row["note"],
        attached=_parsed(row["attached"]) or None,
    )
