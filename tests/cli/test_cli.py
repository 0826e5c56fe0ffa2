# SPDX-License-Identifier: MIT
"""The command line: how arguments become a session, what is printed where, and the exit codes.

Here the tuner is replaced by one that tells a prepared story, so that every ending can be had at once; sessions
with a real machine are tested in tests/vm.
"""

from __future__ import annotations

import csv
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

import autotune
from autotune import cli
from autotune.commands import requirements
from autotune.errors import AttachError, MachineLost, NoMachineError, WorkloadError
from autotune.machine import select
from autotune.machine.vm import kernels
from autotune.records import Candidate
from autotune.report import json_document
from autotune.session import start
from autotune.session.busy import MachineBefore
from autotune.views.checks import Check
from tests.support import sessions
from tests.support.command_line import ROOT, SESSION, Story, at_terminal, error_of, run

# --- the session as the user described it ---


@pytest.mark.usefixtures("story")
def test_a_setting_that_changes_nothing_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start.Engine, "require", lambda *_: None)
    result = run("cc", "--scheduler", "scx_rusty:cache_level=2", "true")
    assert result.exit_code == 0
    assert "scx_rusty: knob 'cache_level' is accepted but has no effect" in " ".join(result.stdout.split())


def test_what_keeps_the_machine_busy_before_the_session_is_passed_to_it(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start, "watch", lambda: MachineBefore("This machine is busy: load 9", 1.5))
    assert run("cc", "true").exit_code == 0
    assert (story.options.known_before, story.options.others_before) == (("This machine is busy: load 9",), 1.5)


def test_one_argument_is_a_command_line_for_sh(story: Story) -> None:
    result = run("cc", "make -j8 | tail")
    assert result.exit_code == 0
    assert (story.workload.command, story.workload.argv) == ("make -j8 | tail", ("sh", "-c", "make -j8 | tail"))
    assert story.workload.cwd == str(Path.cwd())
    assert story.workload.env["PATH"] == os.environ["PATH"]


@pytest.mark.parametrize(
    "arguments",
    [("--", "./load", "--prepare", "a b"), ("--warmup", "2", "--", "./load", "--prepare", "a b")],
)
def test_several_arguments_are_executed_as_given(story: Story, arguments: tuple[str, ...]) -> None:
    run("cc", *arguments)
    assert story.workload.argv == ("./load", "--prepare", "a b")
    assert story.workload.command == "./load --prepare 'a b'"
    assert story.workload.prepare is None


def test_options_may_follow_the_command(story: Story) -> None:
    run("cc", "make", "--prepare", "make clean")
    assert story.workload.prepare == "make clean"


def test_all_options_reach_the_session(story: Story, tmp_path: Path) -> None:
    (tmp_path / "in").write_text("x")
    (tmp_path / "vmlinuz").write_text("x")
    result = run(
        "cc", "./load", "--prepare", "p", "--setup", "s", "--cleanup", "c", "--warmup", "2", "--min-runs", "4",
        "--max-runs", "6", "--budget", "1h30m", "--timeout", "90s", "--metric", r"(\d+)", "--goal", "max",
        "--ignore-failure", "--input", str(tmp_path / "in"), "--show-output", "--pristine", "--machine", "vm",
        "--kernel", str(tmp_path / "vmlinuz"), "--cpus", "2", "--memory", "2G", "--keep-writes", "out", "--seed", "7",
        "--scheduler", "at_fifo:slice_us=5000", "--scheduler", "at_batch",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    workload, options = story.workload, story.options
    assert (workload.prepare, workload.setup, workload.cleanup) == ("p", "s", "c")
    assert (workload.timeout_s, workload.metric_regex, workload.goal) == (90.0, r"(\d+)", "max")
    assert (workload.ignore_failure, workload.pristine) == (True, True)
    assert workload.input_path == str(tmp_path / "in")
    assert (options.warmup, options.min_rounds, options.max_rounds) == (2, 4, 6)
    assert (options.budget_s, options.seed, options.show_output) == (5400.0, 7, True)
    assert options.user_candidates == (Candidate("at_fifo", (("slice_us", 5000),)), Candidate("at_batch"))
    choice = story.choice
    assert (choice["kind"], choice["cpus"], choice["memory_bytes"]) == ("vm", 2, 2 << 30)
    assert (choice["kernel"], choice["keep_writes"]) == (tmp_path / "vmlinuz", Path("out"))
    assert (choice["place"].pristine, choice["place"].cwd) == (True, str(Path.cwd()))


# --- what hyperfine's users type ---


@pytest.mark.parametrize(
    "flags", [("-N",), ("--shell=none",), ("--shell", "none"), ("-S", "none"), ("-N", "-S", "none")]
)
def test_without_a_shell_one_argument_is_split_into_words(story: Story, flags: tuple[str, ...]) -> None:
    assert run("cc", *flags, "./load --for '5 s' | tail").exit_code == 0
    assert story.workload.argv == ("./load", "--for", "5 s", "|", "tail")
    assert story.workload.command == "./load --for '5 s' | tail"


@pytest.mark.parametrize(
    ("shell", "words"),
    [("bash", ("bash",)), ("bash --norc", ("bash", "--norc")), ("/bin/sh", ("/bin/sh",)), ("default", ("sh",))],
)
def test_a_shell_may_be_chosen_with_its_options(story: Story, shell: str, words: tuple[str, ...]) -> None:
    assert run("cc", "--shell", shell, "make -j8").exit_code == 0
    assert story.workload.argv == (*words, "-c", "make -j8")
    assert story.workload.shell == words


def test_several_arguments_have_no_shell_whatever_they_are(story: Story) -> None:
    run("cc", "-N", "--", "bash", "-c", "a b")
    assert (story.workload.argv, story.workload.shell) == (("bash", "-c", "a b"), ())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("-N", "--shell=bash", "true"), "-N is --shell=none"),
        (("--shell", "bash", "--", "a", "b"), "several are executed as they are"),
        (("--shell", "", "true"), "--shell is empty"),
        (("--shell", "bash 'x", "true"), "cannot be split"),
        (("-N", "a 'b"), "cannot be split"),
        (("-N", "''"), "is empty"),
        (("-n", " ", "true"), "--command-name is empty"),
        (("--ignore-failure=", "true"), "'' is no list of exit codes"),
        (("--ignore-failure=1,,2", "true"), "no list of exit codes"),
        (("--ignore-failure=256", "true"), "no list of exit codes"),
        (("--ignore-failure=-1", "true"), "no list of exit codes"),
        (("--ignore-failure=true", "true"), "no list of exit codes"),
        (("-i", "true"), "--interactive needs a terminal"),
        (("-i", "true"), "hyperfine's -i"),
        (("-i1", "true"), "-i takes no value"),
        (("-i=1,2", "true"), "--ignore-failure=CODES"),
        (("--style", "loud", "true"), "not one of auto, basic"),
        (("--style", "none", "--show-output", "true"), "--show-output shows nothing"),
        (("--style=none", "-i", "true"), "needs a terminal"),
    ],
)
@pytest.mark.usefixtures("story")
def test_what_makes_no_sense_is_a_usage_error(arguments: tuple[str, ...], said: str) -> None:
    result = run("cc", *arguments)
    assert result.exit_code == 2
    assert said in error_of(result)


@pytest.mark.first
@pytest.mark.parametrize(
    ("flags", "codes"),
    [
        (("--ignore-failure",), ()),
        (("--ignore-failure=all-non-zero",), ()),
        (("--ignore-failure=1",), (1,)),
        (("--ignore-failure=137, 2,2",), (2, 137)),
    ],
)
@pytest.mark.parametrize("after", [False, True])
def test_failures_are_ignored_all_or_by_exit_code(
    story: Story, flags: tuple[str, ...], codes: tuple[int, ...], after: bool
) -> None:
    """The option never takes the next word as its value: that is the command."""
    assert run("cc", *(("make", *flags) if after else (*flags, "make"))).exit_code == 0
    assert story.workload.command == "make"
    assert (story.workload.ignore_failure, story.workload.ignored_exits) == (True, codes)


def test_behind_two_dashes_it_is_the_commands_own_option(story: Story) -> None:
    run("cc", "--", "./load", "--ignore-failure", "-i1")
    assert story.workload.argv == ("./load", "--ignore-failure", "-i1")
    assert not story.workload.ignore_failure


def test_a_command_that_fails_under_i_says_what_i_means(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autotune.commands.asking.at_terminal", lambda _stream: True)
    for flags, advised in ((("-i",), True), ((), False)):
        story.raises = WorkloadError("it fails", hint="make it succeed first, or use --ignore-failure")
        said = error_of(run("cc", *flags, "true"))
        assert ("--ignore-failure (not -i, which asks before each scheduler is attached)" in said) == advised


@pytest.mark.parametrize("flag", ["--conclude", "-C"])
def test_a_conclude_command_reaches_the_session(story: Story, flag: str) -> None:
    assert run("cc", flag, "rm -f db", "make").exit_code == 0
    assert story.workload.conclude == "rm -f db"


@pytest.mark.parametrize("flag", ["--command-name", "-n"])
def test_a_name_is_shown_instead_of_the_command_and_kept_in_every_report(story: Story, flag: str) -> None:
    run("cc", flag, "the build", "make -j8")
    story.session = sessions.session(workload=story.workload)
    result = run("cc", flag, "the build", "make -j8", "--json", "a.json", "--export-markdown", "a.md",
                 "--export-json", "b.json", "--export-html", "a.html")  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "Command: the build: make -j8" in result.stdout
    assert "\nthe build\n" in result.stdout
    assert "--command-name 'the build'" in result.stdout
    document = json.loads(Path("a.json").read_text())
    assert (document["workload"]["name"], document["workload"]["command"]) == ("the build", "make -j8")
    assert Path("a.md").read_text().startswith("## autotune: the build\n")
    assert {one["command"] for one in json.loads(Path("b.json").read_text())["results"]} == {"the build"}
    assert "<title>autotune: the build</title>" in Path("a.html").read_text()


MOVES, COLOURED = "\x1b[?25l", "\x1b[1m"


@pytest.mark.first
@pytest.mark.parametrize(
    ("style", "moves", "coloured"),
    [("auto", 0, 0), ("basic", 0, 0), ("nocolor", 0, 0), ("color", 0, 1), ("full", 1, 1)],
)
@pytest.mark.parametrize("how", ["flag", "variable"])
@pytest.mark.usefixtures("story")
def test_a_style_goes_before_what_a_pipe_can_show(
    monkeypatch: pytest.MonkeyPatch, how: str, style: str, moves: bool, coloured: bool
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    if how == "variable":
        monkeypatch.setenv("AUTOTUNE_STYLE", style)
    result = run("cc", *(["--style", style] if how == "flag" else []), "true")
    assert result.exit_code == 0
    assert (MOVES in result.stdout, COLOURED in result.stdout) == (moves, coloured)
    assert "\x1b[1;32m" in result.stdout or not coloured
    assert "To repeat it:" in result.stdout
    assert "--style" not in result.stdout


@pytest.mark.usefixtures("story")
def test_the_silent_style_shows_errors_alone() -> None:
    result = run("cc", "--style", "none", "--json", "a.json", "true")
    assert (result.exit_code, result.output) == (0, "")
    assert json.loads(Path("a.json").read_text())["winner"]
    assert json.loads(run("cc", "--style=none", "--json", "-", "true").stdout)["winner"]
    assert "--budget" in error_of(run("cc", "--style=none", "--budget", "x", "true"))


def test_a_project_does_not_choose_the_style() -> None:
    Path("autotune.toml").write_text('style = "none"\n')
    assert "it is about your terminal" in error_of(run("cc", "true"))


@pytest.mark.parametrize(
    ("arguments", "least", "most"),
    [(("-m", "9"), 9, 9), (("-M", "2"), 2, 2), (("-m3",), 3, 4), (("-M", "9"), 2, 9), (("-m", "5", "-M", "6"), 5, 6)],
)
def test_one_bound_of_the_runs_is_enough(story: Story, arguments: tuple[str, ...], least: int, most: int) -> None:
    assert run("cc", *arguments, "true").exit_code == 0
    assert (story.options.min_rounds, story.options.max_rounds) == (least, most)


@pytest.mark.usefixtures("story")
def test_two_bounds_that_exclude_each_other_are_named_with_their_places() -> None:
    Path("autotune.toml").write_text("min_runs = 5\n")
    assert "min_runs in ./autotune.toml is 5, more than --max-runs, which is 4" in error_of(
        run("cc", "-M", "4", "true")
    )


@pytest.mark.parametrize("flag", ["--runs", "-r"])
def test_an_exact_number_of_runs_reaches_the_session(story: Story, flag: str) -> None:
    assert run("cc", flag, "5", "true").exit_code == 0
    assert (story.options.min_rounds, story.options.max_rounds, story.options.most_pairs) == (5, 5, 5)


def test_settings_come_from_variables_and_files_too(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("autotune.toml").write_text('budget = "5m"\nmax_runs = 6\n')
    monkeypatch.setenv("AUTOTUNE_MAX_RUNS", "8")
    run("cc", "true")
    assert (story.options.budget_s, story.options.max_rounds) == (300.0, 8)


def test_without_a_seed_each_session_has_its_own(story: Story) -> None:
    run("cc", "true")
    first = story.options.seed
    run("cc", "true")
    assert first != story.options.seed


# --- what is printed and written ---


@pytest.mark.usefixtures("story")
def test_off_a_terminal_everything_is_plain_lines() -> None:
    result = run("cc", "make -j8")
    assert "\x1b" not in result.stdout
    assert "Runs on a micro-VM under emulation" in result.stdout
    assert "Use at_batch:slice_us=20000,stay=true" in result.stdout
    assert result.stderr == ""


@pytest.mark.usefixtures("story")
def test_the_command_to_repeat_names_the_settings_that_were_given() -> None:
    result = run("cc", "make -j8", "--machine", "vm", "--cpus", "2")
    assert "To repeat it: autotune cc --machine vm --cpus 2 --scheduler at_batch:" in result.stdout


def test_with_json_on_standard_output_nothing_else_is_there(story: Story) -> None:
    result = run("cc", "make -j8", "--json", "-")
    assert json.loads(result.stdout)["winner"] == story.session.winner
    assert "Use at_batch" in result.stderr


@pytest.mark.usefixtures("story")
def test_the_report_is_written_in_every_form_that_was_requested() -> None:
    result = run("cc", "make", "--json", "r.json", "--export-markdown", "r.md", "--export-csv", "r.csv")
    assert result.exit_code == 0
    assert json.loads(Path("r.json").read_text())["schema"] == json_document.SCHEMA_VERSION
    assert Path("r.md").read_text().startswith("## autotune: make -j8")
    assert len(list(csv.reader(Path("r.csv").read_text().splitlines()))) == 6
    assert sorted(path.name for path in Path().iterdir()) == ["r.csv", "r.json", "r.md"]


@pytest.mark.usefixtures("story")
def test_a_full_disk_is_one_line_and_keeps_no_other_report_from_being_written() -> None:
    result = run("cc", "make", "--json", "/dev/full", "--export-csv", "r.csv")
    assert result.exit_code == 1
    assert "--json /dev/full could not be written: No space left on device" in error_of(result)
    assert Path("r.csv").exists()
    assert "Use at_batch" in result.stdout


# --- endings ---


def test_no_winner_is_an_answer_too(story: Story) -> None:
    story.session = sessions.session(winner=None, results=sessions.results()[1:])
    result = run("cc", "make")
    assert result.exit_code == 0
    assert "Stay with EEVDF" in result.stdout


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (WorkloadError("exit code 2", hint="run it by hand"), 3, "autotune: baseline: exit code 2. Run it by hand."),
        (AttachError("refused"), 1, "autotune: attach: refused."),
        (MachineLost("gone\nfor good"), 1, "autotune: machine: gone for good."),
        (KeyboardInterrupt(), 130, "autotune: session: interrupted."),
        (ZeroDivisionError("oh"), 1, "autotune: internal: ZeroDivisionError: oh."),
    ],
)
def test_each_failure_is_one_line_its_exit_code_and_a_machine_given_back(
    story: Story, error: BaseException, code: int, line: str
) -> None:
    story.raises = error
    result = run("cc", "make")
    assert result.exit_code == code
    assert error_of(result).startswith(line)
    assert story.given_back


def test_without_any_machine_the_exit_code_says_so(story: Story) -> None:
    story.machine_raises = NoMachineError("no qemu", hint="see 'autotune doctor'")
    result = run("cc", "make")
    assert result.exit_code == 4
    assert error_of(result) == "autotune: machine: no qemu. See 'autotune doctor'."


def test_an_interrupted_session_is_reported_and_written_all_the_same(story: Story) -> None:
    story.session = sessions.session(interrupted=True)
    result = run("cc", "make", "--json", "r.json")
    assert result.exit_code == 130
    assert error_of(result) == "autotune: session: interrupted. The report holds what is known so far."
    assert json.loads(Path("r.json").read_text())["interrupted"] is True
    assert "#  scheduler" in result.stdout


def test_a_session_that_failed_half_way_is_written_and_an_error(story: Story) -> None:
    story.session = sessions.session(failure="the micro-VM was lost")
    result = run("cc", "make", "--json", "r.json")
    assert result.exit_code == 1
    assert "session: the micro-VM was lost." in error_of(result)
    assert json.loads(Path("r.json").read_text())["failure"] == "the micro-VM was lost"


@pytest.mark.parametrize("how", ["option", "program option", "variable"])
def test_a_traceback_and_the_long_log_come_only_when_requested(
    story: Story, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    story.raises = AttachError("refused", detail="verifier: R1 unbounded")
    assert "R1 unbounded" not in run("cc", "make").stderr
    if how == "variable":
        monkeypatch.setenv("AUTOTUNE_DEBUG", "1")
    before = ["--debug"] if how == "program option" else []
    result = run(*before, "cc", "make", *(["--debug"] if how == "option" else []))
    assert "Traceback" in result.stderr
    assert "verifier: R1 unbounded" in result.stderr
    assert result.stderr.splitlines()[-1] == "autotune: attach: refused."


def test_debug_does_not_outlast_its_command(story: Story) -> None:
    story.raises = AttachError("refused")
    assert "Traceback" in run("cc", "make", "--debug").stderr
    assert "Traceback" not in run("cc", "make").stderr


# --- usage ---


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "Missing argument 'COMMAND'"),
        (("",), "the command is empty"),
        (("   ",), "the command is empty"),
        (("--", "", "x"), "the command is empty"),
        (("make", "-j8"), "No such option: -j. Quote a command that has options, or put -- before it"),
        (("make", "--goal", "max"), "--goal needs --metric"),
        (("make", "--metric", "x", "--goal", "up"), "--goal: 'up' is not one of min, max"),
        (("make", "--metric", "(x"), "--metric is not a regular expression: missing )"),
        (("make", "--metric", "(a)(b)"), "--metric has 2 groups"),
        (("make", "--metric", "a(b)", "--metric", "x"), "--metric has no group"),
        (("make", "--metric", "a(b)", "--goal", "c:max"), "--goal: no --metric is named 'c'"),
        (("make", "--guard", "memory:5"), "'5' is not a bound such as max+5%, min-5% or max=120"),
        (("make", "--guard", "speed:max+5%"), "--guard speed is none of memory, cpu, energy, latency"),
        (("make", "--statistic", "p9"), "--statistic: 'p9' is not one of typical, mean, median, p50 to p99"),
        (("make", "--statistic", "p90", "--runs", "5"), "--statistic p90 needs 20 pairs of runs"),
        (("make", "--min-effect", "3"), "--min-effect: '3' is not a share such as 3%"),
        (("make", "--min-runs", "9", "--max-runs", "5"), "--min-runs is 9, more than --max-runs, which is 5"),
        (("make", "--budget", "soon"), "--budget: 'soon' is not a time such as 90s"),
        (("make", "--timeout", "0"), "--timeout: '0' must be more than nothing"),
        (("make", "--cpus", "0"), "--cpus: 0 is less than 1"),
        (("make", "--memory", "lots"), "--memory: 'lots' is not a size such as 4G"),
        (("make", "--machine", "cloud"), "--machine: 'cloud' is not one of auto, host, vm"),
        (("make", "--input", "missing"), "--input missing: No such file or directory"),
        (("make", "--input", "."), "--input .: Is a directory"),
        (("make", "--interactive"), "--interactive needs a terminal"),
        (("make", "--machine", "host", "--keep-writes", "x"), "--keep-writes is for the micro-VM"),
        (("make", "--json", "missing/r.json"), "--json missing/r.json cannot be written: No such file or directory"),
        (("make", "--export-csv", "."), "--export-csv . cannot be written: Is a directory"),
        (("make", "--export-markdown", "/proc/r.md"), "--export-markdown /proc/r.md cannot be written: "),
        (("make", "--scheduler", "nonesuch"), "nonesuch"),
        (("make", "--scheduler", "at_fifo:nonesuch=1"), "nonesuch"),
        (("make", "--scheduler", "at_fifo:slice_us=0"), "slice_us"),
        (("make", "--scheduler", "at_fifo:slice_us=soon"), "slice_us"),
        (("make", "--scheduler", ""), "scheduler"),
    ],
)
def test_what_cannot_be_is_one_line_before_anything_starts(story: Story, arguments: tuple[str, ...], said: str) -> None:
    result = run("cc", *arguments)
    assert result.exit_code == 2, result.output
    assert said in error_of(result)
    assert result.stdout == ""
    assert story.choice == {}


@pytest.mark.usefixtures("story")
def test_a_directory_that_is_gone_is_a_usage_error(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()
    result = run("cc", "make")
    assert result.exit_code == 2
    assert "the current directory cannot be used: No such file or directory" in error_of(result)


@pytest.mark.usefixtures("story")
def test_a_broken_settings_file_is_named() -> None:
    Path("autotune.toml").write_text("cpus = 'many'\n")
    result = run("cc", "make")
    assert result.exit_code == 2
    assert "cpus in ./autotune.toml: 'many' is not a whole number" in error_of(result)


@pytest.mark.parametrize("arguments", [("nonesuch",), ("--nonesuch",), ("schedulers", "show"), ("vm", "nonesuch")])
def test_an_unknown_command_or_option_is_one_line(arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    error_of(result)


# --- dry run ---


def test_a_dry_run_says_what_would_be_done_and_does_nothing(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def describe(kind: str, **choice: Any) -> str:
        asked.update(choice, kind=kind)
        return "micro-VM, kernel 6.18"

    monkeypatch.setattr(select, "describe", describe)
    result = run("cc", "make -j8", "--dry-run", "--cpus", "2", "--json", "r.json", "--scheduler", "at_fifo")
    assert result.exit_code == 0
    assert asked == {"kind": "auto", "cpus": 2, "memory_bytes": None, "kernel": None}
    for line in ("Machine: micro-VM, kernel 6.18", "Command: make -j8", "Budget: 10m", "  at_fifo"):
        assert line in result.stdout.splitlines()
    assert story.choice == {}
    assert list(Path().iterdir()) == []


# --- help, version, lists ---


def test_the_version_is_printed_alone() -> None:
    result = run("--version")
    assert (result.exit_code, result.stdout) == (0, f"autotune {autotune.__version__}\n")


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_is_grouped_and_has_examples(flag: str) -> None:
    result = run("cc", flag)
    assert result.exit_code == 0
    for piece in ("Runs", "Metric", "Candidates", "Machine", "Output", "autotune cc 'make -j8'"):
        assert piece in result.stdout


@pytest.mark.parametrize("arguments", [(), ("vm",)])
def test_without_a_command_there_is_help_and_a_usage_exit_code(arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert "Commands" in result.stdout
    assert result.stderr == ""


@pytest.mark.parametrize(("able", "code"), [(True, 0), (False, 4)])
def test_doctor_succeeds_only_where_some_machine_can_run_schedulers(
    monkeypatch: pytest.MonkeyPatch, able: bool, code: int
) -> None:
    checks = [Check("clang", able, "19", "compiling BPF schedulers", "apt-get install clang-19", ("host", "vm"))]
    monkeypatch.setattr(requirements, "collect", lambda: checks)
    monkeypatch.setattr(requirements, "can_run", lambda _checks: {"host": False, "vm": able})
    plain, as_json = run("doctor"), run("doctor", "--json")
    assert (plain.exit_code, as_json.exit_code) == (code, code)
    assert "compiling BPF schedulers" in plain.stdout
    assert ("fix: apt-get install clang-19" in plain.stdout) is not able
    document = json.loads(as_json.stdout)
    assert document["can_run"] == {"host": False, "vm": able}
    assert document["checks"][0]["name"] == "clang"


def test_the_schedulers_are_listed_and_shown_for_people_and_for_programs() -> None:
    listed = run("schedulers")
    assert (listed.exit_code, "at_fifo" in listed.stdout) == (0, True)
    names = [entry["name"] for entry in json.loads(run("schedulers", "--json").stdout)]
    assert "at_fifo" in names
    assert "slice_us" in run("schedulers", "show", "at_fifo").stdout
    assert json.loads(run("schedulers", "show", "at_fifo", "--json").stdout)["name"] == "at_fifo"


def test_showing_an_unknown_scheduler_names_those_there_are() -> None:
    result = run("schedulers", "show", "at_fif")
    assert result.exit_code == 2
    assert "at_fifo" in error_of(result)


def test_vm_setup_tells_its_progress_and_vm_status_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = kernels.Kernel("6.18.15", Path("/k/vmlinuz"), Path("/k"), "fetched")
    asked = []

    def fetch(progress: Callable[[str], None], version: str) -> kernels.Kernel:
        asked.append(version)
        progress("downloading")
        return kernel

    monkeypatch.setattr(kernels, "fetch", fetch)
    monkeypatch.setattr(kernels, "installed", lambda: [kernel])
    monkeypatch.setattr(kernels, "find", lambda _given: kernel)
    assert run("vm", "setup", "--version", "6.18.15").stdout == "downloading\nReady: Linux 6.18.15\n"
    assert asked == ["6.18.15"]
    assert run("vm", "status").stdout.splitlines()[0] == "* 6.18.15  /k/vmlinuz"


def test_vm_status_without_a_kernel_is_an_error_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(_given: object) -> None:
        raise NoMachineError("none")

    monkeypatch.setattr(kernels, "installed", list)
    monkeypatch.setattr(kernels, "find", find)
    result = run("vm", "status")
    assert result.exit_code == 4
    assert "autotune vm setup" in result.stdout


# --- real processes ---


def process(*arguments: str, program: str | None = None, **options: Any) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, *(("-c", program) if program else ("-m", "autotune")), *arguments]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, env=environ, check=False, **options)


def test_a_real_process_ends_with_the_exit_code_and_one_line() -> None:
    done = process("cc", "make", "--goal", "max")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "autotune: usage: --goal needs --metric. Without a metric, less wall time is better.\n"


@pytest.mark.parametrize(("command", "parser"), [("--version", False), ("stop", True)])
def test_nothing_heavy_is_imported_for_little_commands(command: str, parser: bool) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "autotune", command],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
    )
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert ("typer" in imported) is parser
    heavy = {"anthropic", "virtme", "statistics", "rich", "dotenv", "tomllib", "psutil"}
    assert not imported & (heavy if parser else heavy | {"pydantic"}), "typer brings pydantic when it reads arguments"


BARE = """
import typer
from typing import Annotated

def show(wanted: bool) -> None:
    if wanted:
        print("1.0")
        raise typer.Exit

app = typer.Typer()

@app.callback(invoke_without_command=True)
def main(version: Annotated[bool, typer.Option("--version", callback=show, is_eager=True)] = False) -> None:
    pass

app()
"""


@pytest.mark.slow
def test_the_version_takes_little_longer_than_a_bare_typer_program(tmp_path: Path) -> None:
    (tmp_path / "bare.py").write_text(BARE)
    ours, theirs = (
        [sys.executable, "-m", "autotune", "--version"],
        [sys.executable, str(tmp_path / "bare.py"), "--version"],
    )
    pairs = [(elapsed_s(ours), elapsed_s(theirs)) for _ in range(21)][1:]
    assert statistics.median(a for a, _ in pairs) <= 1.5 * statistics.median(b for _, b in pairs)


def elapsed_s(argv: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(argv, capture_output=True, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    return time.perf_counter() - start


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_end_the_session_with_what_is_known(number: signal.Signals) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", SESSION.format(root=str(ROOT)), "cc", "sleep 60", "--json", "r.json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert any(line.startswith("Command: ") for line in child.stdout)
    time.sleep(0.2)
    child.send_signal(number)
    out, err = child.communicate(timeout=120)
    assert child.returncode == 130
    assert err == "autotune: session: interrupted. The report holds what is known so far.\n"
    assert "#  scheduler" in out
    assert json.loads(Path("r.json").read_text())["interrupted"] is True
    assert Path("given-back").exists()


@pytest.mark.slow
def test_at_a_terminal_the_view_is_live_and_quitting_at_the_question_gives_the_machine_back() -> None:
    code, seen = at_terminal("cc", "make", "--interactive", answers=b"q\n", until=b"[q]uit: ")
    assert code == 130
    assert b"Attach at_fifo:slice_us=5000?" in seen
    assert seen.rfind(b"\x1b[?25h") > seen.rfind(b"\x1b[?25l")
    assert Path("given-back").exists()


@pytest.mark.slow
def test_a_reader_that_leaves_ends_the_session_quietly() -> None:
    talkative = "[listener(events.Warned(str(number))) for number in range(9999)]"
    program = SESSION.format(root=str(ROOT)).replace("while True:", talkative + "\n        while False:")
    shell = '"$0" -c "$1" cc make | head -n 1; echo "${PIPESTATUS[0]}"'
    argv = ["bash", "-c", shell, sys.executable, program]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines()[-1] == "1"
    assert done.stderr == ""
    assert Path("given-back").exists()


def test_a_command_is_the_same_where_the_others_are_left_out() -> None:
    whole: Any = get_command(cli.app)
    assert len(whole.commands) > 15
    for name, command in whole.commands.items():
        alone: Any = get_command(cli.begun([name, "--option"]))
        assert list(alone.commands) == [name]
        assert [one.name for one in alone.commands[name].params] == [one.name for one in command.params]
        assert list(getattr(alone.commands[name], "commands", ())) == list(getattr(command, "commands", ()))


@pytest.mark.parametrize("words", [[], ["--help", "cc"], ["-h"], ["nonsense"], ["--version"], ["--debug"]])
def test_without_a_command_first_all_are_there(words: list[str]) -> None:
    assert cli.begun(words) is cli.app
    assert cli.begun(["--debug", "cc"]) is not cli.app
