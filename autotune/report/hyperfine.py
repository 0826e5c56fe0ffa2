# SPDX-License-Identifier: MIT
"""The runs of a session as hyperfine's `--export-json` writes them (its schema 2), for tools that read that. Pure.

What always holds here: times are in seconds and memory in bytes; a result is a scheduler, with its valid runs in order
of time; one without a valid run is left out, since hyperfine knows no such result. What hyperfine 1 had in a result is
in it too, so that tools for the older format go on working.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Sequence
from typing import Any

from autotune import parameters
from autotune.records import Candidate, Run, Session

SCHEMA_VERSION = 2
PRIMARY_METRIC = "time_wall_clock"
SIGNALLED = 128
"""Added to the number of a signal that ended a run, as shells do."""


def hyperfine_json(session: Session) -> str:
    """Return the document, ending in a newline."""
    return json.dumps(document(session), indent=2, allow_nan=False) + "\n"


def document(session: Session) -> dict[str, Any]:
    """Return the document. It names autotune, not hyperfine, as what wrote it."""
    return {
        "schema_version": SCHEMA_VERSION,
        "metadata": {
            "autotune_version": session.autotune_version,
            "start_time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(session.started_at)),
            "platform": {"os": "Linux"},
        },
        "primary_metric": PRIMARY_METRIC,
        "results": [
            _result(parameters.at(session.workload, result.candidate.params).title, result.candidate, runs)
            for result in session.results
            if (runs := _runs(session, result.candidate))
        ],
    }


def _runs(session: Session, candidate: Candidate) -> list[Run]:
    """Return the valid runs of a candidate, without warm-up, in order of time."""
    trials = [one for one in session.trials if one.candidate == candidate.key and one.phase != "warmup"]
    return [one.run for one in sorted(trials, key=lambda one: one.started_at) if one.value is not None]


def _result(command: str, candidate: Candidate, runs: Sequence[Run]) -> dict[str, Any]:
    measured = [_measurement(run) for run in runs]
    names = [name for name in measured[0] if name != "exit_code"]
    summary = {name: _summary([one[name]["value"] for one in measured], measured[0][name]["unit"]) for name in names}
    return {
        "command": command,
        "name": candidate.short,
        "parameters": {
            "scheduler": {"value": candidate.alone.short},
            **{name: {"value": value} for name, value in candidate.params},
        },
        "measurements": measured,
        "summary": summary,
        **_as_before(runs, summary),
    }


def _measurement(run: Run) -> dict[str, Any]:
    exit_code = run.exit_code if run.signal is None else SIGNALLED + run.signal
    return {
        "time_wall_clock": _seconds(run.wall_s),
        "time_cpu": _seconds(run.user_s + run.system_s),
        "time_user": _seconds(run.user_s),
        "time_system": _seconds(run.system_s),
        "memory_peak_resident": {"value": float(run.max_rss_bytes), "unit": "byte"},
        "exit_code": exit_code,
    }


def _seconds(value: float) -> dict[str, Any]:
    return {"value": value, "unit": "second"}


def _summary(values: Sequence[float], unit: str) -> dict[str, Any]:
    return {
        "unit": unit,
        "count": len(values),
        "mean": statistics.fmean(values),
        "stddev": statistics.stdev(values) if len(values) > 1 else None,
        "median": statistics.median(values),
        "min": min(values),
        "max": max(values),
    }


def _as_before(runs: Sequence[Run], summary: dict[str, Any]) -> dict[str, Any]:
    """Return what hyperfine 1 has in a result, and hyperfine 2 elsewhere."""
    wall = summary[PRIMARY_METRIC]
    return {
        **{name: wall[name] for name in ("mean", "stddev", "median", "min", "max")},
        "user": summary["time_user"]["mean"],
        "system": summary["time_system"]["mean"],
        "times": [run.wall_s for run in runs],
        "memory_usage_byte": [run.max_rss_bytes for run in runs],
        "exit_codes": [run.exit_code for run in runs],
    }
