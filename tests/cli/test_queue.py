# SPDX-License-Identifier: MIT
"""`autotune submit`, `status`, `watch` and `cancel` as people type them, at a real service whose jobs run `sh`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command_line import error_of, run
from tests.support.service_program import Service, running
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    with running(tmp_path) as started:
        monkeypatch.setenv("AUTOTUNE_SOCKET", str(started.socket))
        yield started


def test_a_session_is_queued_watched_and_shown(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MADE_BY", "me")
    told = run("submit", "--budget", "2m", "echo $MADE_BY $PWD")
    assert told.exit_code == 0
    assert "job 1 is queued (it begins now): echo $MADE_BY $PWD" in told.stdout
    watched = run("watch", "1")
    assert watched.exit_code == 0
    assert f"me {Path.cwd()}" in watched.stdout
    assert "state: finished (exit code 0)" in watched.stdout
    shown = json.loads(run("status", "1", "--json").stdout)
    assert (shown["state"], shown["cwd"], shown["user"]) == ("finished", str(Path.cwd()), shown["user"])
    assert shown["report"].endswith(".json")
    assert str(Path(shown["report"]).parent) == str(service.top / "home/autotune/reports")
    assert "job 1: finished" in run("status").stdout


def test_the_session_gets_the_options_as_they_were_given_and_a_report(service: Service) -> None:
    run("submit", "sleep 600")  # until it is over, the next one waits
    run("submit", "--scheduler", "at_fifo", "--metric", "x: ([0-9]+)", "--", "true", "--budget")
    words = json.loads((service.top / "state/queue/2.json").read_text())["words"]
    assert words[0] == "--json"
    assert words[2:] == ["--scheduler", "at_fifo", "--metric", "x: ([0-9]+)", "--", "true", "--budget"]


def test_a_report_that_is_named_stays_the_users(service: Service) -> None:
    run("submit", "sleep 600")
    assert f"report: {Path.cwd() / 'mine.json'}" in run("submit", "--json", "mine.json", "true").stdout
    assert json.loads((service.top / "state/queue/2.json").read_text())["words"] == ["--json", "mine.json", "true"]


def test_no_secret_of_a_command_is_shown_and_none_stays(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEPLOY_TOKEN", "plural-zz9-Alpha")
    told = run("submit", "true --password hunter2hunter2 plural-zz9-Alpha").stdout
    run("watch", "1")
    told += run("status", "1").stdout + run("status", "--json").stdout
    kept = (service.top / "state/queue/1.json").read_text()
    assert "--password" in told
    assert "--password" in kept
    assert not any(secret in text for secret in ("hunter2hunter2", "plural-zz9") for text in (told, kept))


def test_the_exit_code_of_watch_is_the_sessions(service: Service) -> None:
    run("submit", "echo bad; exit 3")
    watched = run("watch", "1")
    assert watched.exit_code == 3
    assert "why: bad" in watched.stdout
    assert service.job(1)["exit_code"] == 3


def test_what_a_job_prints_cannot_move_the_cursor(service: Service) -> None:
    service.submit(r"printf 'a\033[2Jb\rc\n'")
    assert "a[2Jb c" in run("watch", "1").stdout


def test_a_job_is_cancelled(service: Service) -> None:
    run("submit", "sleep 600")
    run("submit", "true")
    assert "job 2 is cancelled" in run("cancel", "2").stdout
    assert "job 1 is being ended" in run("cancel", "1").stdout
    assert run("watch", "1").exit_code == 1
    wait_until(lambda: service.job(1)["state"] == "cancelled")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--apply", "true"), "--apply is not for the queue"),
        (("--interactive", "true"), "--interactive is not for the queue"),
        (("--dry-run", "true"), "--dry-run is not for the queue"),
        (("--continue",), "--continue is not for the queue"),
        (("--json", "-", "true"), "--json - is not for the queue"),
        (("--budget", "never", "true"), "--budget"),
        (("--metric", "rps", "true"), "--metric has no group"),
        (("--param", "n=1,2", "true"), "the parameter n changes no run"),
        (("--scheduler", "no_such", "true"), "no scheduler is called 'no_such'"),
        (("--no-such-option", "true"), "--no-such-option"),
        ((), "COMMAND"),
    ],
    ids=str,
)
def test_what_cannot_run_in_the_queue_is_refused_before_it_is_queued(
    service: Service, words: tuple[str, ...], said: str
) -> None:
    refused = run("submit", *words)
    assert refused.exit_code == 2
    assert said in error_of(refused)
    assert not list((service.top / "state/queue").glob("*.json"))


def test_what_a_job_before_it_may_still_make_is_said_and_queued(service: Service) -> None:
    queued = run("submit", "./bench", "--cleanup", "no-such-program")
    assert queued.exit_code == 0
    command, cleanup = queued.stderr.splitlines()
    assert "./bench: No such file or directory" in command
    assert "--cleanup: no-such-program: command not found" in cleanup
    assert command.endswith("The job is queued all the same.")
    assert "job 1 is queued" in queued.stdout
    assert service.job(1)["command"] == "./bench"


@pytest.mark.parametrize("command", [("watch", "7"), ("cancel", "7"), ("status", "7")], ids=" ".join)
def test_a_job_that_is_not_there_is_an_error(service: Service, command: tuple[str, ...]) -> None:
    assert service.process is not None
    refused = run(*command)
    assert refused.exit_code == 2
    assert "there is no job 7" in error_of(refused)


@pytest.mark.parametrize(
    "command", [("submit", "true"), ("watch", "1"), ("cancel", "1"), ("status", "1")], ids=" ".join
)
def test_without_a_daemon_it_is_said_how_to_get_one(
    command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOTUNE_SOCKET", str(tmp_path / "nobody"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    refused = run(*command)
    assert refused.exit_code == 1
    assert "no daemon is running" in error_of(refused)
    assert "autotune daemon" in error_of(refused)
    assert "No daemon is running." in run("status").stdout
