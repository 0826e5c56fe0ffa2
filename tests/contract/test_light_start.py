# SPDX-License-Identifier: MIT
"""The libraries of the service and of the search take a second to import: only a session that uses one does so."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.planned_program import PROGRAM

pytestmark = pytest.mark.slow

Imported = Callable[[tuple[str, ...], str], set[str]]
HEAVY = {"anthropic", "httpx", "httpx2", "mcp", "openai", "plotext", "uvicorn"}
SEARCH = {"optuna", "numpy", "sqlalchemy"}
REPORT = "import atexit, sys; atexit.register(lambda: open('modules', 'w').write('\\n'.join(sys.modules)))\n"
OWN_SERVER = ("--model-url", "http://127.0.0.1:9/v1", "--model", "m")
COMMANDS = {
    "doctor": (("doctor",), ""),
    "--help": (("--help",), ""),
    "cc --help": (("cc", "--help"), ""),
    "schedulers": (("schedulers",), ""),
    "offline": (("cc", "make", "--planner", "offline"), "test-key"),
    "named candidates": (("cc", "make", "--scheduler", "at_fifo"), "test-key"),
    "auto without a key": (("cc", "make"), ""),
    "what would be done": (("cc", "make", "--dry-run"), "test-key"),
    "what would be done with an own server": (("cc", "make", "--dry-run", *OWN_SERVER), ""),
    "what to paste": (("mcp", "--print-config", "claude"), ""),
}


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Imported:
    """What a start with these arguments and this key imports. The same start is made once."""
    return functools.cache(lambda arguments, key: _imported(tmp_path_factory.mktemp("start"), arguments, key))


def _imported(tmp_path: Path, arguments: tuple[str, ...], key: str) -> set[str]:
    nobody = "http://127.0.0.1:9"
    environ = {"HOME": str(tmp_path), "ANTHROPIC_API_KEY": key, "ANTHROPIC_BASE_URL": nobody}
    environ |= {"PATH": os.environ["PATH"]}
    argv = [sys.executable, "-c", REPORT + PROGRAM, *arguments]
    done = subprocess.run(argv, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    return set((tmp_path / "modules").read_text().split())


@pytest.mark.parametrize(("arguments", "key"), COMMANDS.values(), ids=COMMANDS.keys())
def test_what_needs_no_service_does_not_import_its_library(
    imported: Imported, arguments: tuple[str, ...], key: str
) -> None:
    modules = imported(arguments, key)
    assert "autotune.cli" in modules
    assert modules & HEAVY == set()


@pytest.mark.parametrize("name", ["doctor", "cc --help", "named candidates"])
def test_what_searches_no_knobs_does_not_import_the_library_for_that(imported: Imported, name: str) -> None:
    modules = imported(*COMMANDS[name])
    assert "autotune.cli" in modules
    assert modules & SEARCH == set()


def test_a_search_does_import_it(imported: Imported) -> None:
    """So that the test above can fail."""
    assert "optuna" in imported(("cc", "make", "--planner", "search"), "")


def test_a_session_with_a_key_does_import_it(imported: Imported) -> None:
    """So that the test above can fail."""
    assert "anthropic" in imported(("cc", "make", "--planner", "claude", "--model-timeout", "1s"), "test-key")
