# SPDX-License-Identifier: MIT
"""Words that misled or did not help: no next step, no word of a busy machine, thirty suggestions, two full stops,
another shell's completion, help with the types of the source.

Shown elsewhere: that `-i` keeps its questions on the screen (test_views.py).
"""

from __future__ import annotations

import ast
import itertools
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer.main

from autotune import cli, errors, events
from autotune.commands import completion, export, printing
from autotune.planner.offline import OfflinePlanner
from autotune.records import Candidate, CandidateResult, Metric, Outlook, Parameter, Proposal
from autotune.report import commands, json_document, markup, plain_text, sentences
from autotune.report import export as formats
from autotune.report.text import sentence
from autotune.schedext.catalogue import custom
from autotune.schedext.catalogue.catalog import Catalog
from autotune.verdict import stats
from autotune.views import wording
from tests.support import sessions
from tests.support.command_line import ROOT, run
from tests.support.person import at_terminal

CATALOG = Catalog.load()
AUTOTUNE = [sys.executable, "-m", "autotune"]


def shown(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    around = {**os.environ, "PYTHONPATH": str(ROOT), **environ}
    return subprocess.run([*AUTOTUNE, *arguments], capture_output=True, text=True, env=around, check=False)


# --- what to do next ---------------------------------------------------------------------------------------


def without_winner(*results: CandidateResult, **changed: Any) -> Any:
    ranked = (*results, sessions.result(Candidate("eevdf"), None))
    return sessions.session(results=ranked, winner=None, **changed)


def undecided(candidate: Candidate, estimate: float) -> CandidateResult:
    return sessions.result(
        candidate, "undecided", speedup=sessions.interval(estimate, estimate - 0.05, estimate + 0.05), runs=4
    )


def test_without_a_winner_the_leader_is_to_be_measured_for_longer_by_a_command_to_copy() -> None:
    session = without_winner(undecided(sessions.FIFO, 1.01), undecided(sessions.BATCH, 1.04), elapsed_s=161.0)
    says, command = commands.next_step(session, ["--machine", "vm", "--budget", "3m"])
    assert says == "Next: at_batch:slice_us=20000,stay=true is undecided; to measure it for longer:"
    assert command == (
        "autotune cc --budget 6m --scheduler at_batch:slice_us=20000,stay=true --machine vm -- 'make -j8'"
    )


def test_the_command_to_copy_is_short_and_measures_the_same() -> None:
    workload = replace(
        sessions.session().workload,
        name="build",
        prepare="make clean",
        timeout_s=30.0,
        metrics=(Metric("rps", "r (.*)"),),
    )
    session = without_winner(undecided(sessions.BATCH, 1.04), elapsed_s=161.0, workload=workload)
    given = ["--machine", "vm", "--budget", "3m", "--runs", "9", "--cpus", "4", "--replace-with", "x", "--lease", "9s"]
    command = commands.next_step(session, given)[1]
    assert command == (
        "autotune cc --budget 6m --scheduler at_batch:slice_us=20000,stay=true --machine vm --cpus 4"
        " --prepare 'make clean' --timeout 30s -- 'make -j8'"
    )
    plain = commands.short_command(session, 240.0, options=["--continue"])
    assert plain == "autotune cc --budget 4m --continue --prepare 'make clean' --timeout 30s -- 'make -j8'"


def test_the_command_to_copy_is_one_that_is_accepted_where_the_command_has_parameters() -> None:
    """A candidate is named with its value in the table, and without it to --scheduler."""
    knobs, params = (("slice_us", 20000),), (("jobs", "2"),)
    leader = undecided(Candidate("at_batch", knobs, params=params), 1.04)
    workload = replace(
        sessions.session().workload, command="make -j{jobs}", parameters=(Parameter("jobs", ("1", "2")),)
    )
    session = without_winner(leader, elapsed_s=161.0, workload=workload)
    words = shlex.split(commands.next_step(session)[1])
    name = words[words.index("--scheduler") + 1]
    assert CATALOG.parse_candidate(name) == Candidate("at_batch", knobs)
    assert words[words.index("--param") + 1] == "jobs=1,2"


def test_a_session_without_a_candidate_names_the_budget_to_give() -> None:
    baseline = sessions.session().baseline
    assert baseline is not None
    known = replace(baseline, detectable=None, wanted_s=420.0)
    session = without_winner(baseline=known, planner="offline")
    assert commands.next_step(session)[1] == "autotune cc --budget 7m -- 'make -j8'"
    by_user = replace(session, planner="user")
    assert commands.next_step(by_user) == ["Next: give --budget 7m, so that candidates can be tried."]
    assert sentences.detectable_sentence(known) == "This budget has no room to confirm a gain; --budget 7m has."


def test_the_command_to_copy_has_the_budget_that_would_show_the_gain() -> None:
    outlook = Outlook(sessions.FIFO.key, more_pairs=15, more_s=99.0, budget_s=420.0)
    session = without_winner(undecided(sessions.FIFO, 1.04), elapsed_s=161.0, outlook=outlook)
    assert "--budget 7m" in commands.next_step(session)[1]


def test_nobody_is_told_to_measure_longer_what_no_reasonable_number_of_runs_would_show() -> None:
    outlook = Outlook(sessions.FIFO.key, more_pairs=None, more_s=None, budget_s=None)
    session = without_winner(undecided(sessions.FIFO, 1.001), outlook=outlook)
    assert commands.next_step(session)[0].startswith("Next: keep EEVDF")


@pytest.mark.parametrize(
    ("results", "says"),
    [
        (
            [sessions.result(sessions.FIFO, "slower", speedup=sessions.interval(0.9, 0.8, 0.95))],
            "keep EEVDF, or try others",
        ),
        (
            [sessions.result(sessions.FIFO, "same", speedup=sessions.interval(1.0, 0.995, 1.004))],
            "keep EEVDF, or try others",
        ),
        ([sessions.result(sessions.FIFO, "invalid", runs=0, invalid_runs=2)], "'autotune doctor'"),
        ([], "a larger --budget"),
    ],
)
def test_without_a_winner_every_report_ends_in_a_next_step(results: list[CandidateResult], says: str) -> None:
    session = without_winner(*results)
    for report in (plain_text.plain_text(session), markup.markdown(session)):
        assert says in report.replace("\\", "")


@pytest.mark.parametrize("changed", [{"interrupted": True}, {"failure": "the micro-VM was lost"}, {"baseline": None}])
def test_a_session_that_ended_early_has_no_next_step_of_its_own(changed: dict[str, Any]) -> None:
    assert commands.next_step(without_winner(undecided(sessions.FIFO, 1.1), **changed)) == []


def test_with_a_winner_nothing_else_is_next() -> None:
    assert "Next:" not in plain_text.plain_text(sessions.session())


# --- a busy machine ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("about", sentences.CAUTIONS)
def test_every_report_repeats_that_the_machine_was_busy(about: str) -> None:
    warning = f"{about}: load 7.8 on 2 CPUs; results will be noisy"
    session = sessions.session(warnings=("another", warning))
    assert warning in plain_text.plain_text(session)
    assert warning in markup.markdown(session)
    assert warning in json_document.json_text(session)


# --- the first lines ---------------------------------------------------------------------------------------

LEFT_OUT = events.LeftOut({"it needs NUMA": ("scx_a", "scx_b"), "": ("scx_c", "scx_d")}, programs_here=True)


def test_what_is_not_proposed_is_listed_only_when_it_is_asked_for() -> None:
    assert wording.Wording().lines(LEFT_OUT) == []
    (only,) = wording.Wording().lines(replace(LEFT_OUT, programs_here=False))
    assert only.text == "2 more schedulers are not installed: 'autotune schedulers' says how to get more"
    whole = [line.text for line in wording.Wording(verbose=True).lines(LEFT_OUT)]
    assert whole[:2] == ["Not proposed here:", "  scx_a, scx_b: it needs NUMA"]
    assert "2 more schedulers are not installed" in whole[2]


def test_candidates_with_the_same_reason_share_its_line() -> None:
    proposals = tuple(
        Proposal(one, why) for one, why in ((sessions.FIFO, "a"), (sessions.BATCH, "b"), (sessions.VTIME, "a"))
    )
    lines = [line.text for line in wording.Wording().lines(events.Proposed("offline", proposals))]
    assert lines[1:] == ["  at_fifo:slice_us=5000, at_vtime", "    A.", "  at_batch:slice_us=20000,stay=true", "    B."]


# --- names that do not exist -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("at_fif", "did you mean 'at_fifo'?"),
        ("bpflnd", "did you mean 'scx_bpfland'?"),
        ("lavdd", "did you mean 'scx_lavd'?"),
        ("zzz", "'autotune schedulers' lists them"),
        ("", "'autotune schedulers' lists them"),
        ("at_fifo:slice=1", "did you mean 'slice_us'?"),
        ("scx_lavd:zzz=1", "'autotune schedulers show scx_lavd' lists them"),
        ("scx_lavd:mode=sever", "did you mean 'server'?"),
        ("scx_lavd:mode=zzz", "there are: "),
    ],
)
def test_a_wrong_name_is_answered_with_a_few_near_ones_or_where_to_look(wrong: str, says: str) -> None:
    with pytest.raises(errors.UsageError) as refused:
        CATALOG.parse_candidate(wrong)
    assert says in refused.value.hint
    assert len(printing.error_line(refused.value)) < 160


# --- full stops --------------------------------------------------------------------------------------------

TWO_STOPS = re.compile(r"[?!]\.|(?<!\.)\.\.(?!\.)|\.;|:\.|;\.")


@pytest.mark.parametrize("end", ["", ".", "?", "!", "...", ":", ";", ". ", "?\n", ").", "'show'?"])
@pytest.mark.parametrize("kind", [errors.AutotuneError, errors.UsageError, errors.PlannerError])
def test_an_error_ends_in_one_stop_however_its_parts_end(kind: type[errors.AutotuneError], end: str) -> None:
    line = printing.error_line(kind(f"it is wrong{end}", hint=f"mend it{end}"))
    assert not TWO_STOPS.search(line), line
    assert line.endswith((".", "?", "!"))


@pytest.mark.parametrize("end", ["", ".", "?", "!", "..."])
def test_a_line_about_an_event_has_no_two_stops(end: str) -> None:
    said = f"so it is{end}"
    words = wording.Wording(verbose=True)
    proposal = sessions.result(sessions.FIFO, None)
    lines = [
        *words.lines(events.PlannerChosen("offline", said)),
        *words.lines(events.MachineReady(sessions.machine(why=said), sessions.workload())),
        *words.lines(events.Proposed("x", (Proposal(proposal.candidate, said, said),))),
        *words.lines(events.Dropped("at_fifo", said)),
    ]
    assert [line.text for line in lines if TWO_STOPS.search(line.text)] == []


def test_a_wrong_command_is_answered_with_one_stop() -> None:
    said = shown("schedulers", "shwo")
    assert (said.returncode, said.stderr.count("\n")) == (2, 1)
    assert "Did you mean 'show'? " in said.stderr
    assert not TWO_STOPS.search(said.stderr)


def texts_of_errors() -> Iterator[tuple[str, str]]:
    """The literal ends of what errors say, in the whole package."""
    for path in (ROOT / "autotune").glob("**/*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            name = getattr(node.func, "id", getattr(node.func, "attr", "")) if isinstance(node, ast.Call) else ""
            if not isinstance(node, ast.Call) or not (name.endswith("Error") or name in ("Interrupted", "MachineLost")):
                continue
            for text in [*node.args[:1], *(word.value for word in node.keywords if word.arg == "hint")]:
                last = text.values[-1] if isinstance(text, ast.JoinedStr) and text.values else text
                if isinstance(last, ast.Constant) and isinstance(last.value, str):
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", last.value


@pytest.mark.slow
def test_no_error_of_the_package_brings_its_own_full_stop() -> None:
    found = dict(texts_of_errors())
    assert len(found) > 100
    assert [where for where, text in found.items() if text.rstrip().endswith((".", ":", ";", ","))] == []


def test_a_sentence_keeps_its_own_mark() -> None:
    assert [sentence(text) for text in ("a", "a.", "a..", "a?", "a...", "a:", "")] == [
        "a.", "a.", "a.", "a?", "a...", "a.", "",
    ]  # fmt: skip


# --- who leads ---------------------------------------------------------------------------------------------


def test_only_one_candidate_is_said_to_lead() -> None:
    results = tuple(
        sessions.outcome(key, "undecided", speedup)
        for key, speedup in (("at_fifo", 1.03), ("at_vtime", 1.02), ("at_batch", 1.01))
    )
    reasons = " ".join(one.reason for one in OfflinePlanner(CATALOG)._later(sessions.a_situation(results=results)))
    assert {name for name in ("at_fifo", "at_vtime", "at_batch") if f"{name} leads" in reasons} == {"at_fifo"}
    assert "at_vtime comes second" in reasons
    assert "at_batch comes third" in reasons


# --- the work was done already -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first_s", "later_s", "is_done"),
    [
        (0.12, 0.02, False),  # a program that was not in memory
        (0.45, 0.05, False),
        (2.0, 0.05, True),  # a build
        (12.0, 2.9, True),
        (2.0, 1.5, False),
    ],
)
def test_a_cold_start_is_not_taken_for_work_that_was_done_already(
    first_s: float, later_s: float, is_done: bool
) -> None:
    kinds = [one.kind for one in stats.cautions([first_s, later_s, later_s, later_s], prepared=False)]
    assert ("already done" in kinds) is is_done


# --- profiles ----------------------------------------------------------------------------------------------

WITH_PROFILES = [
    (one.name, name)
    for one in CATALOG.schedulers
    for name, settings in one.modes.items()
    if one.profile_of(settings) == name
]


@pytest.mark.parametrize(("scheduler", "profile"), WITH_PROFILES)
def test_a_profile_keeps_its_name_and_its_settings(scheduler: str, profile: str) -> None:
    candidate = CATALOG.parse_candidate(f"{scheduler}:mode={profile}")
    assert candidate.short == f"{scheduler}:mode={profile}"
    assert CATALOG.parse_candidate(candidate.short) == CATALOG.parse_candidate(candidate.key) == candidate
    assert CATALOG.parse_candidate(candidate.key).short == candidate.short


def test_a_profile_has_its_name_in_table_conclusion_and_repeat_line() -> None:
    candidate = CATALOG.parse_candidate("scx_lavd:mode=server")
    won = sessions.result(candidate, "faster", speedup=sessions.interval(1.1, 1.05, 1.2), confirmed=True)
    session = sessions.session(
        results=(won, sessions.result(Candidate("eevdf"), None)),
        winner=candidate.key,
        machine=sessions.machine(kind="host"),
    )
    report = plain_text.plain_text(session)
    assert candidate.key not in report
    for line in (
        "1  scx_lavd:mode=server ",
        "Use scx_lavd:mode=server: ",
        "--scheduler scx_lavd:mode=server",
        "apply scx_lavd:mode=server",
    ):
        assert line in report


def test_a_profile_with_another_knob_is_spelled_out() -> None:
    assert "mode=" not in CATALOG.parse_candidate("scx_bpfland:mode=server,slice_us=4321").short


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ("scx_lavd:mode=gaming", "gaming"),
        ("scx_bpfland:mode=lowlatency", "lowlatency"),
        ("scx_bpfland:slice_us=4321", "auto"),
    ],
)
def test_scx_loader_gets_the_settings_under_the_mode_of_their_profile(text: str, mode: str) -> None:
    candidate = CATALOG.parse_candidate(text)
    without_name = Candidate(candidate.scheduler, candidate.knobs)  # as the knowledge keeps it
    config = formats.text("scx-loader", export.winner(without_name, "a test", CATALOG, needs_path=False))
    assert f'default_mode = "{formats.LOADER_MODES[mode]}"' in config
    assert f"\n{mode}_mode = [" in config


# --- completion --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("at_fi", ["at_fifo"]),
        ("at_fifo:sl", ["at_fifo:slice_us="]),
        ("scx_lavd:mode=se", ["scx_lavd:mode=server"]),
        ("scx_la", ["scx_lavd", "scx_layered"]),
        ("lav", ["lavd"]),
        ("lavd:mode=se", ["lavd:mode=server"]),
        ("at_batch:slice_us=1,lo", ["at_batch:slice_us=1,long_first="]),
        ("at_batch:long_first=", ["at_batch:long_first=true", "at_batch:long_first=false"]),
        ("at_batch:long_first=true,long", []),
        ("nothing:x", []),
    ],
)
def test_a_candidate_is_completed_step_by_step(typed: str, offered: list[str]) -> None:
    assert completion.candidates(typed) == offered


def commands_of(group: Any, before: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in getattr(group, "commands", {}).items():
        yield (*before, name), command
        yield from commands_of(command, (*before, name))


ALL_COMMANDS = {" ".join(words): command for words, command in commands_of(typer.main.get_command(cli.app))}
OF_A_FEW = re.compile(r"(?!FILE\|-).*\|.*|NAME\[:KNOB.*|WHO|TYPE|CLIENT|SHELL", re.IGNORECASE)
"""How help names what can only be one of a few: choices, schedulers with their settings."""
OF_SCHEDULERS = {"NAME", "A", "B"}
"""The same below `schedulers`."""


@pytest.mark.parametrize("name", ALL_COMMANDS)
def test_what_can_only_be_one_of_a_few_is_completed(name: str) -> None:
    for one in ALL_COMMANDS[name].params:
        metavar = one.metavar or ""
        if OF_A_FEW.fullmatch(metavar) or (name.startswith("scheduler") and metavar in OF_SCHEDULERS):
            assert one._custom_shell_complete is not None, (one.opts, metavar)


def test_schedulers_of_ones_own_are_completed_with_and_without_their_prefix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert completion.own_schedulers("") == []
    for name in ("mine", "mild"):
        (custom.directory() / name).mkdir(parents=True)
        (custom.directory() / name / custom.ENTRY).touch()
    assert completion.own_schedulers("mi") == ["mild", "mine"]
    assert completion.own_schedulers("custom:min") == ["custom:mine"]
    assert completion.goals("m") == ["min", "max"]
    assert completion.goals("p99:ma") == ["p99:max"]
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    assert completion.own_schedulers("") == []


def test_what_is_offered_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completion, "_known", lambda: CATALOG.schedulers)  # read once, not for each of hundreds
    for one in CATALOG.schedulers:
        for name in (setting.removesuffix("=") for setting in completion.candidates(f"{one.name}:")):
            for offered in completion.candidates(f"{name}="):
                settings = offered.partition(":")[2]
                knob, _, value = settings.partition("=")
                assert (knob == "mode" and value in one.modes) or one.knob(knob).parse(value) is not None


NAMES = ("autotune sched\tsh\tscx_rust\t", "autotune schedulers show scx_rust")
OPEN_KNOB = ("autotune cc --scheduler at_fifo:sl\t7", "autotune cc --scheduler at_fifo:slice_us=7")
PROFILE = ("autotune cc --scheduler scx_lavd:mode=se\t", "autotune cc --scheduler scx_lavd:mode=server")
OPTION = ("autotune cc --plan\tof\t", "autotune cc --planner offline")
CHOICE = ("autotune cc --planner se\t", "autotune cc --planner search")
EXPORT = ("autotune export sy\t", "autotune export systemd")
PATHS = ("autotune cc --json /etc/passw\t", "autotune cc --json /etc/passwd")
READY = 'PS1="rea""dy: "'
"""Quotes within the word: the line that is typed does not end in the prompt."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shell", "begins", "cases"),
    [
        (
            ("bash", "--norc", "--noprofile", "-i"),
            f'eval "$(autotune completion bash)"; {READY}',
            (NAMES, OPEN_KNOB, PROFILE, OPTION, CHOICE, EXPORT),
        ),
        (("zsh", "-f", "-i"), f'eval "$(autotune completion zsh)"; {READY}', (NAMES, OPEN_KNOB, PROFILE, PATHS)),
        (
            ("zsh", "-f", "-i"),
            f'autoload -U compinit; compinit -u; eval "$(autotune completion zsh)"; {READY}',
            (OPEN_KNOB,),
        ),
        (
            ("zsh", "-f", "-i"),
            f"autotune completion zsh >_autotune; fpath=($HOME $fpath); autoload -U compinit; compinit -u; {READY}",
            (OPEN_KNOB,),
        ),
        (
            ("fish", "--no-config", "-i"),
            'autotune completion fish | source; function fish_prompt; echo "rea""dy: "; end',
            (OPEN_KNOB, EXPORT),
        ),
    ],
    ids=["bash", "zsh", "zsh after compinit", "zsh from a file", "fish"],
)
def test_real_shells_complete_at_a_terminal(
    tmp_path: Path, shell: tuple[str, ...], begins: str, cases: tuple[tuple[str, str], ...]
) -> None:
    if shutil.which(shell[0]) is None:
        pytest.skip(f"no {shell[0]} is here")
    program = tmp_path / "autotune"
    program.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m autotune "$@"\n')
    program.chmod(0o755)
    environ = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PS1": "> ", "HOME": str(tmp_path)}
    with at_terminal(list(shell), environ=environ, cwd=tmp_path) as person:
        person.types(f"{begins}\n")
        person.waits_for("ready:")
        for typed, becomes in cases:
            person.types(typed)
            person.waits_for(becomes)
            person.types("\x15")


@pytest.mark.first
@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_zsh_and_fish_ask_in_their_own_way_and_are_answered(shell: str) -> None:
    script = shown("completion", shell).stdout
    assert "_AUTOTUNE_COMPLETE=complete_fish" in script
    said = shown(
        _AUTOTUNE_COMPLETE="complete_fish",
        _TYPER_COMPLETE_ARGS="autotune cc --scheduler at_fifo:sl",
        _TYPER_COMPLETE_FISH_ACTION="get-args",
    )
    assert "at_fifo:slice_us=" in said.stdout


def test_an_unknown_shell_is_refused_in_one_line() -> None:
    said = shown("completion", "tcsh")
    assert said.returncode == 2
    assert "bash, zsh, fish" in said.stderr


@pytest.mark.parametrize(
    ("above", "of_login", "own"),
    [
        (["fish"], "bash", "fish"),
        (["-zsh"], "bash", "zsh"),
        (
            ["bash scripts/autotune --show-completion", "zsh"],
            "bash",
            "zsh",
        ),  # a shell that runs a script is not the user's
        (["bash -c autotune", "make", "fish -i"], "bash", "fish"),
        (["bash -c autotune"], "/usr/bin/zsh", "zsh"),
        (["sh", "cron"], "/bin/tcsh", "bash"),
    ],
)
def test_the_shell_is_the_one_that_the_user_types_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, above: list[str], of_login: str, own: str
) -> None:
    for number, command in enumerate(above, 100):
        place = tmp_path / str(number)
        place.mkdir()
        (place / "cmdline").write_bytes(b"".join(word.encode() + b"\0" for word in command.split()))
        (place / "stat").write_text(f"{number} (a ) b) S {number + 1} 1 1")
    monkeypatch.setenv("SHELL", of_login)
    assert completion.own_shell(tmp_path, 100) == own


# --- help --------------------------------------------------------------------------------------------------

HELP = [[], *(name.split() for name in ALL_COMMANDS if not name.startswith("scheduler "))]


@pytest.mark.parametrize("command", HELP, ids=" ".join)
@pytest.mark.parametrize("columns", [80, 120])
def test_help_is_for_people(command: list[str], columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    text = run(*command, "--help").stdout
    assert "Usage: " in text
    assert "{" not in text.partition("╭")[0]
    assert not re.search(r"<(?:bool|str|path|int|list.*?)>", text)
    assert max(map(len, text.splitlines())) <= columns
    prose = [line.strip() for line in text.partition("╭")[0].splitlines()]
    for line, after in itertools.pairwise(prose):
        if line and after and not line.startswith("Usage"):  # a line is full, or the paragraph ends
            assert len(line) + 1 + len(after.split()[0]) > columns - 4, (line, after)
