# SPDX-License-Identifier: MIT
"""SchedCP's file of workloads and their history (`schedcp_workloads.json`), read and written: its profiles are our
profiles, its history their notes, and our sessions become one more profile for each command. Pure.

Its form: `profiles` by id, each with id, description, created_at and updated_at; `history`, a list with id,
workload_id, execution_id, scheduler_name, args, result_description and created_at; times in whole seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from autotune import reading
from autotune.errors import UsageError
from autotune.knowledge.workloads import fingerprint
from autotune.records import CandidateResult, Session, knob_text

FILE = "schedcp_workloads.json"


def is_one(document: Any) -> bool:
    """Return whether a document is such a file."""
    return isinstance(document, dict) and "profiles" in document and "history" in document


def document_of(sessions: Iterable[Session], profiles: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return sessions and profiles as such a file. An EEVDF run is noted like any other, as scheduler `eevdf`."""
    made: dict[str, dict[str, Any]] = {}
    history: list[dict[str, Any]] = []
    for profile in profiles:
        made[profile["id"]] = _profile(profile["id"], profile["description"], profile["created_at"])
        made[profile["id"]]["updated_at"] = int(profile["updated_at"])
        history += [_of_note(note) for note in profile["notes"]]
    for session in sessions:
        name = f"autotune-{fingerprint(session.workload)}"
        described = f"{session.workload.title} in {session.workload.cwd}"
        profile = made.setdefault(name, _profile(name, described, session.started_at))
        profile["updated_at"] = max(profile["updated_at"], int(session.started_at))
        own = session.id or str(int(session.started_at))
        history += [_of_result(one, name, f"{own}-{place}", session) for place, one in enumerate(session.results, 1)]
    return {"profiles": made, "history": history}


def _profile(name: str, description: str, at: float) -> dict[str, Any]:
    return {"id": name, "description": description, "created_at": int(at), "updated_at": int(at)}


def _of_note(note: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": note["id"],
        "workload_id": note["profile"],
        "execution_id": note["execution_id"] or "",
        "scheduler_name": note["scheduler"] or "",
        "args": [],
        "result_description": note["result"],
        "created_at": int(note["created_at"]),
    }


def _of_result(result: CandidateResult, workload: str, name: str, session: Session) -> dict[str, Any]:
    return {
        "id": name,
        "workload_id": workload,
        "execution_id": name,
        "scheduler_name": result.candidate.scheduler,
        "args": [f"{knob}={knob_text(value)}" for knob, value in sorted(result.candidate.knobs)],
        "result_description": _described(result, session),
        "created_at": int(session.started_at),
    }


def _described(result: CandidateResult, session: Session) -> str:
    unit = " s" if session.workload.metric_regex is None else ""
    median = "no valid run" if result.median is None else f"median {result.median:.4g}{unit}"
    speedup = result.speedup
    gain = "" if speedup is None else f", {speedup.estimate:.3f} times EEVDF [{speedup.low:.3f}, {speedup.high:.3f}]"
    note = f"; {result.note}" if result.note else ""
    runs = f"{median} over {result.runs} runs"
    return f"{result.verdict or 'baseline'}: {runs}{gain} on Linux {session.machine.kernel}{note}"


def profiles_of(document: Any, directory: str) -> list[dict[str, Any]]:
    """Return the profiles of such a file as the store keeps them, for sessions in that directory. Raises UsageError for
    one of another form."""
    try:
        return reading.shaped(lambda found: _profiles(found, directory), document)
    except ValueError as error:
        raise UsageError(f"it is no {FILE}: {error}", hint="name the file that SchedCP keeps") from None


def _profiles(document: Any, directory: str) -> list[dict[str, Any]]:
    profiles = {
        str(name): dict(one, id=str(name), directory=directory, notes=[]) for name, one in document["profiles"].items()
    }
    found = document["history"]
    for entry in found.values() if isinstance(found, dict) else found:
        for one in entry if isinstance(entry, list) else [entry]:
            args = " ".join(str(word) for word in one.get("args") or ())
            profiles[str(one["workload_id"])]["notes"].append(
                {
                    "id": str(one["id"]),
                    "execution_id": str(one.get("execution_id") or "") or None,
                    "scheduler": f"{one['scheduler_name']} {args}".strip() or None,
                    "result": str(one["result_description"]),
                    "created_at": float(one["created_at"]),
                }
            )
    return list(profiles.values())
