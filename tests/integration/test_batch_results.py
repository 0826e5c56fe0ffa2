# SPDX-License-Identifier: MIT
"""What `scripts/bench batches` says: the numbers are those of the runs, and nothing is made up for what did not run."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotune import resources
from autotune.observe.decode import TasksSeen
from autotune.records import BASELINE
from scripts import bench_batches
from scripts.longtail import measuring
from scripts.longtail.batch import KINDS, Batch
from scripts.longtail.kind import Job
from scripts.longtail.results import Lengths, Row, Sample, rows, samples, summary
from tests.support.watched_tasks import a_task

WALL_S = st.floats(0.1, 100.0)


def session(*trials: tuple[str, str, float, float], invalid: str | None = None) -> dict[str, Any]:
    """A document of `cc --json`: phase, candidate, wall and CPU time of each run."""
    made = [
        {"phase": phase, "candidate": key, "invalid": None, "run": {"wall_s": wall_s, "user_s": cpu_s, "system_s": 0.5}}
        for phase, key, wall_s, cpu_s in trials
    ]
    lost = [{"phase": "race", "candidate": BASELINE, "invalid": invalid, "run": {}}] if invalid else []
    return {"trials": [*made, *lost]}


def even() -> Lengths:
    """Work that can be shared evenly from the begin."""
    return Lengths(short_s=0.1, long_s=0.2, work_s=8.0, chain_s=0.001, least_s=0.001, last_start_s=0.0)


# --- one batch ---------------------------------------------------------------------------------------------


def test_runs_are_taken_from_the_rounds_that_count() -> None:
    document = session(
        ("warmup", BASELINE, 9.0, 1.0),
        ("baseline", BASELINE, 8.0, 1.0),
        ("race", BASELINE, 6.0, 9.5),
        ("race", "at_batch", 5.0, 9.0),
        ("confirm", "at_batch", 5.5, 9.0),
        invalid="ejected",
    )

    assert samples(document) == {
        BASELINE: [Sample(6.0, 10.0)],
        "at_batch": [Sample(5.0, 9.5), Sample(5.5, 9.5)],
    }


def test_the_part_of_the_possible_is_the_way_from_eevdf_to_the_bound() -> None:
    runs = {
        BASELINE: [Sample(6.0, 8.0)],
        "half": [Sample(5.0, 8.0)],
        "all": [Sample(4.0, 8.0)],
        "worse": [Sample(7.0, 8.0)],
    }

    found = {row.scheduler: row for row in rows("demo", runs, BASELINE, cpus=2, took=even())}

    assert [row.reached for row in found.values()] == pytest.approx([0.0, 0.5, 1.0, -0.5])
    assert found["all"].saved == pytest.approx(1 / 3)
    assert found["half"].over_bound == pytest.approx(1.25)


def test_a_run_is_judged_against_its_own_bound() -> None:
    """A run that needed more CPU time, since the machine was busy, could not end as soon."""
    runs = {BASELINE: [Sample(6.0, 8.0)], "slow day": [Sample(9.0, 12.0)]}

    (_, slow) = rows("demo", runs, BASELINE, cpus=2, took=even())

    assert slow.reached == pytest.approx(0.0)
    assert slow.saved == pytest.approx(-0.5)


def test_the_longest_job_bounds_too() -> None:
    runs = {BASELINE: [Sample(6.0, 8.0)]}
    took = Lengths(short_s=0.3, long_s=5.0, work_s=8.0, chain_s=5.0, least_s=5.0, last_start_s=0.0)

    assert rows("demo", runs, BASELINE, cpus=8, took=took)[0].over_bound == pytest.approx(1.2)


def test_what_could_not_begin_sooner_is_not_possible_and_the_looser_bound_is_told_too() -> None:
    """Of 8 s on 2 CPUs the first second is of one task alone: 4.5 s at least."""
    runs = {BASELINE: [Sample(6.0, 8.0)], "best": [Sample(4.5, 8.0)]}
    took = Lengths(short_s=0.3, long_s=3.0, work_s=8.0, chain_s=3.0, least_s=4.5, last_start_s=1.0)

    (_, best) = rows("demo", runs, BASELINE, cpus=2, took=took)

    assert best.reached == pytest.approx(1.0)
    assert best.reached_of_chain == pytest.approx(0.75)


def test_where_nothing_is_possible_nothing_was_reached() -> None:
    runs = {BASELINE: [Sample(4.0, 8.0)], "at_batch": [Sample(4.1, 8.0)]}

    assert [row.reached for row in rows("demo", runs, BASELINE, cpus=2, took=even())] == [None, None]


def test_without_eevdf_there_is_nothing_to_compare() -> None:
    with pytest.raises(ValueError, match="eevdf did not run"):
        rows("demo", {"at_batch": [Sample(1.0, 1.0)], BASELINE: []}, BASELINE, cpus=2, took=even())


@given(st.lists(st.tuples(WALL_S, st.floats(0.0, 1.0)), min_size=1, max_size=5), st.integers(1, 64))
def test_nobody_reaches_more_than_all(runs: list[tuple[float, float]], cpus: int) -> None:
    """A run cannot have used more than all its CPUs, so none is below its bound."""
    made = [Sample(wall_s, wall_s * cpus * share) for wall_s, share in runs]
    found = rows("demo", {BASELINE: [Sample(9.0, 1.0)], "any": made}, BASELINE, cpus=cpus, took=even())

    assert all(row.over_bound >= 1.0 - 1e-9 for row in found)
    assert all(row.reached is None or row.reached <= 1.0 + 1e-9 for row in found)


def test_the_summary_has_each_scheduler_over_its_own_batches() -> None:
    made = [a_row("one", "at_guided", 0.9), a_row("two", "at_guided", 0.8), a_row("one", "at_batch", None)]

    text = summary([a_row("one", BASELINE, 0.0), *made], BASELINE)

    assert text == [
        "at_guided: 10.0% less time on average, 85% of the possible on average, 80% at least, over 2 batches",
        "at_batch: 10.0% less time on average; nothing was possible",
    ]


def a_row(batch: str, scheduler: str, reached: float | None) -> Row:
    return Row(batch, scheduler, 5, 4.0, 1.1, 0.1, reached)


@given(st.floats(0.0, 0.95), st.floats(1.5, 100.0), st.floats(0.01, 10.0))
def test_what_starting_a_program_takes_follows_from_two_lengths(share: float, units: float, short_s: float) -> None:
    long_s = short_s * (share + (1.0 - share) * units)
    took = Lengths(short_s=short_s, long_s=long_s, work_s=9.0, chain_s=long_s, least_s=9.0, last_start_s=0.0)

    assert took.start_up(1.0, units) == pytest.approx(share, abs=1e-6)


# --- scripts/bench batches ---------------------------------------------------------------------------------


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """Sessions that were measured elsewhere, and what they were asked for. Inputs go into a scratch cache."""
    asked: dict[str, Any] = {"batches": [], "wrong": None}

    def own(batch: Batch, *, cpus: int, rounds: int) -> tuple[Lengths, dict[str, list[Sample]]]:
        asked["batches"].append((batch.kind.name, cpus, rounds))
        if asked["wrong"] == batch.kind.name:
            raise RuntimeError("a run was lost: the VM died")
        return LENGTHS, {BASELINE: [Sample(6.0, 8.0)], measuring.NICE: [Sample(4.5, 8.0)]}

    def of_batch(_batch: Batch, candidates: Sequence[str], **_given: int) -> dict[str, list[Sample]]:
        asked["candidates"] = list(candidates)
        return {BASELINE: [Sample(6.0, 8.0)]} | {one: [Sample(4.1, 8.0)] for one in candidates}

    monkeypatch.setattr(measuring, "watched_and_niced", own)
    monkeypatch.setattr(measuring, "of_batch", of_batch)
    monkeypatch.setattr(resources, "cache_dir", lambda: tmp_path)
    return asked


LENGTHS = Lengths(short_s=0.2, long_s=1.0, work_s=8.0, chain_s=1.0, least_s=4.0, last_start_s=0.4)
SHORT = ("--scale", "0.01", "--jobs", "3")


def test_each_batch_has_a_row_for_each_scheduler(
    measured: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "rows.json"
    argv = ["hotkey_aggregation", "compression", *SHORT, "--scheduler", "at_batch", "--json", str(out), "--rounds", "3"]

    assert bench_batches.main(argv) == 0

    assert measured["batches"] == [("hotkey_aggregation", 2, 3), ("compression", 2, 3)]
    document = json.loads(out.read_text())
    found = document["rows"]
    assert document["jobs"]["compression"] == asdict(LENGTHS)
    assert [(row["batch"], row["scheduler"]) for row in found] == [
        (batch, one)
        for batch in ("hotkey_aggregation", "compression")
        for one in (BASELINE, measuring.NICE, "at_batch")
    ]
    shown = capsys.readouterr().out
    assert "| compression | at_batch | 1 | 4.10 s | 31.7% | 1.025 | 95% | 95% |" in shown
    assert "at_batch: 31.7% less time on average, 95% of the possible on average, 95% at least, over 2 batches" in shown


def test_a_candidate_that_is_not_in_the_catalogue_is_skipped_by_name(
    measured: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["compression", *SHORT, "--scheduler", "at_nowhere:x=1", "--scheduler", "at_batch:long_first=true"]

    assert bench_batches.main(argv) == 0

    assert measured["candidates"] == ["at_batch:long_first=true"]
    assert "skipped: at_nowhere:x=1 is not in the catalogue" in capsys.readouterr().err


def test_a_batch_that_fails_is_named_and_the_others_go_on(
    measured: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    measured["wrong"] = "compression"

    assert bench_batches.main(["compression", "hotkey_aggregation", *SHORT, "--scheduler", "at_batch"]) == 0

    seen = capsys.readouterr()
    assert "compression was not measured: a run was lost: the VM died" in seen.err
    assert "| hotkey_aggregation | at_batch |" in seen.out
    assert "| compression |" not in seen.out


@pytest.mark.parametrize(
    ("reached", "met"), [((0.95, 0.9), True), ((0.99, 0.7), False), ((0.85, 0.85), False), ((), True)]
)
def test_the_judged_scheduler_must_reach_the_goals(reached: tuple[float, ...], met: bool) -> None:
    found = [a_row(f"{number}", bench_batches.JUDGED, share) for number, share in enumerate(reached)]

    assert bench_batches.is_good([*found, a_row("one", "at_batch", 0.1)]) is met


@pytest.mark.parametrize("wrong", [("no_such",), ("compression", "--jobs", "1")])
def test_wrong_batches_are_refused(wrong: tuple[str, ...], measured: dict[str, Any]) -> None:
    assert bench_batches.main(wrong) == 2
    assert measured["batches"] == []


# --- what a run shows of its jobs ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", KINDS)
def test_each_job_is_found_among_the_tasks_of_a_run(name: str, tmp_path: Path) -> None:
    kind = KINDS[name]
    short = (Job(kind.short_name(number), 1.0, False) for number in range(1, 40))
    jobs = (*short, Job(kind.long_name, 9.0, True))
    tasks = [
        a_task(pid, 1, arguments=kind.argv(job), start_s=pid / 100, end_s=50.0, cpu_s=9.0 if job.is_long else 0.5)
        for pid, job in enumerate(jobs, start=2)
    ]
    starter = a_task(1, arguments=("sh", "start"), end_s=50.0, cpu_s=0.0)
    batch = Batch(kind, tmp_path, jobs)

    found = measuring.lengths(TasksSeen((starter, *tasks), ()), batch, 2)

    assert (found.short_s, found.long_s, found.ratio) == (0.5, 9.0, 18.0)
    assert found.chain_s == pytest.approx(9.0)
    assert found.last_start_s == pytest.approx(0.41)
    with pytest.raises(RuntimeError, match="the probe did not see"):
        measuring.lengths(TasksSeen((starter, *tasks[1:]), ()), batch, 2)


# --- sessions ----------------------------------------------------------------------------------------------


def test_a_session_is_an_ordinary_command_line_in_the_batchs_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[list[str], Path]] = []

    def run(argv: list[str], *, cwd: Path, **_given: Any) -> subprocess.CompletedProcess[str]:
        seen.append((argv, cwd))
        Path(argv[argv.index("--json") + 1]).write_text(json.dumps(session(("race", BASELINE, 1.0, 1.0))))
        return subprocess.CompletedProcess(argv, 0)

    monkeypatch.setattr(subprocess, "run", run)

    document = measuring.session(
        tmp_path, "sh start", ["at_batch"], cpus=2, rounds=5, options=["--prepare", "sh prepare"]
    )

    ((argv, cwd),) = seen
    assert samples(document) == {BASELINE: [Sample(1.0, 1.5)]}
    assert (argv[1], argv[-1], cwd) == ("cc", "sh start", tmp_path)
    for words in (["--machine", "vm"], ["--runs", "5"], ["--prepare", "sh prepare"], ["--scheduler", "at_batch"]):
        assert " ".join(words) in " ".join(argv)


@pytest.mark.parametrize(("watched", "counts"), [(None, False), ({"tasks": 40}, True)])
def test_the_guided_scheduler_does_not_count_where_it_had_nothing_to_go_by(
    watched: object, counts: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [("race", key, 1.0, 1.0) for key in (BASELINE, "at_batch", "at_guided", "at_guided:slice_us=5000")]
    document = session(*runs) | {"watched": watched, "not_watched": "" if watched else "the probe failed"}
    monkeypatch.setattr(measuring, "session", lambda *_words, **_given: document)
    batch = Batch(KINDS["compression"], tmp_path, ())

    found = measuring.of_batch(batch, ["at_batch", "at_guided"], cpus=2, rounds=5)

    assert (len(found) == 4) is counts
    assert {BASELINE, "at_batch"} <= found.keys()


def test_a_session_without_a_document_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", lambda argv, **_given: subprocess.CompletedProcess(argv, 4))

    with pytest.raises(RuntimeError, match="ended with 4 and no document"):
        measuring.session(tmp_path, "sh start", [], cpus=2, rounds=1)
