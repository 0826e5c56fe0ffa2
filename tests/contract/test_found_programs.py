# SPDX-License-Identifier: MIT
"""Whoever searches PATH: programs that autotune starts are found by `trust.find_program` alone, which passes over
entries such as `.`; or they are named by a path."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "autotune"

SEARCHES = {
    "trust.py": "the one place",
    "commands/export.py": "the path of autotune itself, as it was started",
    "report/program.py": "how people start autotune; nothing is started",
    "session/preflight.py": "whether the user's own command would be found",
}
STARTED = {f"subprocess.{name}" for name in ("run", "Popen", "call", "check_call", "check_output")}


def searches(source: str) -> Iterator[int]:
    """Lines that search PATH."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and node.attr in ("which", "get_exec_path", "execvp", "execvpe", "execlp"):
            yield node.lineno


def bare_names(source: str) -> Iterator[int]:
    """Lines that start a program by a word that the system searches for in PATH."""
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.Call) and ast.unparse(node.func) in STARTED):
            continue
        if node.args and isinstance(node.args[0], ast.List) and node.args[0].elts:
            first = node.args[0].elts[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str) and not first.value.startswith("/"):
                yield node.lineno


FILES = sorted(str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py"))


def test_path_is_searched_in_one_way() -> None:
    others = [name for name in FILES if name not in SEARCHES]
    assert [f"{name}:{line}" for name in others for line in searches((PACKAGE / name).read_text())] == []


def test_nothing_is_started_by_a_bare_name() -> None:
    assert [f"{name}:{line}" for name in FILES for line in bare_names((PACKAGE / name).read_text())] == []


def test_both_are_found_as_they_are_written() -> None:
    assert list(searches("shutil.which('x')\nos.execvp('x', [])")) == [1, 2]
    assert list(bare_names("subprocess.run(['xz', '-d'])\nsubprocess.Popen(['/bin/xz'])\nrun(['xz'])")) == [1]
