# SPDX-License-Identifier: MIT
"""`autotune export`, `apply` and `stop` as a user types them, on a host that cannot run schedulers."""

from __future__ import annotations

import importlib
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from autotune.knowledge.store import Knowledge
from autotune.machine import select
from autotune.records import Candidate, Parameter, Session
from autotune.report import json_document
from autotune.schedext.catalogue import custom
from tests.support import sessions
from tests.support.command_line import error_of, run

tomllib: Any = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")


@pytest.fixture(autouse=True)
def _own_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def a_session(winner: Candidate | None, **changed: Any) -> Session:
    """One that ran in the current directory."""
    results = [sessions.result(Candidate("eevdf"), None)]
    if winner is not None:
        results.insert(0, sessions.result(winner, "faster", speedup=sessions.interval(1.12, 1.08, 1.16)))
    key = winner.key if winner is not None else None
    workload = sessions.workload(cwd=os.getcwd())
    return sessions.session(winner=key, results=tuple(results), workload=workload, **changed)


def remember(session: Session) -> None:
    with Knowledge() as memory:
        memory.record(session)


def rusty() -> Candidate:
    """A real entry of the catalogue with a real knob of its own."""
    entry = custom.catalog().get("scx_rusty")
    switch = next(knob for knob in entry.knobs if knob.type == "boolean" and not knob.requires and not knob.conflicts)
    return Candidate("scx_rusty", ((switch.name, True),))


# --- the winner ---


def test_the_winner_of_the_last_session_in_this_directory_is_exported() -> None:
    remember(a_session(rusty(), started_at=1.0))
    remember(a_session(sessions.FIFO, started_at=2.0))
    remember(replace(a_session(rusty(), started_at=3.0), workload=sessions.workload(cwd="/elsewhere")))
    done = run("export", "systemd")
    assert done.exit_code == 0, done.stderr
    assert "apply at_fifo:slice_us=5000" in done.stdout
    assert "Won for 'make -j8'" in done.stdout
    assert "1.120 times EEVDF's speed [1.080, 1.160]" in done.stdout


def test_the_winner_of_a_report_is_exported(tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    file.write_text(json_document.json_text(a_session(rusty())))
    done = run("export", "scx-loader", "--from", str(file))
    assert done.exit_code == 0, done.stderr
    written = tomllib.loads(done.stdout)
    assert written["default_sched"] == "scx_rusty"
    assert len(written["scheds"]["scx_rusty"]["auto_mode"]) == 1


def test_a_winner_with_parameters_is_exported_without_them_and_the_origin_names_the_value(tmp_path: Path) -> None:
    won = replace(rusty(), params=(("jobs", "8"),))
    swept = sessions.workload(command="make -j{jobs}", cwd=os.getcwd(), parameters=(Parameter("jobs", ("2", "8")),))
    session = replace(a_session(won), workload=swept)
    file = tmp_path / "report.json"
    file.write_text(json_document.json_text(session))
    remember(session)
    for given in (("--from", str(file)), ()):
        done = run("export", "scx-loader", *given)
        assert done.exit_code == 0, done.stderr
        assert "Won for 'make -j{jobs}' with jobs=8" in done.stdout
        assert tomllib.loads(done.stdout)["default_sched"] == "scx_rusty"


def test_a_named_one_needs_no_session() -> None:
    assert run("export", "systemd", "--scheduler", "at_fifo:slice_us=9000").exit_code == 0


def test_a_session_without_a_winner_says_what_it_found_and_how_to_name_one() -> None:
    remember(a_session(None))
    done = run("export", "systemd")
    assert done.exit_code == 1
    assert "nothing beat EEVDF" in error_of(done)
    assert "--scheduler NAME" in error_of(done)


def test_without_any_session_that_is_said() -> None:
    done = run("export", "systemd")
    assert done.exit_code == 1
    assert "no session in this directory yet" in error_of(done)


def test_a_report_without_a_winner_says_its_own_recommendation(tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    file.write_text(json_document.json_text(a_session(None, recommendation="Stay with EEVDF.")))
    done = run("export", "tuned", "--from", str(file))
    assert done.exit_code == 1
    assert "Stay with EEVDF" in error_of(done)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"winner": 1}', "\x00"])
def test_what_is_no_report_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "report.json"
    file.write_text(text)
    done = run("export", "systemd", "--from", str(file))
    assert done.exit_code == 2
    assert "is not a report of autotune" in error_of(done)


# --- what cannot be ---


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("export", "nix"), "not one of scx-loader, systemd, tuned"),
        (("export", "systemd", "--scheduler", "at_nothing"), "no scheduler is called"),
        (("export", "systemd", "--scheduler", "at_fifo", "--from", "x.json"), "exclude each other"),
        (("export", "systemd", "--from", "absent.json"), "No such file"),
        (("export", "scx-loader", "--scheduler", "at_fifo"), "a BPF object"),
        (("apply", "at_nothing"), "no scheduler is called"),
        (("apply", "at_fifo:slice_us=never"), "takes a whole number"),
    ],
)
def test_bad_input_is_one_line_with_exit_code_2(arguments: tuple[str, ...], what: str) -> None:
    done = run(*arguments)
    assert done.exit_code == 2
    assert what in error_of(done)


def test_a_program_that_is_not_installed_has_no_path_for_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    from autotune.schedext.programs import binaries

    monkeypatch.setattr(binaries, "find", lambda *_args, **_named: None)
    done = run("export", "systemd", "--scheduler", "scx_rusty")
    assert done.exit_code == 1
    assert "scx_rusty" in error_of(done)
    assert run("export", "scx-loader", "--scheduler", "scx_rusty").exit_code == 0


# --- the file ---


def test_a_file_is_written_and_never_over_another_one_unasked(tmp_path: Path) -> None:
    file = tmp_path / "a.service"
    arguments = ("export", "systemd", "--scheduler", "at_fifo", "--output", str(file))
    done = run(*arguments)
    assert (done.exit_code, done.stdout) == (0, "")
    written = file.read_text()
    file.write_text("mine")
    again = run(*arguments)
    assert again.exit_code == 2
    assert "exists already" in error_of(again)
    assert file.read_text() == "mine"
    assert run(*arguments, "--force").exit_code == 0
    assert file.read_text() == written


def test_a_file_that_cannot_be_written_is_one_line() -> None:
    done = run("export", "systemd", "--scheduler", "at_fifo", "--output", "no/such/place")
    assert done.exit_code == 2
    assert "cannot be written" in error_of(done)


# --- apply and stop ---


def test_apply_needs_a_host_that_can(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(select, "host_problem", lambda: "the host kernel has no sched_ext")
    done = run("apply", "at_fifo")
    assert done.exit_code == 4
    assert "only be kept on the host: the host kernel has no sched_ext" in error_of(done)


def test_stop_without_anything_applied_is_fine() -> None:
    done = run("stop")
    assert done.exit_code == 0
    assert done.stdout.startswith("nothing is applied")
