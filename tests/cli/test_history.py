# SPDX-License-Identifier: MIT
"""`autotune history ...` and `autotune best` as a user types them."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from autotune.knowledge import versions
from autotune.knowledge.archive import History
from autotune.knowledge.store import Knowledge
from autotune.machine import here, select
from autotune.records import Candidate, MeasuredScheduler, Parameter, Session
from autotune.search import vectors
from tests.support import sessions
from tests.support.command_line import error_of, run

HOUR_S = 3600.0


@pytest.fixture(autouse=True)
def _own_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "200")


def remember(name: str, **changed: Any) -> Session:
    """Keep a session of the current directory that was three hours ago."""
    work = changed.pop("workload", sessions.workload(cwd=os.getcwd()))
    started_at = changed.pop("started_at", time.time() - 3 * HOUR_S - 1)
    session = sessions.session(id=name, workload=work, started_at=started_at, **changed)
    with Knowledge() as memory:
        memory.record(session)
    return session


# --- list, show, search ---


def test_nothing_is_said_of_no_sessions() -> None:
    assert run("history").stdout == "There was no session yet.\n"
    assert run("history", "list", "--here").stdout == "There was no session in this directory yet.\n"
    assert json.loads(run("history", "--json").stdout) == []
    assert run("history", "search", "x").exit_code == 1
    assert "no session in this directory yet" in error_of(run("history", "show", "--last"))


def test_each_session_is_a_line_with_its_age_place_and_result() -> None:
    remember("0a1b2c3d")
    remember("ffff0000", workload=sessions.workload(command="ninja", cwd="/elsewhere"), started_at=time.time())
    lines = run("history").stdout.splitlines()
    assert lines[0].split() == ["session", "when", "where", "kernel", "runs", "result", "command"]
    assert lines[1].startswith("ffff0000  just now")
    assert lines[2].startswith("0a1b2c3d  3 hours ago  emulated VM  6.18.15+deb13-amd64")
    assert lines[2].endswith("at_batch:slice_us=20000,stay=true 1.084  make -j8")
    assert len(run("history", "list", "--here").stdout.splitlines()) == 2
    found = json.loads(run("history", "list", "--json", "--limit", "1").stdout)
    assert [(one["name"], one["finding"]) for one in found] == [
        ("ffff0000", "won by at_batch:slice_us=20000,stay=true")
    ]


def test_a_report_is_printed_again() -> None:
    remember("0a1b2c3d", started_at=1.0)
    last = remember("0a1b9999")
    for arguments in (("--last",), ("0a1b9999",), ("0a1b9",)):
        shown = run("history", "show", *arguments)
        assert shown.exit_code == 0
        assert "Session 0a1b9999" in shown.stdout
        assert "1.084 [1.051, 1.118]  faster" in shown.stdout
    assert json.loads(run("history", "show", "--last", "--json").stdout)["id"] == last.id
    assert "may be one of several" in error_of(run("history", "show", "0a1b"))
    assert "one session is wanted" in error_of(run("history", "show"))


def test_sessions_are_found_by_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectors, "place", lambda: None)  # as without the extra `search`
    remember("0a1b2c3d")
    assert "0a1b2c3d" in run("history", "search", "make", "stall").stdout
    missing = run("history", "search", "ninja")
    assert (missing.exit_code, missing.stdout) == (1, "Nothing is known of 'ninja'.\n")


# --- compare ---


def test_two_sessions_are_shown_beside_each_other() -> None:
    remember("0a1b2c3d")
    remember("ffff0000", winner=None, results=sessions.results()[1:], machine=sessions.machine(kernel="6.19.1"))
    shown = run("history", "compare", "0a1b2c3d", "ffff0000").stdout
    assert "differs: the kernel was 6.18.15+deb13-amd64 and is 6.19.1" in shown
    assert "at_batch:slice_us=20000,stay=true  faster 1.084 [1.051, 1.118], confirmed  not tried" in shown
    assert shown.endswith("They differ: at_batch:slice_us=20000,stay=true and EEVDF.\n")
    same = json.loads(run("history", "compare", "0a1b2c3d", "0a1b2c3d", "--json").stdout)
    assert same["agreement"] == "Both found at_batch:slice_us=20000,stay=true."


# --- a session that measured nothing ---


def test_export_and_history_say_the_same_of_a_session_that_measured_nothing() -> None:
    remember("0a1b2c3d", baseline=None, results=(), winner=None, failure="the workload fails: exit code 2")
    finding = json.loads(run("history", "list", "--json").stdout)[0]["finding"]
    assert finding == "ended early without an answer ('the workload fails: exit code 2')"
    assert finding in error_of(run("export", "systemd"))
    assert "no answer" in run("history").stdout


def test_where_there_was_none_both_say_so() -> None:
    assert "there was no session in this directory yet" in error_of(run("export", "systemd"))
    assert "There was no session in this directory yet" in run("history", "list", "--here").stdout


# --- forget, export, import ---


def test_sessions_are_forgotten_one_by_one_or_all() -> None:
    for name in ("0a1b2c3d", "0a1b2c3e", "0a1b2c3f"):
        remember(name)
    assert "give one of --here and --all" in error_of(run("history", "forget"))
    assert "not known" in error_of(run("history", "forget", "0a1b2c3d", "dead"))
    assert run("history", "forget", "0a1b2c3d").stdout == "1 session forgotten\n"
    assert run("history", "forget", "--here").stdout == "2 sessions forgotten\n"
    assert run("history", "forget", "--all").stdout == "0 sessions forgotten\n"


def test_a_store_goes_out_and_comes_in_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remember("0a1b2c3d")
    remember("ffff0000", workload=sessions.workload(cwd="/elsewhere"))
    file = str(tmp_path / "all.json")
    assert run("history", "export", file).exit_code == 0
    assert "exists already" in error_of(run("history", "export", file))
    assert run("history", "export", file, "--force", "--here").exit_code == 0
    assert len(json.loads(Path(file).read_text())["sessions"]) == 1
    assert run("history", "import", file).stdout == "0 sessions and 0 workloads added, 1 known already\n"
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another"))
    assert run("history", "import", file).stdout == "1 session and 0 workloads added\n"
    assert "0a1b2c3d" in run("history").stdout


def test_a_report_comes_in_too(tmp_path: Path) -> None:
    remember("0a1b2c3d")
    (tmp_path / "report.json").write_text(run("history", "show", "--last", "--json").stdout)
    run("history", "forget", "--all")
    assert run("history", "import", str(tmp_path / "report.json")).stdout == "1 session and 0 workloads added\n"


def test_schedcps_file_goes_out_and_comes_in(tmp_path: Path) -> None:
    remember("0a1b2c3d")
    file = tmp_path / "schedcp_workloads.json"
    run("history", "export", str(file), "--schedcp")
    assert run("history", "import", str(file)).stdout == "0 sessions and 1 workload added\n"
    with Knowledge() as memory:
        (profile,) = History(memory).profiles()
    assert (profile["directory"], len(profile["notes"])) == (os.getcwd(), 5)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"kind": "autotune-history"}', "[" * 100, '"x"', "\xff"])
def test_a_file_that_holds_none_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "x").write_bytes(content.encode("latin-1"))
    assert run("history", "import", str(tmp_path / "x")).exit_code == 2


# --- best ---


def on_this_host(**changed: Any) -> Any:
    """A machine like this one."""
    now = here.whereabouts()
    return sessions.machine(
        kind="host", acceleration="none", kernel=now.kernel, cpus=now.cpus, cpu_model=now.cpu_model,
        memory_bytes=now.memory_bytes, topology=now.topology, **changed,
    )  # fmt: skip


def test_the_best_known_is_shown_with_evidence_age_and_what_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(select, "host_problem", lambda: None)
    remember("0a1b2c3d", machine=on_this_host())
    for command in (["make -j8"], ["--", "make", "-j8"]):
        shown = run("best", *command)
        assert shown.exit_code == 0
        said = " ".join(shown.stdout.split())
        assert "at_batch:slice_us=20000,stay=true is the best known for 'make -j8'" in said
        assert "Measured 3 hours ago on the host" in said
        assert "speedup over EEVDF 1.084 [1.051, 1.118]" in said
        assert "- it is not known which build of at_batch was measured" in said
        assert "autotune history show 0a1b2c3d" in said
    found = json.loads(run("best", "make -j8", "--json").stdout)["best"]
    assert (found["spec"], found["settings"]) == (sessions.BATCH.key, {"slice_us": 20000, "stay": True})
    assert found["age_s"] == pytest.approx(3 * HOUR_S, abs=100)
    assert len(found["stale"]) == 1


def test_where_only_a_micro_vm_can_run_one_it_is_compared_with_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(select, "host_problem", lambda: "the host kernel has no sched_ext")
    remember("0a1b2c3d")
    shown = run("best", "make -j8").stdout
    assert "Measured 3 hours ago in an emulated micro-VM" in shown
    assert "this is the host" not in shown


def test_where_none_is_known_it_says_so() -> None:
    remember("0a1b2c3d", winner=None, results=sessions.results()[1:])
    for command in ("make -j8", "ninja"):
        missing = run("best", command)
        assert missing.exit_code == 1
        assert missing.stdout.startswith(f"No scheduler is known to beat EEVDF for '{command}' here")
    assert json.loads(run("best", "ninja", "--json").stdout) == {
        "best": None, "kind": [], "bad": [], "best_values": None,
    }  # fmt: skip


def test_of_a_command_that_was_tried_with_several_values_the_best_ones_are_told() -> None:
    points = [(("jobs", value),) for value in ("4", "8")]
    won, slow = (Candidate("at_fifo", params=points[0]), Candidate("eevdf", params=points[0]))
    results = (
        sessions.result(won, "faster", speedup=sessions.interval(1.2, 1.1, 1.3), confirmed=True),
        sessions.result(Candidate("eevdf", params=points[1]), None),
        sessions.result(slow, "slower", speedup=sessions.interval(0.9, 0.8, 0.95)),
    )
    argv = ("sh", "-c", "make -j{jobs}")
    work = sessions.workload(cwd=os.getcwd(), command=argv[-1], argv=argv, parameters=(Parameter("jobs", ("4", "8")),))
    remember("0a1b2c3d", workload=work, winner=won.key, results=results)
    said = " ".join(run("best", "make -j4").stdout.split())
    assert "at_fifo is the best known for 'make -j4' (jobs=4 of the values that were tried) in" in said
    assert "speedup over EEVDF at its best values: 1.200" in said
    missing = run("best", "make -j8")
    assert missing.exit_code == 1
    told = "Of the values that session 0a1b2c3d tried, jobs=4 was the best, under at_fifo: make -j4"
    assert told in " ".join(missing.stdout.split())
    assert json.loads(run("best", "make -j8", "--json").stdout)["best_values"] == {
        "scheduler": "at_fifo", "values": "jobs=4", "command": "make -j4", "session": "0a1b2c3d",
    }  # fmt: skip


def test_what_is_known_to_be_no_good_is_listed_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(select, "host_problem", lambda: None)
    file = Path(__file__)
    build = MeasuredScheduler("binary", "x", "1", versions.of_file(str(file)), str(file), 1, 1)
    results = tuple(replace(one, attached=build) for one in sessions.results()[1:])
    for name in ("0a1b2c3d", "0a1b2c3e"):
        remember(name, winner=None, results=results, machine=on_this_host())
    shown = run("best", "--", "make", "-j8").stdout
    assert "Known to be no good for it here:" in shown
    said = " ".join(shown.split())
    assert "- at_interactive:slice_us=2000: it was shown slower twice here (sessions 0a1b2c3e, 0a1b2c3d)" in said
    assert "- at_vtime: it could not be used twice here (sessions 0a1b2c3e, 0a1b2c3d): ejected: runnable task" in said
    bad = json.loads(run("best", "make -j8", "--json").stdout)["bad"]
    assert [one["scheduler"] for one in bad] == ["at_interactive:slice_us=2000", "at_vtime"]


def test_options_of_the_command_are_explained() -> None:
    assert "put -- before it" in error_of(run("best", "make", "-j8"))


# --- by meaning, and notes ---


@pytest.mark.slow
def test_where_no_session_has_all_words_the_nearest_are_told_as_such() -> None:
    remember("0a1b2c3d")
    remember("ffff0000", workload=sessions.workload(command="sort big.txt", cwd="/elsewhere"))
    found = run("history", "search", "make", "zebra")
    assert found.exit_code == 0
    lines = found.stdout.splitlines()
    assert lines[0] == "No session has all of these words; the nearest:"
    assert "0a1b2c3d" in lines[2]
    [exact] = json.loads(run("history", "search", "make", "--json").stdout)
    assert (exact["name"], exact["has_all_words"]) == ("0a1b2c3d", True)
    assert json.loads(run("history", "search", "make", "zebra", "--json").stdout)[0]["has_all_words"] is False
    assert run("history", "search", '"); DROP TABLE sessions; --').exit_code in (0, 1)


def test_notes_of_models_are_searched_on_demand() -> None:
    assert run("history", "search", "--notes", "linker").exit_code == 1
    with Knowledge() as memory:
        profile = memory.create_profile("a kernel build", "/src")
        memory.add_profile_note(profile, None, "at_batch", "the linker runs alone at the end", "/src")
        memory.add_profile_note(profile, None, None, "nothing else matters", "/src")
    found = run("history", "search", "--notes", "linker")
    assert found.exit_code == 0
    assert "workload-1, just now (at_batch): the linker runs alone at the end" in found.stdout
    first = json.loads(run("history", "search", "--notes", "linker", "--json").stdout)[0]
    assert (first["result"], first["directory"]) == ("the linker runs alone at the end", "/src")
