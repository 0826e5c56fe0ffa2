# SPDX-License-Identifier: MIT
"""Surroundings that a program does not expect: every command works in them, or says one line about them.

Streams that close in the middle of a session are in tests/cli/test_kept_session, a HOME that the start-up script cannot
use in tests/cli/test_first_start, Ctrl-C in tests/cli/test_interrupted_start.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer.main

from autotune import cli
from autotune.errors import AutotuneError
from autotune.measure.client import Runner
from tests.support.every_command import COMMANDS, ROOT, Surroundings, run
from tests.support.run_specs import shell

CHEAP = tuple(name for name in COMMANDS if name not in ("doctor", "prompt"))


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str | None]:
    """Directories of the user, all empty."""
    names = {"HOME": "home", "XDG_STATE_HOME": "state", "XDG_CACHE_HOME": "cache", "XDG_CONFIG_HOME": "config"}
    for name in names.values():
        (tmp_path / name).mkdir()
    return {name: str(tmp_path / place) for name, place in names.items()}


@pytest.fixture
def work(tmp_path: Path) -> str:
    (tmp_path / "work").mkdir()
    return str(tmp_path / "work")


def test_no_command_is_forgotten_here() -> None:
    def names(group: object, before: str = "") -> Iterator[str]:
        for name, command in getattr(group, "commands", {}).items():
            yield f"{before}{name}"
            yield from names(command, f"{before}{name} ")

    known = set(names(typer.main.get_command(cli.app)))
    assert {name for name in known if not name.startswith("scheduler ") and name != "scheduler"} <= COMMANDS.keys()


# --- places ---


@pytest.mark.slow
def test_a_working_directory_that_is_gone_is_one_line_for_every_command(
    tmp_path: Path, home: dict[str, str | None]
) -> None:
    for name, argv in COMMANDS.items():
        (tmp_path / "gone").mkdir()
        ended = run(argv, Surroundings(str(tmp_path / "gone"), home, gone=True))
        assert not ended.fault, (name, ended)
        if name in ("cc", "prompt", "export"):
            assert "the current directory cannot be used: No such file or directory" in ended.err


def test_what_is_proposed_where_it_was_made_needs_a_directory_that_is_there(
    tmp_path: Path, home: dict[str, str | None]
) -> None:
    (tmp_path / "mine.bpf.c").write_text("int x;")
    (tmp_path / "gone").mkdir()
    ended = run(
        ("schedulers", "verify", str(tmp_path / "mine.bpf.c")), Surroundings(str(tmp_path / "gone"), home, gone=True)
    )
    assert (ended.code, ended.fault) == (2, "")
    assert "the current directory cannot be used: No such file or directory" in ended.err


def a_file(path: Path) -> str:
    path.write_text("x")
    return str(path)


def a_null_device(_path: Path) -> str:
    return "/dev/null"


def a_dangling_link(path: Path) -> str:
    path.symlink_to("nowhere/at/all")
    return str(path)


def below_a_file(path: Path) -> str:
    path.write_text("x")
    return f"{path}/deeper/still"


def a_link_to_itself(path: Path) -> str:
    path.symlink_to(path)
    return str(path)


def a_name_that_is_too_long(path: Path) -> str:
    return f"{path}/{'x' * 300}"


def a_directory_of_nobody(path: Path) -> str:
    path.mkdir(mode=0o000)  # only an ordinary user sees a difference
    return str(path)


PLACES = [a_file, a_null_device, a_dangling_link, below_a_file, a_link_to_itself, a_name_that_is_too_long]


@pytest.mark.slow
@pytest.mark.parametrize("make", [*PLACES, a_directory_of_nobody])
@pytest.mark.parametrize("name", ["HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"])
def test_a_place_for_files_that_is_something_else_is_one_line(
    tmp_path: Path, work: str, home: dict[str, str | None], name: str, make: Callable[[Path], str]
) -> None:
    env = {**home, name: make(tmp_path / "odd")}
    if name == "HOME":
        env |= dict.fromkeys(("XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"))
    of_state = ("stop", "replay", "schedulers remove") if name == "XDG_STATE_HOME" else ()
    for command in ("schedulers", "export", "cc", *of_state):
        assert not run(COMMANDS[command], Surroundings(work, env)).fault, command


def test_commands_that_need_no_state_work_without_a_place_for_it(
    tmp_path: Path, work: str, home: dict[str, str | None]
) -> None:
    env = {**home, "XDG_STATE_HOME": a_file(tmp_path / "odd")}
    for command in ("schedulers", "schedulers show", "schedulers install", "stop"):
        assert run(COMMANDS[command], Surroundings(work, env)).code == 0


# --- descriptors ---


@pytest.mark.slow
@pytest.mark.parametrize("closed", [set_ for size in (1, 2, 3) for set_ in itertools.combinations((0, 1, 2), size)])
def test_closed_descriptors_are_survived_by_every_command(
    work: str, home: dict[str, str | None], closed: tuple[int, ...]
) -> None:
    open_ones = {name: run(COMMANDS[name], Surroundings(work, home)).code for name in ("stop", "schedulers show", "vm")}
    for name in COMMANDS if closed == (0, 1, 2) else CHEAP:
        ended = run(COMMANDS[name], Surroundings(work, home, closed=closed))
        assert not ended.fault, (name, ended)
        assert open_ones.get(name, ended.code) == ended.code


@pytest.mark.slow
@pytest.mark.parametrize("reader", ["head -1", "true"])
@pytest.mark.parametrize("command", ["doctor", "schedulers list", "--help"])
def test_a_reader_that_leaves_ends_the_command_without_a_word(work: str, command: str, reader: str) -> None:
    words = " ".join(COMMANDS[command])
    line = f"timeout 100 {sys.executable} -m autotune {words} | {reader}; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], cwd=work, env=clean_environ(), capture_output=True, timeout=120)
    assert done.returncode in (0, 1, 4), done
    assert done.stderr == b""


# --- arguments and variables ---


@pytest.mark.parametrize("argv", [("cc", "--"), ("cc", "--", ""), ("cc",), ("cc", ""), ("cc", "--", "--"), ("--",)])
def test_arguments_that_say_nothing_are_a_usage_error(
    work: str, home: dict[str, str | None], argv: tuple[str, ...]
) -> None:
    ended = run(argv, Surroundings(work, home))
    assert not ended.fault
    assert ended.code in (2, 3)


STRANGE: tuple[dict[str, str | None], ...] = (
    {"PATH": None},
    {"PATH": ""},
    {"PATH": ":::"},
    {"HOME": "~", "XDG_STATE_HOME": None, "XDG_CACHE_HOME": None},
    {"HOME": None, "XDG_STATE_HOME": None, "XDG_CACHE_HOME": None},
    {"AUTOTUNE_KERNEL": "~no-such-user/x"},
    {"AUTOTUNE_SCHEDULER_DIRS": "~no-such-user/x:/opt"},
    {"TERM": None},
    {"TERM": "dumb"},
    {"TERM": "no-such-terminal\x1b[31m"},
    {"COLUMNS": "0"},
    {"COLUMNS": "1"},
    {"COLUMNS": "-5"},
    {"COLUMNS": "many"},
    {"COLUMNS": "9" * 14},
    {"LINES": "x", "COLUMNS": "9" * 5000},
    {"TZ": "no/such\x01zone"},
    {"LC_ALL": "xx_YY.no-such"},
    {"TMPDIR": "/dev/null"},
    {"SUDO_UID": "many"},
    {"SUDO_UID": "4294967295"},
    {"NO_COLOR": "", "FORCE_COLOR": "x"},
)


@pytest.mark.slow
@pytest.mark.parametrize("variables", STRANGE, ids=str)
def test_variables_that_mean_nothing_are_survived(
    work: str, home: dict[str, str | None], variables: dict[str, str | None]
) -> None:
    for name in ("schedulers", "cc", "--help"):
        assert not run(COMMANDS[name], Surroundings(work, {**home, **variables})).fault, name


@pytest.mark.slow
@pytest.mark.parametrize("locale", ["C", "POSIX", "xx_YY.no-such"])
def test_a_command_that_the_locale_cannot_write_is_shown_as_escapes(work: str, locale: str) -> None:
    """With an interpreter of its own: the locale is read at its start."""
    env = {**clean_environ(), "LC_ALL": locale, "LANG": locale, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = os.fsdecode("echo gr\u00fc\u00dfe \u4f60".encode() + b"\xff")
    argv = [sys.executable, "-m", "autotune", *COMMANDS["cc"][:-1], command]
    done = subprocess.run(argv, cwd=work, env=env, capture_output=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"Command: echo gr" in done.stdout


# --- limits ---


@pytest.mark.slow
@pytest.mark.parametrize(
    ("limit", "most"),
    [
        ("NOFILE", 20),
        ("NOFILE", 8),
        ("NOFILE", 5),
        ("AS", 400 << 20),
        ("AS", 150 << 20),
        ("STACK", 200 << 10),
        ("CORE", 0),
    ],
)
def test_a_low_limit_is_one_line_or_does_not_matter(
    work: str, home: dict[str, str | None], limit: str, most: int
) -> None:
    for name in ("doctor", "schedulers", "cc", "stop", "--help"):
        limits = {getattr(resource, f"RLIMIT_{limit}"): most}
        assert not run(COMMANDS[name], Surroundings(work, home, limits=limits)).fault, name


@pytest.mark.slow
@pytest.mark.parametrize("command", ["stop", "doctor"])
@pytest.mark.parametrize("limits", ["-f 0", "-n 9", "-v 120000"])
def test_too_little_to_start_is_one_line(work: str, command: str, limits: str) -> None:
    """Where Python itself starts at all."""
    line = (
        f"ulimit {limits}; {sys.executable} -c '' 2>/dev/null || exit 77; exec {sys.executable} -m autotune {command}"
    )
    done = subprocess.run(["sh", "-c", line], cwd=work, env=clean_environ(), capture_output=True, timeout=120)
    if done.returncode == 77:
        pytest.skip("Python does not start with that")
    assert done.returncode in (0, 1, 4)
    assert done.stderr.count(b"\n") <= 1, done.stderr.decode()
    assert b"Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", ["--version", "--help", "cc --help", "schedulers list", "vm status", "completion zsh", "doctor"]
)
def test_a_disk_that_is_full_below_the_output_is_one_line(work: str, command: str) -> None:
    argv = [sys.executable, "-m", "autotune", *command.split()]
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            argv, cwd=work, env=clean_environ(), stdout=full, stderr=subprocess.PIPE, check=False, timeout=120
        )
        mute = subprocess.run(argv, cwd=work, env=clean_environ(), stdout=full, stderr=full, check=False, timeout=120)
    assert (done.returncode, mute.returncode) == (1, 1)
    assert done.stderr.count(b"\n") == 1, done.stderr.decode()
    assert b"No space left on device" in done.stderr
    assert b"output" in done.stderr


@pytest.mark.parametrize("most", [3, 5, 8, 10, 12])
def test_a_limit_that_a_run_meets_is_not_the_fault_of_its_command(most: int) -> None:
    """The helper that starts commands has too few descriptors left; the command would run by hand."""
    with contextlib.closing(Runner()) as runner:
        assert runner.run(shell("true")).exit_code == 0
        assert runner._worker is not None
        resource.prlimit(runner.pid, resource.RLIMIT_NOFILE, (most, most))
        try:
            run = runner.run(shell("true"))
            said = run.start_error
        except AutotuneError as error:
            said = f"{error.message}; {error.hint}"
    assert said is None or (said.startswith("a limit of this shell or system is reached: ") and "ulimit" in said)


def clean_environ() -> dict[str, str]:
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("AUTOTUNE_", "ANTHROPIC_"))}
    return {**kept, "PYTHONPATH": str(ROOT)}
