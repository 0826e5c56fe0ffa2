# SPDX-License-Identifier: MIT
"""Where a test is found, and what it may share with others.

- `tests/unit/<room>/test_X.py` tests `autotune/<room>/X.py`. Beside such files a room there has only a conftest.py, for
  its fixtures. An `__init__.py` has no tests of its own: it only names what its modules offer. What is no module is
  tested elsewhere: BPF sources in tests/bpf, several modules at once in tests/integration, what all must keep here.
- `tests/support/test_X.py` tests `tests/support/X.py`. It stands beside it, so that tests/unit mirrors the package
  without exception.
- Nobody imports a test file or a conftest.py, not even a program that a test starts as text. What two of them need is
  in tests/support, where every module is needed by somebody.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]

TEXT_IMPORT = re.compile(r"\bfrom[ \t]+([\w.]+)[ \t]+import[ \t]+(\w+(?:[ \t]*,[ \t]*\w+)*)|\bimport[ \t]+([\w.]+)")
TEXT_NAME = re.compile(r"\btests(?:\.\w+)+")


# --- what is where -----------------------------------------------------------------------------------------


def python_files(*places: Path) -> list[Path]:
    return sorted(path for place in places for path in place.glob("**/*.py"))


def without_a_module(top: Path) -> list[str]:
    """Files of tests/unit and tests of tests/support that test no module of their name."""
    unit, support = top / "tests" / "unit", top / "tests" / "support"
    missing = [path for path in python_files(unit) if not _mirrors(path, top / "autotune" / path.relative_to(unit))]
    missing += [path for path in support.glob("**/test_*.py") if not _mirrors(path, path)]
    return [str(path.relative_to(top)) for path in missing]


def _mirrors(path: Path, place: Path) -> bool:
    """Whether a module has the name of this test, in the room of `place`; or it is the conftest.py of a room."""
    if path.name == "conftest.py":
        return place.parent.is_dir()
    name = path.name.removeprefix("test_")
    return path.name != name != "__init__.py" and place.with_name(name).is_file()


# --- what imports what -------------------------------------------------------------------------------------


@functools.cache
def imports(path: Path, top: Path) -> frozenset[str]:
    """Dotted names that a file imports, itself or in a program that it holds as text."""
    package = path.relative_to(top).parts[:-1]
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join((*above, *filter(None, [node.module])))
            found.update((base, *(f"{base}.{alias.name}" for alias in node.names)))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.update(imports_in_text(node.value))
    return frozenset(found)


def imports_in_text(text: str) -> Iterator[str]:
    """A bare `conftest` is left out: to load the hooks of tests/conftest.py into another pytest is to test them."""
    for base, names, whole in TEXT_IMPORT.findall(text):
        if "conftest" not in (base, whole):
            yield from (f"{base}.{name.strip()}" for name in names.split(",")) if base else (whole,)
    yield from TEXT_NAME.findall(text)


def imported_tests(top: Path) -> list[str]:
    """Imports of test files and conftests, as `who: what`."""
    return [
        f"{path.relative_to(top)}: {name}"
        for path in python_files(top / "tests", top / "scripts")
        for name in sorted(imports(path, top))
        if any(part.startswith("test_") or part == "conftest" for part in name.split("."))
    ]


def unused_support(top: Path) -> list[str]:
    """Modules of tests/support that no file needs, itself or through another module of support."""
    modules = {
        ".".join(path.relative_to(top).with_suffix("").parts): path
        for path in python_files(top / "tests" / "support")
        if not path.name.startswith("test_") and path.name != "__init__.py"
    }
    reached: set[str] = set()
    support = top / "tests" / "support"
    everywhere = python_files(top / "tests", top / "scripts")
    waiting = [path for path in everywhere if not path.is_relative_to(support)]  # a module's own test needs nothing
    while waiting:
        new = (imports(waiting.pop(), top) & modules.keys()) - reached
        reached |= new
        waiting += [modules[name] for name in new]
    return sorted(modules.keys() - reached)


# --- the rules ---------------------------------------------------------------------------------------------


def test_tests_mirror_the_modules() -> None:
    assert python_files(TOP / "tests" / "unit")
    assert without_a_module(TOP) == []


def test_nobody_imports_a_test() -> None:
    examples = f"{Path(__file__).resolve().relative_to(TOP)}: "
    assert [line for line in imported_tests(TOP) if not line.startswith(examples)] == []


def test_every_support_module_is_needed() -> None:
    assert unused_support(TOP) == []


# --- the rules can fail ------------------------------------------------------------------------------------


GOOD = {
    "autotune/__init__.py": "",
    "autotune/config.py": "",
    "autotune/lease/__init__.py": "",
    "autotune/lease/owners.py": "",
    "tests/conftest.py": "",
    "tests/support/sessions.py": "",
    "tests/support/machines.py": "from tests.support import sessions",
    "tests/support/test_machines.py": "from tests.support import machines",
    "tests/unit/test_config.py": "from tests.support.machines import Machine",
    "tests/unit/lease/conftest.py": "",
    "tests/unit/lease/test_owners.py": "",
    "tests/integration/test_whole_sessions.py": "",
}


def planted(top: Path, wrong: Mapping[str, str] | None = None, *, without: str = "") -> Path:
    """A tree in which everything is right, but for what is added, changed or left out."""
    for name, text in {**GOOD, **(wrong or {})}.items():
        if name != without:
            (top / name).parent.mkdir(parents=True, exist_ok=True)
            (top / name).write_text(text)
    return top


def test_a_tree_in_which_everything_is_right_passes(tmp_path: Path) -> None:
    top = planted(tmp_path)
    assert (without_a_module(top), imported_tests(top), unused_support(top)) == ([], [], [])


@pytest.mark.parametrize(
    "name",
    [
        "tests/unit/lease/test_lease.py",
        "tests/unit/test_owners.py",
        "tests/unit/lease/test_config.py",
        "tests/unit/lease/test___init__.py",
        "tests/unit/lease/owners.py",
        "tests/unit/lease/helpers.py",
        "tests/unit/loans/test_owners.py",
        "tests/unit/loans/conftest.py",
        "tests/support/test_engines.py",
    ],
)
def test_a_file_that_tests_no_module_of_its_name_is_found(tmp_path: Path, name: str) -> None:
    assert without_a_module(planted(tmp_path, {name: ""})) == [name]


def test_tests_of_a_module_that_is_gone_are_found(tmp_path: Path) -> None:
    top = planted(tmp_path, without="autotune/lease/owners.py")
    assert without_a_module(top) == ["tests/unit/lease/test_owners.py"]


@pytest.mark.parametrize(
    "text",
    [
        "from tests.unit.lease.test_owners import running",
        "from tests.unit.lease import test_owners",
        "import tests.unit.lease.test_owners as other",
        "from .test_owners import running",
        "from . import test_owners",
        "from .conftest import tree",
        "from ..lease.conftest import tree",
        "def late():\n    from tests.conftest import built_schedulers",
        "PROGRAM = 'import sys; from tests.unit.lease import sessions, test_owners as t; t.run()'",
        "PROGRAM = f'import tests.unit.lease.test_owners; print({1})'",
        "PROGRAM = '''\nfrom tests.vm.conftest import vm\n'''",
        "import importlib\nimportlib.import_module('tests.unit.lease.test_owners')",
    ],
)
@pytest.mark.parametrize("who", ["tests/unit/lease/test_owners.py", "tests/support/machines.py", "scripts/bench.py"])
def test_an_import_of_a_test_is_found_however_it_is_written(tmp_path: Path, who: str, text: str) -> None:
    found = imported_tests(planted(tmp_path, {who: text}))
    assert found
    assert all(line.startswith(f"{who}: ") for line in found)


def test_a_support_module_that_nobody_needs_is_found(tmp_path: Path) -> None:
    assert unused_support(planted(tmp_path, {"tests/support/busy.py": ""})) == ["tests.support.busy"]


def test_two_that_only_need_each_other_and_one_that_only_its_own_test_needs_are_found(tmp_path: Path) -> None:
    top = planted(
        tmp_path,
        {
            "tests/support/one.py": "from tests.support import two",
            "tests/support/two.py": "from tests.support.one import name",
            "tests/support/busy.py": "",
            "tests/support/test_busy.py": "from tests.support import busy",
        },
    )
    assert unused_support(top) == ["tests.support.busy", "tests.support.one", "tests.support.two"]


def test_what_a_program_as_text_or_a_script_imports_is_needed(tmp_path: Path) -> None:
    top = planted(
        tmp_path,
        {
            "tests/support/busy.py": "",
            "tests/support/engines.py": "",
            "tests/unit/test_config.py": "PROGRAM = 'from tests.support import machines, busy; busy.read()'",
            "scripts/bench.py": "from tests.support.engines import Engine",
        },
    )
    assert unused_support(top) == []
