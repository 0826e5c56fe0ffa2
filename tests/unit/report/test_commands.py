# SPDX-License-Identifier: MIT
"""The command lines that a report offers."""

from __future__ import annotations

import shlex
from dataclasses import replace

import pytest

from autotune.report import commands
from tests.support import sessions


def test_the_command_repeats_the_winner() -> None:
    command = commands.repeat_command(sessions.session(), ["--machine", "vm"])
    assert command == ("autotune cc --machine vm --scheduler at_batch:slice_us=20000,stay=true --seed 7 -- 'make -j8'")


def test_without_a_winner_the_command_repeats_all_that_was_tried() -> None:
    command = commands.repeat_command(sessions.session(winner=None))
    assert command.count("--scheduler") == 4
    assert "eevdf" not in command


def test_the_command_keeps_every_option_of_the_workload() -> None:
    workload = sessions.workload(
        argv=("./load", "--for", "5 s"),
        command="./load --for '5 s'",
        setup="a",
        prepare="make clean; true",
        cleanup="c",
        input_path="/tmp/in",
        timeout_s=1.5,
        metric_regex=r"rps: (\d+)",
        goal="max",
        ignore_failure=True,
        pristine=True,
    )
    assert shlex.split(commands.repeat_command(sessions.session(workload=workload))) == [
        "autotune", "cc", "--setup", "a", "--prepare", "make clean; true", "--cleanup", "c", "--input", "/tmp/in",
        "--timeout", "1.5s", "--metric", r"rps: (\d+)", "--goal", "max", "--ignore-failure", "--pristine",
        "--scheduler", "at_batch:slice_us=20000,stay=true", "--seed", "7", "--", "./load", "--for", "5 s",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("argv", "command", "words"),
    [
        (("bash", "--norc", "-c", "make -j8"), "make -j8", ["--shell", "bash --norc", "--", "make -j8"]),
        (("make",), "make", ["--shell", "none", "--", "make"]),
        (("make", "-j8"), "make -j8", ["--", "make", "-j8"]),
    ],
)
def test_the_command_is_repeated_with_the_shell_it_had(argv: tuple[str, ...], command: str, words: list[str]) -> None:
    workload = sessions.workload(argv=argv, command=command, name="a b", conclude="rm x", ignore_failure=True)
    codes = replace(workload, ignored_exits=(1, 137))
    assert " --ignore-failure=1,137 " in commands.repeat_command(sessions.session(workload=codes))
    repeated = shlex.split(commands.repeat_command(sessions.session(workload=workload)))
    at = repeated.index("--shell") if "--shell" in words else repeated.index("--")
    assert repeated[at : at + 2][: len(words) - 1] == words[:2]
    assert repeated[repeated.index("--") :] == words[words.index("--") :]
    for flag, value in (("--command-name", "a b"), ("--conclude", "rm x")):
        assert repeated[repeated.index(flag) + 1] == value
    assert ("--shell" in repeated) == ("--shell" in words)
