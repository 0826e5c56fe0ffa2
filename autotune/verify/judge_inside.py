# SPDX-License-Identifier: MIT
"""Judges a source by the rules that need its meaning, and prints their findings as one JSON document.

A program of its own, which runs only inside the sandbox: how long the rules take depends on an untrusted text, and the
kernel bounds their time and memory there. Standard library only.

    python judge_inside.py ROOM NAME < the document of `parser tree`

ROOM is a directory with the parts of `autotune` that the rules need.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autotune.verify.findings import Finding
    from autotune.verify.source import facts

MOST_DEEP = 2500
"""Recursion limit of Python: some 20 calls for each level of a tree of 120."""
MOST_FINDINGS = 500


def judge(document: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the findings, and the numbers of the report."""
    from autotune.verify.source import facts

    known = facts.read(document, name)
    found = islice(_findings(known), MOST_FINDINGS)
    return {"findings": [asdict(finding) for finding in found], "numbers": numbers(known, document)}


def _findings(known: facts.Facts) -> Iterator[Finding]:
    from autotune.verify.findings import Finding
    from autotune.verify.source import identity, objects, queues, work

    for rule in (*objects.FACT_RULES, work.bounded_work, identity.branch_on_identity):
        yield from rule(known)
    walks = queues.walk_all(known)
    if isinstance(walks, Finding):
        yield walks
        return
    for on_paths in queues.PATH_RULES:
        yield from on_paths(walks)


def numbers(known: facts.Facts, document: dict[str, Any]) -> dict[str, Any]:
    """Return the numbers to report about a source that could be read."""
    from autotune.verify.source import work

    knobs = [
        {"name": each.name, "type": each.type.replace("const volatile ", ""), "default": _default(each)}
        for each in known.variables
        if each.file == "main" and each.const and each.volatile
    ]
    own = sum(function.file == "main" for function in known.functions.values())
    return {
        "functions": own,
        "nodes": document["nodes"],
        "callbacks": sorted(known.callbacks()),
        "knobs": knobs,
        "most_rounds": work.most_work(known),
    }


def _default(variable: facts.Variable) -> int | None:
    """Return the default of a whole number or a boolean."""
    initial = variable.initial
    return initial.extra if initial is not None and initial.kind == "constant" else None


def main() -> int:
    room, name = sys.argv[1:]
    sys.path.insert(0, room)
    sys.setrecursionlimit(MOST_DEEP)
    try:
        found = judge(json.load(sys.stdin), name)
    except RecursionError:
        found = {"too_much": True}
    sys.stdout.write(json.dumps(found, separators=(",", ":")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
