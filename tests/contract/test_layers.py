# SPDX-License-Identifier: MIT
"""Imports point down only, and what runs as root or inside the VM imports the standard library only."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "autotune"

RANKS = (
    (
        "__init__",
        "records",
        "wire",
        "errors",
        "events",
        "process",
        "durable",
        "privilege",
        "resources",
        "config",
        "redact",
        "secrecy",
        "signals",
    ),
    ("verdict",),
    (
        "report",
        "prompt",
    ),
    ("knowledge",),
    (
        "measure",
        "runner",
    ),
    ("schedext",),
    ("canary",),
    ("machine",),
    ("verify",),
    ("lease",),
    ("views",),
    ("tools",),
    ("planner",),
    ("session",),
    ("commands",),
    (
        "fleet",
        "daemon",
        "mcp",
    ),
    (
        "cli",
        "__main__",
    ),
)
"""Lowest first. A room may import its own rank and those below. To add a module, add its name where it belongs."""

LEAN = (
    "canary.bounds", "canary.senses", "canary.stages", "canary.watch", "durable", "errors", "events", "lease.keeper",
    "lease.loaders", "lease.other", "lease.others", "lease.owners", "lease.replacing", "machine.base",
    "machine.executor", "machine.traits", "machine.vm.guest", "machine.vm.writes", "measure.capture",
    "measure.client", "measure.counters", "measure.descendants", "measure.pristine", "privilege", "process",
    "records", "resources", "runner", "schedext.evidence", "schedext.holding.client", "schedext.holding.fence",
    "schedext.holding.guard", "schedext.holding.held", "schedext.holding.holder", "schedext.holding.last_words",
    "schedext.holding.program", "schedext.kernel", "schedext.libbpf", "schedext.seal", "verdict.budget",
    "verify.behaviour.loads", "verify.findings", "verify.inside", "verify.load.gate", "verify.load.verifier_log",
    "wire",
)  # fmt: skip
"""Standard library only."""


def modules() -> list[str]:
    found = [path.relative_to(PACKAGE).with_suffix("") for path in PACKAGE.glob("**/*.py") if "data" not in path.parts]
    return sorted(".".join(path.parts) for path in found)


def rank(module: str) -> int:
    top = module.split(".")[0]
    for number, names in enumerate(RANKS):
        if top in names:
            return number
    raise AssertionError(f"autotune/{module} has no rank yet: add it to RANKS, where it belongs")


def imports(module: str) -> Iterator[str]:
    """Dotted names that a module imports; those under TYPE_CHECKING are not real imports."""
    path = PACKAGE.joinpath(*module.split(".")).with_suffix(".py")
    tree = ast.parse(path.read_text())
    unreal = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in unreal:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def ours(module: str) -> set[str]:
    known = set(modules())
    names = {name.removeprefix("autotune.") for name in imports(module) if name.startswith("autotune.")}
    return {name for name in names if name in known or f"{name}.__init__" in known}


@pytest.mark.parametrize("module", modules())
def test_imports_point_down_only(module: str) -> None:
    own = rank(module)
    upward = [name for name in ours(module) if rank(name) > own]
    assert upward == [], f"autotune/{module} imports what is above it"


@pytest.mark.parametrize("module", LEAN)
def test_what_runs_in_the_guest_or_as_root_imports_the_standard_library_only(module: str) -> None:
    foreign = {name.split(".")[0] for name in imports(module)} - set(sys.stdlib_module_names) - {"autotune"}
    assert foreign == set()
    packages = {name.removesuffix(".__init__") for name in modules() if name.endswith(".__init__")}
    assert ours(module) - packages - set(LEAN) == set()


def test_only_the_claude_planner_imports_anthropic() -> None:
    users = [module for module in modules() if any(name.split(".")[0] == "anthropic" for name in imports(module))]
    assert set(users) <= {"planner.claude.service"}
