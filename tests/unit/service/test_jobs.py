# SPDX-License-Identifier: MIT
"""The queue on disk: what was accepted is there again after any end of the process, and what ran is not run twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autotune.errors import BusyError, UsageError
from autotune.records import Identity
from autotune.service import jobs
from autotune.service.jobs import Job, JobQueue

TOP = Path(__file__).resolve().parents[3]
ME = Identity(1000, 1000, (1000, 27))


def job(uid: int = 1000, command: str = "make", env: dict[str, str] | None = None) -> Job:
    return Job(0, Identity(uid, uid), str(uid), command, ("--", command), "/src", "/r.json", env or {"A": "caf\udce9"})


STEPS = st.lists(st.tuples(st.sampled_from(["submit", "start", "cancel", "end", "restart"]), st.integers(0, 5)))


@given(steps=STEPS)
@settings(max_examples=40)
def test_a_restart_at_any_time_changes_nothing_but_what_ran(steps: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as place:
        queue = JobQueue(Path(place))
        for step, pick in steps:
            before = queue.all()
            if step == "submit":
                queue.submit(job())
            elif step == "restart":
                queue = JobQueue(Path(place))
                for old, new in zip(before, queue.all(), strict=True):
                    if old.state == "running":
                        assert (new.state, new.why, new.env) == ("interrupted", jobs.RESTARTED, {})
                    else:
                        assert new == old
            elif before:
                one = before[pick % len(before)]
                if step == "start" and one.state == "queued":
                    queue.start(one.id)
                elif not one.is_over and step in ("cancel", "end"):
                    queue.end(one.id, "cancelled" if step == "cancel" else "finished", exit_code=0)
        assert [one.id for one in queue.all()] == sorted({one.id for one in queue.all()})
        assert [one for one in queue.all() if one.is_over and (one.env or one.words)] == []


def test_what_is_submitted_is_kept_as_it_was(tmp_path: Path) -> None:
    first = JobQueue(tmp_path).submit(job())
    again = JobQueue(tmp_path).get(first.id)
    assert again == first
    assert again.env == {"A": "caf\udce9"}
    assert (again.id, again.state, again.words) == (1, "queued", ("--", "make"))


def test_no_secret_of_its_environment_or_arguments_stays_on_the_disk(tmp_path: Path) -> None:
    queue = JobQueue(tmp_path)
    secrets = {"TOKEN": "environment-secret"}
    for state in ("finished", "cancelled", "interrupted"):
        one = queue.submit(replace(job(env=secrets), words=("--", "deploy --token argument-secret")))
        kept = (tmp_path / f"{one.id}.json").read_text()
        assert "environment-secret" in kept
        assert "argument-secret" in kept
        queue.end(one.id, state)
    assert [path for path in tmp_path.iterdir() if "secret" in path.read_text()] == []


def test_nobody_else_can_read_it(tmp_path: Path) -> None:
    queue = JobQueue(tmp_path / "queue")
    queue.submit(job())
    queue.add_to_log(1, b"text")
    modes = {path.name: path.stat().st_mode & 0o777 for path in [tmp_path / "queue", *(tmp_path / "queue").iterdir()]}
    assert modes == {"queue": 0o700, "1.json": 0o600, "1.log": 0o600}


KILLED = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from autotune.records import Identity
from autotune.service.jobs import Job, JobQueue, MOST_WAITING_OF_ONE
queue = JobQueue(Path(sys.argv[2]))
for n in range(200):
    one = queue.submit(Job(0, Identity(n, n), str(n), "x" * 3000, ("x",), "/", ""))
    print(one.id, flush=True)
"""


@pytest.mark.parametrize("after", [1, 7, 30])
def test_every_job_that_was_accepted_before_sigkill_is_there(tmp_path: Path, after: int) -> None:
    argv = [sys.executable, "-c", KILLED, str(TOP), str(tmp_path)]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    accepted = [int(process.stdout.readline()) for _ in range(after)]
    process.send_signal(signal.SIGKILL)
    accepted += [int(line) for line in process.stdout.read().splitlines()]
    process.wait()
    queue = JobQueue(tmp_path)
    assert {*accepted} <= {one.id for one in queue.all()}
    assert queue.damaged == []
    assert [name for name in os.listdir(tmp_path) if not name.endswith(".json")] == []


def test_a_damaged_file_is_named_and_left_and_its_number_is_not_given_again(tmp_path: Path) -> None:
    queue = JobQueue(tmp_path)
    for _ in range(3):
        queue.submit(job())
    (tmp_path / "2.json").write_text('{"id": 2')
    (tmp_path / "3.json").write_text((tmp_path / "1.json").read_text())
    again = JobQueue(tmp_path)
    assert [one.id for one in again.all()] == [1]
    assert len(again.damaged) == 2
    assert again.submit(job()).id == 4
    assert (tmp_path / "2.json").read_text() == '{"id": 2'


def test_one_user_cannot_fill_the_queue(tmp_path: Path) -> None:
    queue = JobQueue(tmp_path)
    for _ in range(jobs.MOST_WAITING_OF_ONE):
        queue.submit(job(1))
    with pytest.raises(BusyError, match="of your jobs wait already"):
        queue.submit(job(1))
    assert queue.submit(job(2)).state == "queued"


def test_ended_ones_are_forgotten_oldest_first_with_their_logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "MOST_ENDED", 2)
    queue = JobQueue(tmp_path)
    for _ in range(4):
        number = queue.submit(job()).id
        queue.add_to_log(number, b"x")
        queue.end(number, "finished")
    assert [one.id for one in queue.all()] == [3, 4]
    assert sorted(os.listdir(tmp_path)) == ["3.json", "3.log", "4.json", "4.log"]


def test_a_log_has_a_bound_and_says_so(tmp_path: Path) -> None:
    queue = JobQueue(tmp_path)
    for _ in range(5):
        queue.add_to_log(1, b"x" * 100_000)
    log = queue.log(1)
    assert len(log) < jobs.MOST_LOG_BYTES + 100
    assert log.endswith(b"[the rest is not kept]\n")


def test_a_job_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no job 7"):
        JobQueue(tmp_path).get(7)
