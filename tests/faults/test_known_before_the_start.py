# SPDX-License-Identifier: MIT
"""What can be known before a session starts is said before: nothing has booted, and `--dry-run` says the same.

Settings and names that cannot be are in tests/cli/test_cli, what fails only once it runs in tests/cli/test_bad_input.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from autotune.errors import AutotuneError, UsageError
from autotune.knowledge.store import Knowledge
from autotune.records import Workload
from autotune.schedext.catalogue.catalog import Catalog
from autotune.session import preflight
from autotune.session.request import SessionRequest
from autotune.session.start import Engine
from tests.support import sessions
from tests.support.every_command import Surroundings, run

MISSING = "command not found"
PIPE = "it is not a regular file, and every run reads it"

OWN_SERVER = ("--model-url", "http://127.0.0.1:9/v1", "--model", "m")

KNOWN: tuple[tuple[tuple[str, ...], int, str], ...] = (
    (("no-such-program x",), 3, f"no-such-program: {MISSING}"),
    (("--", "no-such-program", "x"), 3, f"no-such-program: {MISSING}"),
    (
        (
            "--prepare",
            "true",
            "no-such-program | cat",
        ),
        3,
        f"no-such-program: {MISSING}",
    ),
    (("./no-such-file",), 3, "./no-such-file: No such file or directory"),
    (("--", "./text"), 3, "./text: Permission denied"),
    (("--", "/tmp"), 3, "/tmp: Is a directory"),
    (("--prepare", "no-such-program -x", "true"), 2, f"--prepare: no-such-program: {MISSING}"),
    (("--setup", "./no-such-file", "true"), 2, "--setup: ./no-such-file: No such file"),
    (("--cleanup", "no-such-program", "true"), 2, f"--cleanup: no-such-program: {MISSING}"),
    (("--cleanup", "no-such-program", "--prepare", "true", "true"), 2, f"--cleanup: no-such-program: {MISSING}"),
    (("--metric", "rps: [0-9]+", "true"), 2, "--metric has no group"),
    (("--metric", "(?:rps): [0-9]+", "true"), 2, "--metric has no group"),
    (("--metric", "(a)(b)", "true"), 2, "--metric has 2 groups"),
    (("--planner", "claude", "true"), 1, "Claude needs a key, and there is none"),
    (("--planner", "claude", "--prices", "no-such-file", "true"), 2, "prices in"),
    (("--planner", "model", "true"), 2, "--planner model needs the address of a server"),
    ((*OWN_SERVER[:2], "--planner", "model", "true"), 2, "--model-url needs the name of a model"),
    ((*OWN_SERVER, "--planner", "model", "--max-cost", "1", "true"), 1, "--max-cost cannot be kept: there is no price"),
    (("--model-url", "http://192.0.2.1:port/v1", "--model", "m", "true"), 2, "--model-url: it is not an address"),
    (("--cpus", "99", "true"), 2, "99 CPUs are too many for the micro-VM: this machine has"),
    (("--memory", "9999G", "true"), 2, "9999G of memory for the micro-VM is not between 128M and this machine's"),
    (("--memory", "16M", "true"), 2, "16M of memory for the micro-VM is not between 128M and"),
    (("--input", "pipe", "true"), 2, f"--input pipe: {PIPE}"),
    (("--input", "link", "true"), 2, f"--input link: {PIPE}"),
    (("--input", "/dev/zero", "true"), 2, f"--input /dev/zero: {PIPE}"),
    (("--input", "/dev/stdin", "true"), 2, f"--input /dev/stdin: {PIPE}"),
    (("--input", "/proc/self/fd/0", "true"), 2, f"--input /proc/self/fd/0: {PIPE}"),
    (("--input", "/tmp", "true"), 2, "--input /tmp: Is a directory"),
    (("--input", "nowhere/x", "true"), 2, "--input nowhere/x: No such file or directory"),
    (("--apply", "true"), 2, "--apply keeps the winner on the host, which is not possible"),
    (("--budget", "200ms", "true"), 2, "a budget of 0.2 s is too small for one candidate"),
    (("--budget", "1s", "true"), 2, "a budget of 1 s is too small for one candidate: that takes a boot and 6 runs"),
    (("--json", "nowhere/r.json", "true"), 2, "--json nowhere/r.json cannot be written: No such file or directory"),
    (("--json", "text/r.json", "true"), 2, "--json text/r.json cannot be written: Not a directory"),
    (("--export-csv", "/proc/r.csv", "true"), 2, "--export-csv /proc/r.csv cannot be written"),
    (("--keep-writes", "text/deep/er", "true"), 2, "--keep-writes text/deep/er: Not a directory"),
    (("--kernel", "no-such-image", "true"), 2, "no-such-image: no such file"),
    (("--scheduler", "at_fifo:slice_us=0", "true"), 2, "slice_us"),
    (("--param", "n=1,2", "true"), 2, "the parameter n changes no run: {n} is not in the command"),
    (("--param", "n=1,2", "--setup", "echo {n}", "true"), 2, "the parameter n changes no run"),
    (
        ("-L", "n", "1,2", "-P", "m", "1", "60", "echo {n} {m}"),
        2,
        "the parameters have 120 sets of values; at most 100",
    ),
    (("--param", "scheduler=1,2", "echo {scheduler}"), 2, "no parameter can be named scheduler"),
    (("--param", "p=true,no-such-program", "{p} x"), 3, f"no-such-program: {MISSING}"),
    (("--param", "p=true,no-such-program", "--", "{p}", "x"), 3, f"no-such-program: {MISSING}"),
    (("--param", "p=true,no-such-program", "--prepare", "{p}", "true"), 2, f"--prepare: no-such-program: {MISSING}"),
    (
        ("--param", "n=1,2,3,4", "--budget", "1s", "echo {n}"),
        2,
        "a budget of 1 s is too small for one candidate: that takes a boot and 18",
    ),
)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (tmp_path / "text").write_text("only text")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize(("arguments", "code", "said"), KNOWN, ids=[" ".join(row[0]) for row in KNOWN])
def test_it_is_said_before_anything_starts_and_by_a_dry_run(
    work: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    planner = () if "--planner" in arguments or "--scheduler" in arguments else ("--planner", "offline")
    surroundings = Surroundings(str(work), {"XDG_STATE_HOME": str(work / "state")})
    dry, real = (
        run(("cc", "--machine", "vm", *planner, *first, *arguments), surroundings) for first in (("--dry-run",), ())
    )
    assert not dry.fault
    assert (dry.code, dry.out) == (code, "")
    assert said in dry.err
    assert (real.code, real.err) == (dry.code, dry.err)
    assert "booting" not in real.out


ALL_AT_ONCE = (
    ("--metric", "--metric has no group"),
    ("--input", f"--input pipe: {PIPE}"),
    ("--json", "--json nowhere/r.json cannot be written: No such file or directory"),
    ("", f"cannot be measured: no-such-program: {MISSING}"),
    ("--cleanup", f"--cleanup: no-such-program: {MISSING}"),
    ("--planner", "Claude needs a key, and there is none"),
    ("--apply", "--apply keeps the winner on the host, which is not possible"),
    ("--budget", "a budget of 0.2 s is too small for one candidate"),
    ("--cpus", "99 CPUs are too many for the micro-VM"),
    ("--memory", "G of memory for the micro-VM is not between 128M and"),
    ("--kernel", "no-such-image: no such file"),
)


@pytest.mark.slow
def test_a_dry_run_names_everything_that_is_wrong_a_line_each(work: Path) -> None:
    wrong = ["--metric", "x", "--input", "pipe", "--json", "nowhere/r.json", "--cleanup", "no-such-program", "--apply"]
    wrong += ["--planner", "claude", "--budget", "200ms", "--cpus", "99", "--kernel", "no-such-image"]
    wrong += ["--memory", "9999G"]
    surroundings = Surroundings(str(work), {"XDG_STATE_HOME": str(work / "state")})
    dry, real = (
        run(("cc", "--machine", "vm", *first, *wrong, "no-such-program"), surroundings)
        for first in (("--dry-run",), ())
    )
    lines = dry.err.splitlines()
    assert all(line.startswith("autotune: ") for line in lines)
    for option, said in ALL_AT_ONCE:
        assert sum(said in line for line in lines) == 1, (option, dry.err)
    assert len(lines) == len(ALL_AT_ONCE), dry.err
    assert (dry.out, dry.code) == ("", real.code)
    assert real.err.splitlines() == lines[:1], "a session ends at the first"


@pytest.mark.slow
def test_a_prompt_that_needs_a_baseline_is_checked_too(work: Path) -> None:
    done = run(("prompt", "--machine", "vm", "no-such-program"), Surroundings(str(work)))
    assert (done.code, done.fault) == (3, "")
    assert MISSING in done.err


@pytest.mark.slow
def test_standard_input_from_a_file_is_that_file(work: Path) -> None:
    from autotune.commands.arguments import CcArguments
    from autotune.commands.workloads import workload_from

    code = (
        "from pathlib import Path; from autotune.commands.arguments import CcArguments;"
        "from autotune.commands.workloads import workload_from;"
        "print(workload_from(CcArguments(['true'], input=Path('/dev/stdin'))).input_path)"
    )
    with open(work / "text", "rb") as text:
        done = subprocess.run([sys.executable, "-c", code], stdin=text, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(work / "text")
    assert workload_from(CcArguments(["true"], input=Path("/dev/null"))).input_path == "/dev/null"


# --- what cannot be known is not refused ---


def request(cwd: Path, command: str | tuple[str, ...] = "true", **changed: Any) -> SessionRequest:
    argv = ("sh", "-c", command) if isinstance(command, str) else command
    settings = changed.pop("settings", {})
    text = argv[-1] if argv[-2:-1] == ("-c",) else " ".join(argv)
    workload = Workload(text, argv, str(cwd), dict(os.environ), **changed)
    return SessionRequest(workload, sessions_settings(**settings))


def sessions_settings(**changed: Any) -> Any:
    from autotune.config import Settings

    return Settings(**{"machine": "vm", "planner": "offline", **changed})


def begin(asked: SessionRequest) -> preflight.Start:
    return preflight.Start(asked, Catalog([]), Engine(), lambda _text: None)


@pytest.mark.parametrize(
    "command",
    [
        "true",
        "cd /tmp && no-such-program",
        "[ -e x ] && no-such",
        "{ no-such; }",
        "(no-such)",
        "! no-such",
        "X=1 no-such",
        "$PROGRAM x",
        "~/bin/no-such",
        "`which true`",
        "'no-such' x",
        "no\\-such",
        "f() { true; }; f",
        "f ( ) { true; }; f",
        "alias g=true\ng",
        "# a comment\ntrue",
        "\n\n  true",
        "if true; then no-such; fi",
        "for i in 1 2; do no-such; done",
        "> out no-such",
        "2>&1 no-such",
        "exec no-such",
        "time no-such",
        ". ./no-such",
        "[[ x ]]",
        "'",
        "sh;",
        "true&",
        "sh|cat",
        "gr\u00fc\u00dfe",
    ],
)
def test_what_only_the_shell_can_say_is_left_to_it(work: Path, command: str) -> None:
    preflight.program(begin(request(work, command)))
    for name in ("setup", "prepare", "conclude", "cleanup"):
        preflight.programs_around(begin(request(work, **{name: command})))


@pytest.mark.parametrize("name", ["setup", "prepare", "conclude", "cleanup"])
def test_a_program_around_the_runs_that_is_absent_is_found(work: Path, name: str) -> None:
    with pytest.raises(UsageError, match=f"--{name}: nosuch: command not found"):
        preflight.programs_around(begin(request(work, **{name: "nosuch -x"})))


@pytest.mark.parametrize("shell", ["nosuch", "./nosuch", "/nonexistent/sh"])
def test_a_shell_that_is_absent_is_found(work: Path, shell: str) -> None:
    with pytest.raises(UsageError, match=f"--shell: {shell}: "):
        preflight.program(begin(request(work, (shell, "-c", "true"))))


def test_lines_of_a_shell_that_is_not_known_are_left_to_it(work: Path) -> None:
    preflight.program(begin(request(work, ("python3", "-c", "import os"))))
    preflight.program(begin(request(work, ("bash", "-c", "source x"))))
    with pytest.raises(AutotuneError, match="nosuch: command not found"):
        preflight.program(begin(request(work, ("bash", "-c", "nosuch x"))))


@pytest.mark.parametrize("first", [{"prepare": "make"}, {"setup": "make"}])
def test_a_file_that_is_made_before_it_runs_need_not_be_there(work: Path, first: dict[str, str]) -> None:
    preflight.program(begin(request(work, "./made", **first)))
    preflight.program(begin(request(work, ("./made", "x"), **first)))
    preflight.programs_around(begin(request(work, cleanup="./made-by-the-command", **first)))


def test_what_setup_installs_need_not_be_there(work: Path) -> None:
    preflight.program(begin(request(work, "installed", setup="pip install installed")))
    with pytest.raises(AutotuneError, match="installed: command not found"):
        preflight.program(begin(request(work, "installed", prepare="make clean")))


def test_programs_are_looked_for_where_the_command_will_look(work: Path) -> None:
    (work / "bin").mkdir()
    (work / "bin" / "mine").write_text("#!/bin/sh\n")
    (work / "bin" / "mine").chmod(0o755)
    with pytest.raises(AutotuneError, match="mine: command not found"):
        preflight.program(begin(request(work, "mine")))
    asked = request(work, "mine")
    asked.workload.env["PATH"] = "bin:/nonesuch"  # from the directory of the command
    preflight.program(begin(asked))


# --- budgets ---


def kept(cwd: Path, median: float | None, **changed: Any) -> SessionRequest:
    """A request of which the store knows a session with this baseline."""
    asked = request(cwd, **changed)
    baseline = None if median is None else dataclasses.replace(sessions.BASE, median=median)
    with Knowledge() as knowledge:
        knowledge.record(sessions.session(workload=asked.workload, baseline=baseline))
    return asked


def test_a_budget_that_the_last_session_shows_to_be_too_small_is_refused(work: Path) -> None:
    with pytest.raises(UsageError, match=r"a budget of 60 s is too small .* 6 runs of 30 s, as in the last session"):
        preflight._budget(begin(kept(work, 30.0, settings={"budget": 60.0})))
    preflight._budget(begin(kept(work, 9.0, settings={"budget": 60.0})))


def test_a_metric_is_not_taken_for_seconds(work: Path) -> None:
    preflight._budget(begin(kept(work, 5000.0, metric_regex="(.*)", settings={"budget": 60.0})))


def test_a_session_elsewhere_tells_nothing_about_this_machine(work: Path) -> None:
    asked = kept(work, 30.0, settings={"budget": 60.0})
    elsewhere = begin(asked)
    elsewhere.place = "host"
    preflight._budget(elsewhere)


def test_a_store_that_cannot_be_read_refuses_nothing(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(work / "text"))
    preflight._budget(begin(request(work)))


# --- the list ---


def test_every_check_is_in_the_list() -> None:
    named = {
        value
        for name, value in vars(preflight).items()
        if callable(value) and getattr(value, "__annotations__", {}) == {"start": "Start", "return": "None"}
    }
    assert named == set(preflight.CHECKS)
    assert set(preflight.OF_CANDIDATES) <= named
