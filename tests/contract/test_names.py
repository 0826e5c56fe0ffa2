# SPDX-License-Identifier: MIT
"""One name for one thing: no class of the package has the name of another, private ones included."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "autotune"


def classes() -> dict[str, list[str]]:
    """The files that define a class, by its name."""
    found = defaultdict(list)
    for path in sorted(PACKAGE.glob("**/*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                found[node.name].append(str(path.relative_to(PACKAGE)))
    return found


def test_no_two_classes_have_the_same_name() -> None:
    found = classes()
    assert "Race" in found
    assert {name: places for name, places in found.items() if len(places) > 1} == {}
