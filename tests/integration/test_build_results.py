# SPDX-License-Identifier: MIT
"""What `scripts/bench builds` says: a scheduler is compared with EEVDF at the same and at the best number of jobs."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from autotune import resources
from autotune.records import BASELINE
from scripts import bench_builds
from scripts.longtail import measuring, project
from scripts.longtail.results import Sample


def build_runs() -> Mapping[str, Sequence[Sample]]:
    walls = {"eevdf jobs=2": 8.0, "eevdf jobs=4": 6.0, "at_batch jobs=2": 8.0, "at_batch jobs=4": 5.0}
    return {key: [Sample(wall_s, 8.0)] * 3 for key, wall_s in walls.items()}


def test_a_scheduler_is_compared_at_the_same_and_at_the_best_number_of_jobs() -> None:
    found = {(row.scheduler, row.jobs): row for row in bench_builds.rows(build_runs())}

    assert list(found) == [(BASELINE, 2), (BASELINE, 4), ("at_batch", 2), ("at_batch", 4)]
    assert (found["at_batch", 2].of_same, found["at_batch", 2].of_best) == (1.0, 0.75)
    assert (found["at_batch", 4].of_same, found["at_batch", 4].of_best) == (1.2, 1.2)
    assert found[BASELINE, 4].of_best == 1.0


@pytest.mark.parametrize("runs", [{}, {"at_batch jobs=2": [Sample(1.0, 1.0)]}, {"at_batch": [Sample(1.0, 1.0)]}])
def test_a_build_without_eevdf_is_no_comparison(runs: dict[str, list[Sample]]) -> None:
    with pytest.raises(ValueError, match=r"EEVDF did not run|invalid literal"):
        bench_builds.rows(runs)


def test_a_build_is_measured_with_as_many_jobs_as_cpus_twice_and_four_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: dict[str, Any] = {}

    def made(_directory: Path, command: str, candidates: Sequence[str], **given: Any) -> dict[str, Any]:
        asked.update(given, command=command, candidates=candidates)
        return {"trials": [_trial(key, one) for key, runs in build_runs().items() for one in runs[:1]]}

    monkeypatch.setattr(measuring, "session", made)
    monkeypatch.setattr(resources, "cache_dir", lambda: tmp_path)

    assert bench_builds.main(["--cpus", "3", "--scheduler", "at_batch", "--scale", "0.05"]) == 0

    assert asked["options"][:2] == ["--param", "jobs=3,6,12"]
    assert asked["command"] == "make -s -j{jobs}"
    assert "| at_batch | 4 | 1 | 5.00 s | 1.200 | 1.200 |" in capsys.readouterr().out


def _trial(key: str, run: Sample) -> dict[str, Any]:
    times = {"wall_s": run.wall_s, "user_s": run.cpu_s, "system_s": 0.0}
    return {"phase": "baseline", "candidate": key, "invalid": None, "run": times}


@pytest.mark.slow
def test_the_project_builds_and_is_made_once(tmp_path: Path) -> None:
    directory = project.make(0.05, tmp_path)
    before = {path.name: path.read_bytes() for path in directory.iterdir()}

    subprocess.run(["make", "-s", "-j4"], cwd=directory, check=True)
    ended = subprocess.run([directory / "project"], check=False).returncode
    subprocess.run(["make", "-s", "clean"], cwd=directory, check=True)

    assert ended in (0, 1)
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == before
    assert project.make(0.05, tmp_path) == directory
    assert [path.name for path in tmp_path.iterdir()] == [directory.name]
    with pytest.raises(ValueError, match="a scale"):
        project.make(0.0, tmp_path)
