# SPDX-License-Identifier: MIT
"""The batches of scripts/longtail, run natively: many short processes and a long one, which starts last."""

from __future__ import annotations

import os
import shutil
import signal
import statistics
import subprocess
import time
from hashlib import sha256
from pathlib import Path

import pytest

from scripts.longtail import __main__ as command
from scripts.longtail import batch as batch_module
from scripts.longtail.batch import KINDS, Batch, Shape, make
from tests.support.counted_jobs import CountedJob, run_counted

SMALL = Shape(scale=0.3)
FEW = Shape(jobs=5, long=3.0, scale=0.05)
SLOW = "video_transcode"
"""To start ffmpeg alone takes long."""
each_kind = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name == SLOW else []) for name in KINDS]
)


def needing(name: str) -> list[str]:
    """Programs that are missing here."""
    return [tool for tool in KINDS[name].tools if shutil.which(tool) is None]


def made(name: str, shape: Shape, under: Path) -> Batch:
    if missing := needing(name):
        pytest.skip(f"{' and '.join(missing)} is not installed; scripts/test installs it")
    return make(name, shape, under)


def is_long(job: CountedJob, batch: Batch) -> bool:
    return any(batch.long.name in word for word in job.argv)


def contents(directory: Path) -> dict[str, str]:
    """Return a digest of each file by its path."""
    files = (path for path in directory.rglob("*") if path.is_file())
    return {str(path.relative_to(directory)): sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_a_batch_is_forty_processes_and_the_last_takes_long(name: str, tmp_path: Path) -> None:
    batch = made(name, SMALL, tmp_path)
    before = contents(batch.directory)

    jobs = run_counted(batch, tmp_path)
    subprocess.run(["sh", "-c", batch.clean], cwd=batch.directory, check=True)

    (long,) = [job for job in jobs if is_long(job, batch)]
    short_s = [job.cpu_s for job in jobs if job is not long]
    assert len(jobs) == 40
    assert len({tuple(job.argv) for job in jobs}) == 40  # each can be told from the others
    assert long.started == max(job.started for job in jobs)
    assert long.cpu_s > 4 * statistics.median(short_s)
    assert long.cpu_s > 2 * sorted(short_s)[-2]
    assert contents(batch.directory) == before


@pytest.mark.first
@each_kind
def test_the_jobs_leave_results(name: str, tmp_path: Path) -> None:
    batch = made(name, FEW, tmp_path)

    for _ in range(2):  # the second finds what the first left
        jobs = run_counted(batch, tmp_path)
        results = [path for path in (batch.directory / "work").rglob("*") if path.is_file() and path.stat().st_size]

        assert len(jobs) == 5
        assert len(results) >= (2 if name == "ctest_suite" else 5)


@pytest.mark.first
@each_kind
def test_a_batch_fails_when_one_of_its_jobs_does(name: str, tmp_path: Path) -> None:
    batch = made(name, FEW, tmp_path)
    lost = batch.directory / batch.jobs[1].name
    shutil.rmtree(lost) if lost.is_dir() else lost.unlink()

    with pytest.raises(subprocess.CalledProcessError):
        run_counted(batch, tmp_path)


@pytest.mark.first
@each_kind
def test_the_long_job_alone_gets_the_niceness(name: str, tmp_path: Path) -> None:
    batch = made(name, FEW, tmp_path)

    jobs = run_counted(batch, tmp_path, "7")

    assert [job.nice for job in jobs if is_long(job, batch)] == [os.nice(0) + 7]
    assert {job.nice for job in jobs if not is_long(job, batch)} == {os.nice(0)}


def test_a_stopped_batch_leaves_no_job_behind(tmp_path: Path) -> None:
    batch = made("hotkey_aggregation", FEW, tmp_path)
    for job in batch.jobs:  # jobs that wait for ever
        (batch.directory / job.name).unlink()
        os.mkfifo(batch.directory / job.name)
    subprocess.run(["sh", "-c", batch.prepare], cwd=batch.directory, check=True)
    with subprocess.Popen(["sh", "-c", f"exec {batch.start}"], cwd=batch.directory) as started:
        while len(list((batch.directory / "work").iterdir())) < 5:
            time.sleep(0.01)
        started.send_signal(signal.SIGTERM)
        assert started.wait(10) == 143

    deadline = time.monotonic() + 10
    while working_in(batch.directory) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert working_in(batch.directory) == []


def working_in(directory: Path) -> list[str]:
    """Return the processes whose current directory this is."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if place.readlink() == directory:
                found.append(place.parent.name)
        except OSError:
            continue  # it ended, or is somebody else's
    return found


@pytest.mark.first
@each_kind
def test_a_batch_is_the_same_every_time(name: str, tmp_path: Path) -> None:
    one, other = made(name, FEW, tmp_path / "one"), made(name, FEW, tmp_path / "other")

    first, second = contents(one.directory), contents(other.directory)
    if name == "ctest_suite":  # a compiler may write where it ran
        del first["checks"], second["checks"]
    assert first == second


def test_a_batch_is_made_once(tmp_path: Path) -> None:
    first = made("hotkey_aggregation", FEW, tmp_path)
    (first.directory / "mark").touch()

    assert make("hotkey_aggregation", FEW, tmp_path) == first
    assert (first.directory / "mark").exists()
    assert make("hotkey_aggregation", Shape(jobs=5, long=4.0, scale=0.05), tmp_path).directory != first.directory


def test_what_other_code_made_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = made("hotkey_aggregation", FEW, tmp_path)
    monkeypatch.setattr(batch_module, "_code", lambda _kind: "00000000")

    assert make("hotkey_aggregation", FEW, tmp_path).directory != first.directory


def test_what_a_killed_start_left_is_made_anew(tmp_path: Path) -> None:
    whole = made("hotkey_aggregation", FEW, tmp_path / "whole")
    draft = tmp_path / f".draft-{whole.directory.name}"
    draft.mkdir()
    (draft / "partition-01.csv").write_text("half a file")

    assert contents(make("hotkey_aggregation", FEW, tmp_path).directory) == contents(whole.directory)
    assert not draft.exists()


def test_a_seed_shuffles_the_starts(tmp_path: Path) -> None:
    orders = [made("hotkey_aggregation", Shape(5, 3.0, 0.05, shuffle=seed), tmp_path).jobs for seed in (1, 1, 2, 3)]

    assert orders[0] == orders[1]
    assert len(set(orders)) > 1
    assert len({frozenset(order) for order in orders}) == 1


@pytest.mark.parametrize("wrong", [{"jobs": 1}, {"jobs": 1001}, {"long": 0.5}, {"long": float("nan")}, {"scale": 0.0}])
def test_a_shape_has_bounds(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="a batch has 2 to 1000 jobs"):
        Shape(**wrong)  # type: ignore[arg-type]


# --- the command -------------------------------------------------------------------------------------------


def test_the_command_lists_the_batches(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(KINDS)


def test_the_command_makes_a_batch_and_says_how_to_run_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["hotkey_aggregation", "--jobs", "3", "--scale", "0.05", "--directory", str(tmp_path)]

    assert command.main(argv) == 0
    (directory,) = (path for path in tmp_path.iterdir() if path.is_dir())
    shown = capsys.readouterr().out
    assert f"cd {directory}" in shown
    assert "autotune cc --prepare 'sh prepare' --cleanup 'rm -rf work' 'sh start'" in shown


def test_the_command_names_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command.main(["no_such_batch"]) == 1
    assert "there are compression, ctest_suite" in capsys.readouterr().err
    monkeypatch.setenv("PATH", str(tmp_path))
    assert command.main(["video_transcode", "--directory", str(tmp_path)]) == 1
    assert "video_transcode needs ffmpeg" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
