# SPDX-License-Identifier: MIT
"""`autotune cc --ci` as a job of a CI service runs it, and `--fail-if-slower`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from autotune.knowledge.store import Knowledge
from autotune.records import BASELINE, Session
from tests.support import sessions
from tests.support.command_line import Story, error_of, run
from tests.support.scripted_program import ended


def measured(name: str, wall_s: float) -> Session:
    runs = (sessions.trial(round=n, run=sessions.run(wall_s=wall_s * (1 + n / 500))) for n in range(4))
    return sessions.session(id=name, trials=tuple(runs), winner=None, workload=sessions.workload(cwd=str(Path.cwd())))


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The job of a service; its summary."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    return tmp_path / "summary.md"


def test_a_job_gets_annotations_and_a_summary_after_those_of_earlier_steps(story: Story, job: Path) -> None:
    job.write_text("# The step before\n")

    done = run("cc", "--ci", "--planner", "offline", "make")

    assert done.exit_code == 0
    assert done.stdout.startswith("::group::autotune: the runs\n")
    assert "::notice title=autotune::Use at_batch" in done.stdout
    assert "\x1b" not in done.stdout
    summary = job.read_text()
    assert summary.startswith("# The step before\n")
    assert "| 1 | at\\_batch" in summary
    assert story.given_back


def test_without_a_service_it_is_plain_text_and_no_summary(story: Story) -> None:
    done = run("cc", "--ci", "--planner", "offline", "make")

    assert done.exit_code == 0
    assert "::" not in done.stdout.replace("autotune::", "")
    assert story.given_back


def test_a_summary_that_cannot_be_written_is_one_line_and_the_report_is_there(
    story: Story, job: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(job.parent))

    done = run("cc", "--ci", "--planner", "offline", "--json", "r.json", "make")

    assert done.exit_code == 1
    assert "summary of the job could not be written: Is a directory" in error_of(done)
    assert json.loads(Path("r.json").read_text())["winner"] == sessions.BATCH.key
    assert story.given_back


def test_a_summary_that_would_be_too_large_says_so(story: Story, job: Path) -> None:
    job.write_bytes(b"x" * (1 << 20))

    assert run("cc", "--ci", "--planner", "offline", "make").exit_code == 0

    assert job.read_text().endswith("--export-markdown writes it to a file.\n")
    assert story.given_back


@pytest.mark.usefixtures("story")
def test_a_job_is_asked_nothing() -> None:
    done = run("cc", "--ci", "-i", "make")

    assert done.exit_code == 2
    assert "--ci asks no questions" in error_of(done)


# --- slower than before ---


@pytest.mark.parametrize(
    ("now_s", "allowed", "code"),
    [(2.0, "5%", 0), (2.04, "5%", 0), (2.3, "5%", 5), (2.3, "20%", 0), (1.0, "5%", 0)],
)
def test_a_command_that_became_slower_than_allowed_ends_with_code_5(
    story: Story, now_s: float, allowed: str, code: int
) -> None:
    with Knowledge() as knowledge:
        knowledge.record(measured("aaaa0001", 2.0))
    story.session = measured("aaaa0002", now_s)

    done = run("cc", "--fail-if-slower", allowed, "--planner", "offline", "make")

    assert done.exit_code == code, done.stderr
    assert "Compared with the session of " in done.stdout
    if code:
        assert f"comparison: more than {allowed} slower than before: EEVDF is 0.87" in error_of(done)


def test_the_first_session_has_nothing_to_be_compared_with(story: Story) -> None:
    story.session = measured("aaaa0001", 2.0)

    done = run("cc", "--fail-if-slower", "5%", "--planner", "offline", "make")

    assert done.exit_code == 0
    assert "Nothing to compare with" in done.stdout


def test_a_share_that_is_none_is_refused_before_anything_runs(story: Story) -> None:
    done = run("cc", "--fail-if-slower", "5", "make")

    assert done.exit_code == 2
    assert "--fail-if-slower: '5' is not a share such as 3%" in error_of(done)
    assert not story.choice


@pytest.mark.slow
def test_two_real_sessions_in_a_row_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    first = ended("--ci", "--fail-if-slower", "5%")
    assert (first.returncode, "Nothing to compare with" in first.stdout) == (0, True)
    assert ended("--ci", "--fail-if-slower", "5%").returncode == 0

    monkeypatch.setenv("TIMES", json.dumps({BASELINE: 1.5, "at_fifo": 0.8}))
    slower = ended("--ci", "--fail-if-slower", "5%")

    assert slower.returncode == 5
    assert slower.stderr.startswith("autotune: comparison: more than 5% slower than before: EEVDF is 0.6")
    assert "at_fifo is " in slower.stdout
