# SPDX-License-Identifier: MIT
"""`autotune mcp`: what it prints to paste, and what it refuses before it serves."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from pathlib import Path

import pytest

from autotune import config, trust
from autotune.commands import mcp as commands
from autotune.mcp import clients, serving, web
from tests.support.command_line import ROOT, error_of, run
from tests.support.person import at_terminal

TOKEN = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize("client", clients.CLIENTS)
def test_what_to_paste_is_printed(client: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/a/place/autotune/__main__.py"])  # as 'python -m autotune' has it
    monkeypatch.setattr(trust, "find_program", lambda _name: None)
    result = run("mcp", "--print-config", client)
    assert result.exit_code == 0
    words = re.sub(r'[",]', "", result.stdout).split()
    at = words.index(sys.executable)
    assert [word for word in words[at + 1 :] if word not in ("args:", "[")][:3] == ["-m", "autotune", "mcp"]


def test_every_client_that_is_known_is_completed() -> None:
    assert commands._clients("") == list(clients.CLIENTS)
    assert commands._clients("claude-") == ["claude-desktop"]


@pytest.mark.slow
def test_a_person_who_starts_it_at_a_terminal_is_told_what_it_waits_for(tmp_path: Path) -> None:
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    argv = [sys.executable, "-m", "autotune", "mcp"]
    with at_terminal(argv, environ=environ, columns=200, cwd=tmp_path) as person:
        person.waits_for("Ctrl-D ends; 'autotune mcp --print-config claude' shows how a client starts it.")
        person.types("\x04")
        assert person.leaves() == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--print-config", "emacs"), "not one of claude"),
        (("--http", "0.0.0.0:8000"), "takes a token"),
        (("--http", "8000"), "is not ADDRESS:PORT"),
        (("--http", "127.0.0.1:0", "--token-file", "none"), "cannot be read"),
        (("--max-time", "soon"), "--max-time"),
        (("--max-sessions", "0"), "max-sessions"),
    ],
)
def test_what_cannot_be_is_refused(arguments: tuple[str, ...], said: str) -> None:
    result = run("mcp", *arguments)
    assert result.exit_code == 2
    assert said in error_of(result)


def test_no_command_that_runs_there_gets_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[serving.ServerOptions] = []
    monkeypatch.setenv(web.TOKEN, TOKEN)
    monkeypatch.setattr(serving, "run", served.append)
    monkeypatch.setattr(serving, "leave", lambda: None)
    result = run("mcp", "--http", "127.0.0.1:8765", "--allow-run", "--max-time", "5m")
    assert result.exit_code == 0
    (options,) = served
    assert options.address == web.Address("127.0.0.1", 8765, TOKEN)
    assert options.allowed == {"run"}
    assert options.allowance.time_s == 300.0
    assert web.TOKEN not in os.environ


def test_the_token_is_no_unknown_setting(tmp_path: Path) -> None:
    assert config.load({}, cwd=tmp_path, environ={web.TOKEN: TOKEN}) == config.Settings()


def test_a_token_on_the_command_line_is_no_option(tmp_path: Path) -> None:
    assert run("mcp", "--token", str(tmp_path)).exit_code == 2


def test_without_the_package_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    result = run("mcp")
    assert result.exit_code == 2
    assert "-m pip install 'mcp" in error_of(result)
