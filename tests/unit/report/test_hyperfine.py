# SPDX-License-Identifier: MIT
"""What hyperfine's own scripts read is in the document."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from autotune.records import BASELINE
from autotune.report import hyperfine
from tests.support import sessions


def documented(**changed: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(hyperfine.hyperfine_json(sessions.session(**changed)))
    return found


def timed(wall_s: float, at: float, **changed: Any) -> Any:
    run = sessions.run(wall_s=wall_s, **changed)
    return sessions.trial(sessions.BATCH.key, run=run, started_at=at)


def test_a_result_has_its_runs_in_order_of_time_in_seconds_and_bytes() -> None:
    trials = (timed(2.5, 20.0), timed(1.5, 10.0, user_s=1.0, system_s=0.5, max_rss_bytes=1 << 20))
    [result] = documented(trials=trials)["results"]
    first = result["measurements"][0]
    assert first == {
        "time_wall_clock": {"value": 1.5, "unit": "second"},
        "time_cpu": {"value": 1.5, "unit": "second"},
        "time_user": {"value": 1.0, "unit": "second"},
        "time_system": {"value": 0.5, "unit": "second"},
        "memory_peak_resident": {"value": 1048576.0, "unit": "byte"},
        "exit_code": 0,
    }
    summary = result["summary"]["time_wall_clock"]
    assert summary == {
        "unit": "second", "count": 2, "mean": 2.0, "stddev": pytest.approx(0.7071, rel=1e-3), "median": 2.0,
        "min": 1.5, "max": 2.5,
    }  # fmt: skip
    assert (result["times"], result["mean"], result["exit_codes"]) == ([1.5, 2.5], 2.0, [0, 0])


def test_one_run_has_no_deviation() -> None:
    [result] = documented(trials=(timed(2.0, 1.0),))["results"]
    assert result["summary"]["time_user"]["stddev"] is None


def test_what_hyperfine_has_no_place_for_is_left_out() -> None:
    trials = (
        sessions.trial(phase="warmup"),
        sessions.trial(),
        sessions.trial(sessions.VTIME.key, value=None, invalid="ejected"),
        sessions.trial(sessions.BATCH.key, value=None, invalid="exit code 1"),
    )
    results = documented(trials=trials)["results"]
    assert [one["name"] for one in results] == [BASELINE]
    assert len(results[0]["measurements"]) == 1


def test_a_session_that_ended_early_is_a_document_without_results() -> None:
    early = documented(results=(), trials=(), baseline=None, winner=None, interrupted=True)
    assert (early["schema_version"], early["primary_metric"], early["results"]) == (2, "time_wall_clock", [])


def test_names_and_parameters_tell_schedulers_apart_under_one_command() -> None:
    results = documented()["results"]
    assert {one["command"] for one in results} == {"make -j8"}
    assert {one["parameters"]["scheduler"]["value"] for one in results} == {BASELINE, sessions.BATCH.key}


def test_a_run_that_a_signal_ended_has_the_code_that_a_shell_would_show() -> None:
    [result] = documented(trials=(timed(2.0, 1.0, exit_code=None, signal=9),))["results"]
    assert result["measurements"][0]["exit_code"] == 137


def test_it_does_not_pass_for_hyperfine() -> None:
    assert "hyperfine_version" not in documented()["metadata"]


def test_parameters_of_the_workload_are_parameters_there() -> None:
    with_jobs = replace(sessions.BATCH, params=(("jobs", "8"),))
    [result] = documented(
        results=(sessions.result(with_jobs, "faster"),), trials=(sessions.trial(with_jobs.key),), winner=None
    )["results"]
    assert result["name"] == f"{sessions.BATCH.short} jobs=8"
    assert result["parameters"] == {"scheduler": {"value": sessions.BATCH.short}, "jobs": {"value": "8"}}
