# SPDX-License-Identifier: MIT
"""`autotune cc --continue`: which session is meant, what may be given with it, and what it says; on a machine whose
times are given."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from autotune.config import KEYS
from autotune.machine import select
from autotune.records import BASELINE, AttachSpec, GuideSpec, ProbeSpec
from autotune.session import preflight, start
from tests.support.command_line import error_of, run
from tests.support.scripted_machine import ScriptedMachine
from tests.support.scripted_program import argv, environ, wait_for

UNDECIDED = {BASELINE: 1.0, "at_fifo": 0.995, "at_vtime": 1.01}
FASTER = UNDECIDED | {"at_fifo": 0.97}


@pytest.fixture
def times(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """How long runs take on the machine that every session gets."""
    found = dict(UNDECIDED)
    resolve = lambda *_given: lambda candidate: AttachSpec(candidate.scheduler, "x.o")  # noqa: E731
    monkeypatch.setattr(select, "decide", lambda _kind: select.MachineChoice("vm", "a test"))
    monkeypatch.setattr(start.Engine, "machine", lambda *_given: ScriptedMachine.opened(dict(found)))
    monkeypatch.setattr(start.Engine, "resolver", resolve)
    monkeypatch.setattr(start.Engine, "require", lambda *_given: None)
    monkeypatch.setattr(start.Engine, "probe", lambda *_given: ProbeSpec("tasks.o", "0" * 64))
    monkeypatch.setattr(start.Engine, "guide", lambda *given: GuideSpec("guide.o", "0" * 64, given[-1]))
    monkeypatch.setattr(start.Engine, "busy", lambda *_given: None)
    monkeypatch.setattr(preflight, "CHECKS", ())
    return found


TRIED = ("--scheduler", "at_fifo", "--scheduler", "at_vtime", "--runs", "3", "--seed", "3")


def undecided(*more: str, command: tuple[str, ...] = ("make",)) -> dict[str, Any]:
    """A session that ends without a winner; its report."""
    done = run("cc", *TRIED, "--json", "r.json", *more, "--", *command)
    assert done.exit_code == 0, done.output
    report: dict[str, Any] = json.loads(Path("r.json").read_text())
    assert report["winner"] is None
    return report


def continued(*given: str) -> tuple[dict[str, Any], str]:
    done = run("cc", "--continue", "--runs", "4", "--seed", "4", "--json", "c.json", *given)
    assert done.exit_code == 0, done.output
    return json.loads(Path("c.json").read_text()), done.output


# --- which session ---


def test_without_more_it_is_the_latest_undecided_one_of_this_directory(times: dict[str, float]) -> None:
    undecided(command=("first",))
    latest = undecided(command=("make", "-j8"))
    times.update(FASTER)
    report, shown = continued()
    assert report["continues"] == latest["id"]
    assert report["workload"]["command"] == "make -j8"
    assert report["winner"] == "at_fifo"
    assert f"continues {latest['id']}. Judged here: at_fifo by 4 fresh pairs" in " ".join(shown.split())


def test_a_decided_one_is_passed_over(times: dict[str, float]) -> None:
    open_one = undecided()
    times.update(FASTER)
    assert run("cc", "--scheduler", "at_fifo", "other").exit_code == 0
    assert continued()[0]["continues"] == open_one["id"]


@pytest.mark.first
@pytest.mark.parametrize(
    ("command", "given"),
    [
        (("make",), ("make",)),
        (("make -j8 | tee log",), ("make -j8 | tee log",)),
        (("make", "-j8"), ("--", "make", "-j8")),
    ],
)
@pytest.mark.usefixtures("times")
def test_a_command_names_its_latest_session(command: tuple[str, ...], given: tuple[str, ...]) -> None:
    wanted = undecided(command=command)
    undecided(command=("another",))
    assert continued(*given)[0]["continues"] == wanted["id"]


@pytest.mark.usefixtures("times")
def test_an_id_and_a_report_name_one() -> None:
    first = undecided()
    os.rename("r.json", "first.json")
    undecided()
    after, _ = continued("first.json")
    assert after["continues"] == first["id"]
    assert continued(after["id"])[0]["continues"] == after["id"]


@pytest.mark.usefixtures("times")
def test_the_command_that_the_report_names_continues_it() -> None:
    first = undecided()
    shown = run("cc", *TRIED, "--", "make").output
    named = re.search(r"cc --continue ([0-9a-f]{8}) --budget (\w+)", shown)
    assert named is not None
    assert named[1] != first["id"]
    assert run("cc", "--continue", named[1], "--budget", named[2]).exit_code == 0


# --- what goes with it ---


@pytest.mark.usefixtures("times")
def test_what_belongs_to_the_session_is_taken_from_it() -> None:
    more = (
        "--machine",
        "vm",
        "--cpus",
        "2",
        "--prepare",
        "make clean",
        "--statistic",
        "typical",
        "--min-effect",
        "0.1%",
    )
    undecided(*more, "--warmup", "2", "--timeout", "50s")
    report, _ = continued()
    assert report["workload"]["prepare"] == "make clean"
    assert report["workload"]["timeout_s"] == 50.0
    assert report["min_effect"] == 0.001
    assert report["chain"]["options"] == ["--machine", "vm", "--cpus", "2", "--warmup", "2", "--min-effect", "0.1%"]
    assert len([one for one in report["trials"] if one["phase"] == "warmup"]) == 2


OTHERS = {
    "prepare": "x", "conclude": "x", "setup": "x", "cleanup": "x", "shell": "bash", "command-name": "x", "warmup": "2",
    "min-runs": "2", "max-runs": "9", "timeout": "9s", "input": "/dev/null", "ignore-failure": None, "pristine": None,
    "metric": "(x)", "goal": "max", "guard": "cpu:off", "no-guards": None, "min-effect": "3%", "statistic": "mean",
    "scheduler": "at_fifo", "planner": "offline", "model": "x",
    "model-url": "https://x", "max-cost": "1", "max-calls": "1", "prices": "x",
    "model-timeout": "9s", "no-output-to-model": None, "machine": "vm", "kernel": "x", "cpus": "2", "memory": "4G",
    "dry-run": None, "no-observe": None, "no-explain": None, "no-early-end": None, "no-recall": None,
    "interactive": None, "param": "jobs=2,4",
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.usefixtures("times")
def test_what_may_change_what_is_measured_is_refused_in_one_line(name: str) -> None:
    value = OTHERS[name]
    refused = run("cc", "--continue", f"--{name}", *([] if value is None else [value]))
    assert refused.exit_code == 2
    assert f"--{name}" in error_of(refused)


def test_every_option_is_either_refused_or_changes_nothing() -> None:
    kept = {"budget", "runs", "seed", "style"}
    assert {key.flag.removeprefix("--") for key in KEYS.values()} - kept <= OTHERS.keys()


@pytest.mark.usefixtures("times")
def test_a_project_s_settings_of_today_do_not_replace_the_session_s() -> None:
    undecided("--cpus", "2")
    Path("autotune.toml").write_text("cpus = 4\nmin_effect = '50%'\n")
    report, _ = continued()
    assert report["chain"]["options"] == ["--cpus", "2"]
    assert report["min_effect"] == 0.0


# --- what is refused ---


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ((), "no session of this directory is known that could be continued"),
        (("make",), "no session of this command in this directory is known"),
        (("12345678",), "session 12345678 is not known here"),
        (("none.json",), "--continue none.json: No such file or directory"),
        (("empty.json",), "--continue empty.json: it is not JSON"),
        (("list.json",), "--continue list.json: it has another shape"),
        (("other.json",), "--continue other.json: it names no session"),
        (("unknown.json",), "session 12345678 of unknown.json is not in this user's knowledge store"),
    ],
)
@pytest.mark.usefixtures("times")
def test_what_is_not_known_is_refused_in_one_line(given: tuple[str, ...], says: str) -> None:
    texts = {"empty": "", "list": "[]", "other": "{}", "unknown": '{"id": "12345678"}'}
    for name, text in texts.items():
        Path(f"{name}.json").write_text(text)
    refused = run("cc", "--continue", *given)
    assert refused.exit_code == 2
    assert says in error_of(refused)


@pytest.mark.usefixtures("times")
def test_a_session_that_swept_parameters_is_refused() -> None:
    undecided("--param", "jobs=2,4", command=("make", "-j{jobs}"))
    assert "swept parameters (--param), and cannot be continued" in error_of(run("cc", "--continue"))


@pytest.mark.usefixtures("times")
def test_a_second_continuation_of_one_session_is_refused_and_says_which_one_continues_it() -> None:
    first = undecided()
    after, _ = continued()
    refused = error_of(run("cc", "--continue", first["id"]))
    assert f"session {first['id']} is continued by session {after['id']}" in refused
    assert f"--continue {after['id']}" in refused


def test_a_directory_whose_sessions_are_all_decided_says_so(times: dict[str, float]) -> None:
    times.update(FASTER)
    assert run("cc", "--scheduler", "at_fifo", "make").exit_code == 0
    refused = error_of(run("cc", "--continue"))
    assert "no session of this directory can be continued; of the latest: session" in refused
    assert "is decided: at_fifo won it" in refused


@pytest.mark.usefixtures("times")
def test_another_directory_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    first, place = undecided(), Path.cwd()
    monkeypatch.chdir(tmp_path)
    assert f"that session ran in {place}, not here" in error_of(run("cc", "--continue", first["id"]))
    assert "no session of this directory" in error_of(run("cc", "--continue"))


def test_without_the_switch_a_command_is_still_needed() -> None:
    assert run("cc", "--continue").exit_code == 2
    assert "COMMAND" in run("cc").stderr


# --- a session that was killed ---


def killed_in(phase: str, *given: str) -> None:
    """Run a session in a process of its own, and kill it in that phase."""
    env = environ(PAUSE_S="0.05", TIMES=json.dumps(UNDECIDED), MARK=phase)
    child = subprocess.Popen(argv("--scheduler", "at_vtime", "--runs", "4", *given), env=env, stdout=subprocess.DEVNULL)
    try:
        wait_for(f"in-{phase}")
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()


@pytest.mark.slow
@pytest.mark.parametrize(("phase", "left"), [("race", 0.05), ("confirm", 0.025)])
def test_a_session_that_was_killed_is_continued_with_what_it_had_left(
    times: dict[str, float], phase: str, left: float
) -> None:
    killed_in(phase)
    times.update(FASTER)
    report, _ = continued()
    assert report["winner"] == "at_fifo"
    won = next(one for one in report["results"] if one["confirmed"])
    assert won["speedup"]["confidence"] == pytest.approx(1.0 - left)  # half of what is left, at each side
    kept = report["results"]
    assert {one["candidate"]["scheduler"] for one in kept} == {"eevdf", "at_fifo", "at_vtime"}


@pytest.mark.slow
@pytest.mark.usefixtures("times")
def test_one_that_was_killed_before_its_race_says_that_there_is_nothing_to_continue() -> None:
    killed_in("baseline")
    assert "ended before any candidate was compared with EEVDF" in error_of(run("cc", "--continue"))
