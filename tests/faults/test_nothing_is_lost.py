# SPDX-License-Identifier: MIT
"""Nothing measured is lost: whatever ends a session, its runs are in the store, and its reports say what is known.

Commands that fail, terminals and standard streams that go away, SIGINT, SIGTERM, SIGHUP, and reports that cannot be
written: tests/cli/test_kept_session.py. Full disks below other files: tests/contract/test_writers.py.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from autotune.errors import AutotuneError, NoMachineError, WorkloadError
from autotune.events import Event, Finished, Problem, Warned
from autotune.knowledge import sqlite
from autotune.knowledge import store as store_module
from autotune.knowledge.past import PastSession, finding
from autotune.knowledge.store import Knowledge
from autotune.records import BASELINE, Session
from autotune.session import start
from tests.support.scripted_engine import ScriptedEngine, request
from tests.support.scripted_machine import a_run
from tests.support.scripted_program import argv, environ

PATIENCE_S = 60.0


@pytest.fixture(autouse=True)
def _empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


@pytest.fixture
def store() -> Path:
    return Path(os.environ["XDG_STATE_HOME"]) / "autotune" / "history.sqlite3"


def rows(store: Path, query: str) -> list[tuple[Any, ...]]:
    with contextlib.closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as db:
        return db.execute(query).fetchall()


def newest() -> PastSession | None:
    with Knowledge() as knowledge:
        return knowledge.newest_in(os.getcwd())


# --- autotune is killed ------------------------------------------------------------------------------------


@contextlib.contextmanager
def session(*arguments: str, pause_s: float = 0.1) -> Iterator[subprocess.Popen[str]]:
    """The real program on a machine whose runs take a while; ended in the end."""
    out = subprocess.PIPE
    child = subprocess.Popen(argv(*arguments), stdout=out, stderr=out, text=True, env=environ(PAUSE_S=str(pause_s)))
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


def wait_for_runs(store: Path, phase: str, count: int) -> None:
    wait_until(store, f"SELECT COUNT(*) >= {count} FROM runs WHERE phase = '{phase}'")


def wait_until(store: Path, query: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        with contextlib.suppress(sqlite3.Error):
            if rows(store, query)[0][0]:
                return
        time.sleep(0.01)
    pytest.fail(f"it never became true: {query}")


def exported() -> str:
    """What `autotune export` says when there is no winner."""
    done = subprocess.run(
        [sys.executable, "-m", "autotune", "export", "systemd"],
        capture_output=True, text=True, check=False, env=environ(PYTHONPATH=str(Path(start.__file__).parents[2])),
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    return done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGQUIT])
def test_kill_9_in_the_confirmation_leaves_every_run_and_the_standings(store: Path, number: signal.Signals) -> None:
    with session() as child:
        wait_for_runs(store, "confirm", 3)
        assert newest() is None, "a session that is going on is no past session"
        child.send_signal(number)
        child.communicate(timeout=PATIENCE_S)
        assert child.returncode == -number
    kept = rows(store, "SELECT phase, key, value, invalid, evidence FROM runs ORDER BY number")
    assert [row[0] for row in kept[:4]] == ["warmup", *["baseline"] * 3]
    assert {row[1] for row in kept if row[0] == "confirm"} <= {"eevdf", "at_fifo"}
    assert all(row[2] > 0 and row[3] is None and json.loads(row[4])["problem"] is None for row in kept)
    past = newest()
    assert past is not None
    assert (past.state, past.winner, past.measured_runs) == ("lost", None, len(kept))
    assert past.baseline_median == pytest.approx(1.0, rel=0.05)
    assert {result.key for result in past.results} == {"at_fifo", BASELINE}
    assert all(result.runs >= 3 for result in past.results)
    assert finding(past).startswith(f"cut off after {len(kept)} runs, since autotune was killed; at_fifo led by 1.2")
    said = exported()
    assert said.startswith("autotune: there is no winner: the last session here: cut off after")
    assert "at_fifo led by 1.2" in said


@pytest.mark.slow
def test_kill_9_before_the_baseline_is_known_leaves_the_runs_and_no_answer(store: Path) -> None:
    with session() as child:
        wait_for_runs(store, "baseline", 1)
        child.kill()
        child.communicate()
    assert rows(store, "SELECT COUNT(*) FROM runs")[0][0] >= 2
    assert newest() is None
    assert "the last session here: cut off after" in exported(), "it says what 'history' says"


@pytest.mark.slow
def test_of_two_sessions_at_once_only_the_killed_one_is_lost(store: Path) -> None:
    with session() as other, session(pause_s=1.0) as killed:
        wait_until(store, "SELECT COUNT(DISTINCT session) = 2 FROM runs")
        killed.kill()
        killed.communicate()
        other.communicate(timeout=PATIENCE_S)
        assert other.returncode == 0
    with Knowledge() as knowledge:
        past = [knowledge._sessions("1", (), 9)][0]
    assert sorted((one.state, one.winner) for one in past if one.state == "ended") == [("ended", "at_fifo")]
    assert [one.state for one in past].count("lost") == 1
    assert sorted(rows(store, "SELECT state FROM sessions")) == [("ended",), ("lost",)]
    by_session = dict(rows(store, "SELECT session, COUNT(*) FROM runs GROUP BY session"))
    assert {one.id: one.measured_runs for one in past} == by_session


# --- sessions in this process ------------------------------------------------------------------------------


def ended(tmp_path: Path, engine: ScriptedEngine | None = None, **more: Any) -> tuple[Session, list[Event]]:
    events: list[Event] = []
    asked = request(tmp_path, reports={"json": tmp_path / "r.json"}, **more)
    done = start.run(asked, events.append, engine or ScriptedEngine())
    assert json.loads((tmp_path / "r.json").read_text())["winner"] == done.winner
    return done, events


def engine_that(does: Callable[[int], None]) -> ScriptedEngine:
    """An engine whose machine calls this with the number of each baseline run before it."""
    engine, runs = ScriptedEngine(), 0

    def before() -> Any:
        nonlocal runs
        runs += 1
        does(runs)
        return a_run(1.0 + 0.001 * (runs % 3))

    engine.scripted.faults[BASELINE] = before
    return engine


def problems(events: list[Event]) -> list[str]:
    return [str(event.error) for event in events if isinstance(event, Problem)]


def kept_runs(store: Path, done: Session) -> None:
    """Every run of the session is in the store, in its order."""
    kept = rows(store, "SELECT phase, round, key, value FROM runs ORDER BY number")
    assert kept == [(trial.phase, trial.round, trial.candidate, trial.value) for trial in done.trials]
    assert rows(store, "SELECT state, winner FROM sessions") == [("ended", done.winner)]


def test_each_run_is_in_the_store_before_the_next_begins(tmp_path: Path, store: Path) -> None:
    seen: list[int] = []

    def look(run: int) -> None:
        if run > 1:
            seen.append(rows(store, "SELECT COUNT(*) FROM runs")[0][0])

    done, _ = ended(tmp_path, engine_that(look))
    assert seen[:3] == [1, 2, 3]
    assert seen == sorted(set(seen))
    kept_runs(store, done)


def test_a_store_locked_for_a_while_gets_the_runs_later(tmp_path: Path, store: Path) -> None:
    with Knowledge() as first:
        first.list_profiles()
    other = sqlite3.connect(store, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    done, events = ended(tmp_path, engine_that(lambda run: other.close() if run == 4 else None))
    assert problems(events) == []
    kept_runs(store, done)


@pytest.mark.slow
def test_a_store_locked_to_the_end_costs_only_the_history(
    tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_S", 0.5)
    monkeypatch.setattr(store_module, "BETWEEN_RUNS_S", 0.02)
    with Knowledge() as first:
        first.list_profiles()
    with contextlib.closing(sqlite3.connect(store, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        done, events = ended(tmp_path)
    assert done.winner == "at_fifo"
    (said,) = problems(events)
    assert "database is locked" in said
    assert rows(store, "SELECT COUNT(*) FROM sessions") == [(0,)]


@pytest.mark.parametrize("state", ["/proc/none", "/sys/none"])
def test_a_state_directory_that_cannot_be_written_costs_only_the_history(
    tmp_path: Path, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", state)
    done, events = ended(tmp_path)
    assert done.winner == "at_fifo"
    assert len(problems(events)) == 1
    assert state in problems(events)[0]


def test_a_damaged_store_is_moved_aside_and_said_once(tmp_path: Path, store: Path) -> None:
    store.parent.mkdir(parents=True)
    store.write_bytes(b"no database at all" * 1000)
    done, events = ended(tmp_path)
    said = [event.text for event in events if isinstance(event, Warned)]
    aside = store.with_name("history.sqlite3.damaged-1")
    assert said == [f"the knowledge store was damaged, and was moved aside as {aside}"]
    assert (problems(events), aside.read_bytes()) == ([], b"no database at all" * 1000)
    kept_runs(store, done)


@pytest.mark.parametrize("page", [0, 1])
def test_a_store_damaged_during_the_session_is_moved_aside_and_no_run_is_missing(
    tmp_path: Path, store: Path, page: int
) -> None:
    def damage(run: int) -> None:
        if run == 5:
            for path in (store, store.with_name(f"{store.name}-wal")):
                with open(path, "r+b") as file:
                    file.seek(4096 * page)
                    file.write(os.urandom(4096))

    done, _ = ended(tmp_path, engine_that(damage))
    kept_runs(store, done)


def test_a_store_removed_during_the_session_is_made_again_with_all_runs(tmp_path: Path, store: Path) -> None:
    def remove(run: int) -> None:
        if run == 5:
            for path in store.parent.iterdir():
                path.unlink()

    done, events = ended(tmp_path, engine_that(remove))
    assert problems(events) == []
    kept_runs(store, done)


def test_a_store_of_a_newer_autotune_is_left_alone_and_said_once(tmp_path: Path, store: Path) -> None:
    store.parent.mkdir(parents=True)
    with contextlib.closing(sqlite3.connect(store)) as db:
        db.execute("CREATE TABLE later (x)")
        db.execute("PRAGMA user_version = 99")
    before = store.read_bytes()
    done, events = ended(tmp_path)
    said = [event.text for event in events if isinstance(event, Warned)]
    assert len(said) == 1
    assert "is of a newer autotune (version 99): it is left as it is" in said[0]
    assert (problems(events), store.read_bytes()) == ([], before)
    (own,) = store.parent.glob("history-version-*.sqlite3")
    kept_runs(own, done)


# --- disks that are full -----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("kib", [0, 60])
def test_a_full_disk_below_the_state_costs_no_report(kib: int) -> None:
    """A file system of our own with so much room for the history: for nothing, or for its first runs."""
    state, size = os.environ["XDG_STATE_HOME"], max(kib, 4)
    fill = 'head -c 8192 /dev/zero >"$0/filler" 2>/dev/null; ' if not kib else ""
    script = f'mount -t tmpfs -o size={size}k none "$0" && {{ {fill}"$@"; }}'
    whole = ["unshare", "-m", "sh", "-c", script, state, *argv()]
    done = subprocess.run(whole, capture_output=True, text=True, env=environ(), check=False, timeout=PATIENCE_S)
    if "mount:" in done.stderr or "unshare:" in done.stderr:
        pytest.skip(f"no file system of our own can be mounted here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if "history" in line]
    assert line.startswith("autotune: history: ")
    assert "full" in line or "No space left" in line
    assert json.loads(Path("r.json").read_text())["winner"] == "at_fifo"
    assert "Use at_fifo" in done.stdout


# --- reports of earlier sessions ---------------------------------------------------------------------------


def failing(exit_code: int) -> ScriptedEngine:
    engine = ScriptedEngine()
    engine.scripted.faults[BASELINE] = lambda: a_run(1.0, exit_code)
    return engine


def older_reports(tmp_path: Path) -> dict[Any, Path]:
    reports = {"json": tmp_path / "r.json", "markdown": tmp_path / "r.md", "csv": tmp_path / "r.csv"}
    for path in reports.values():
        path.write_text("the earlier session")
    return reports


def test_a_workload_that_fails_leaves_what_is_known_in_place_of_an_older_report(tmp_path: Path, store: Path) -> None:
    reports = older_reports(tmp_path)
    with pytest.raises(WorkloadError) as caught:
        start.run(request(tmp_path, reports=reports), lambda _event: None, failing(7))
    assert caught.value.exit_code == 3
    report = json.loads(reports["json"].read_text())
    assert report["failure"].startswith("the workload cannot be measured: exit code 7")
    assert (report["winner"], report["baseline"], len(report["trials"])) == (None, None, 1)
    assert all("earlier session" not in path.read_text() for path in reports.values())
    assert rows(store, "SELECT invalid FROM runs") == [("exit code 7",)]
    assert newest() is None, "a command that failed at once is not the last session that `export` speaks of"


@pytest.mark.parametrize("fault", [NoMachineError("there is none"), KeyboardInterrupt(), OSError(5, "EIO")])
def test_a_session_without_a_machine_removes_older_reports(tmp_path: Path, fault: BaseException) -> None:
    reports = older_reports(tmp_path)
    engine = ScriptedEngine()
    engine.fails = fault
    with pytest.raises(AutotuneError):
        start.run(request(tmp_path, reports=reports), lambda _event: None, engine)
    assert not any(path.exists() for path in reports.values())


def test_a_request_that_is_refused_touches_no_report(tmp_path: Path) -> None:
    reports = older_reports(tmp_path) | {"csv": tmp_path / "none" / "r.csv"}
    with pytest.raises(AutotuneError, match="cannot be written"):
        start.run(request(tmp_path, reports=reports), lambda _event: None, ScriptedEngine())
    assert reports["json"].read_text() == "the earlier session"


def test_what_is_no_regular_file_is_not_removed(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    engine.fails = NoMachineError("there is none")
    with pytest.raises(NoMachineError):
        start.run(request(tmp_path, reports={"json": Path("/dev/null")}), lambda _event: None, engine)
    assert Path("/dev/null").exists()


def test_of_a_link_the_file_is_removed_and_of_a_descriptor_nothing(tmp_path: Path) -> None:
    """`--json /dev/stdout` by root, with standard output in a file, removed /dev/stdout."""
    engine = ScriptedEngine()
    engine.fails = NoMachineError("there is none")
    (tmp_path / "link").symlink_to("report")
    (tmp_path / "report").write_text("the earlier session")
    heard: list[Event] = []
    with open(tmp_path / "out", "w") as out:
        reports: Any = {"json": tmp_path / "link", "csv": Path(f"/dev/fd/{out.fileno()}")}
        with pytest.raises(NoMachineError):
            start.run(request(tmp_path, reports=reports), heard.append, engine)
    assert (tmp_path / "link").is_symlink()
    assert not (tmp_path / "report").exists()
    assert (tmp_path / "out").exists()
    assert not [event for event in heard if isinstance(event, Problem)]


@pytest.mark.parametrize("to", ["pipe", "file"])
def test_a_report_may_go_to_a_descriptor(tmp_path: Path, to: str) -> None:
    reading, writing = os.pipe() if to == "pipe" else (-1, os.open(tmp_path / "out", os.O_RDWR | os.O_CREAT))
    csv: Any = {"csv": Path(f"/dev/fd/{writing}")}
    start.run(request(tmp_path, reports=csv), lambda _event: None, ScriptedEngine())
    text = os.read(reading, 1 << 16) if to == "pipe" else (tmp_path / "out").read_bytes()
    assert b"at_fifo" in text
    for fd in {reading, writing} - {-1}:
        os.close(fd)


# --- the first error ---------------------------------------------------------------------------------------


def test_the_first_error_is_the_one_that_is_reported(tmp_path: Path) -> None:
    """The run fails, then the cleanup, the report and the history fail too."""

    def fail(run: int) -> None:
        if run == 6:
            raise AutotuneError("the first error")

    engine = engine_that(fail)
    events: list[Event] = []
    store_path = Path(os.environ["XDG_STATE_HOME"]) / "autotune"
    store_path.mkdir(parents=True)
    (store_path / "history.sqlite3").mkdir()
    asked = request(tmp_path, reports={"json": Path("/dev/full")}, workload={"cleanup": "false # fail to clean"})
    done = start.run(asked, events.append, engine)
    finished = next(event for event in events if isinstance(event, Finished))
    error = start.ending(done, finished.error)
    assert isinstance(error, AutotuneError)
    assert error.message == "the first error"
    assert len(problems(events)) == 2
