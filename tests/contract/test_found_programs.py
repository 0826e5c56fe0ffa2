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
SEARCHING = ("which", "get_exec_path", "execvp", "execvpe", "execlp")
STARTED = {f"subprocess.{name}" for name in ("run", "Popen", "call", "check_call", "check_output")}


def searches(source: str) -> Iterator[int]:
    """Lines that search PATH."""
    if not any(name in source for name in SEARCHING):
        return
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and node.attr in SEARCHING:
            yield node.lineno


def bare_names(source: str) -> Iterator[int]:
    """Lines that start a program by a word that the system searches for in PATH, written there or in a list that has
    a name."""
    if "subprocess" not in source:
        return
    tree = ast.parse(source)
    named = {
        target.id: node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name) and _first_word(node.value) is not None
    }
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and ast.unparse(node.func) in STARTED) or not node.args:
            continue
        argv = node.args[0]
        first = _first_word(named.get(argv.id, argv) if isinstance(argv, ast.Name) else argv)
        if first is not None and not first.startswith("/"):
            yield node.lineno


def _first_word(argv: ast.expr) -> str | None:
    """The first word of a list where it, or what it is without another, is written out."""
    if not isinstance(argv, (ast.List, ast.Tuple)) or not argv.elts:
        return None
    first = argv.elts[0]
    if isinstance(first, ast.BoolOp):  # `found or "cargo"`
        first = first.values[-1]
        if isinstance(first, ast.Subscript):
            return ast.unparse(first)
    return first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else None


FILES = sorted(str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py"))


def test_path_is_searched_in_one_way() -> None:
    others = [name for name in FILES if name not in SEARCHES]
    assert [f"{name}:{line}" for name in others for line in searches((PACKAGE / name).read_text())] == []


def test_nothing_is_started_by_a_bare_name() -> None:
    assert [f"{name}:{line}" for name in FILES for line in bare_names((PACKAGE / name).read_text())] == []


def test_both_are_found_as_they_are_written() -> None:
    assert list(searches("shutil.which('x')\nos.execvp('x', [])")) == [1, 2]
    written = "subprocess.run(['xz', '-d'])\nsubprocess.Popen(['/bin/xz'])\nrun(['xz'])"
    named = "argv = ['nice', 'sh']\nsubprocess.Popen(argv)\nother = [found, 'x']\nsubprocess.run(other)"
    fallen_back = "subprocess.run([found or argv[0]])\nsubprocess.run([found or 'xz'])\nsubprocess.run([found, 'xz'])"
    assert list(bare_names(written)) == [1]
    assert list(bare_names(named)) == [2]
    assert list(bare_names(fallen_back)) == [1, 2]
