# SPDX-License-Identifier: MIT
"""The JSON schema of a session, made from the records."""

from __future__ import annotations

import json
from typing import Any

from autotune.records import Session
from autotune.report.json_document import SCHEMA_VERSION


def schema() -> dict[str, Any]:
    """Return the JSON schema; its descriptions are the docstrings of the records and their fields."""
    from pydantic import TypeAdapter

    from autotune import records

    document = TypeAdapter(Session).json_schema()
    notes = _field_notes(records.__file__)
    for name, definition in {**document.get("$defs", {}), "Session": document}.items():
        for field_name, shape in definition.get("properties", {}).items():
            if (name, field_name) in notes:
                shape["description"] = notes[name, field_name]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$comment": f"version {SCHEMA_VERSION}",
        **document,
    }


def schema_text() -> str:
    """Return the text of docs/session.schema.json."""
    return json.dumps(schema(), indent=2) + "\n"


def _field_notes(source_path: str) -> dict[tuple[str, str], str]:
    """Return the docstrings of fields in a Python file, by class and field."""
    import ast
    from pathlib import Path

    notes = {}
    classes = (n for n in ast.parse(Path(source_path).read_text()).body if isinstance(n, ast.ClassDef))
    for owner in classes:
        for item, after in zip(owner.body, owner.body[1:], strict=False):
            target = item.target if isinstance(item, ast.AnnAssign) else None
            note = after.value if isinstance(after, ast.Expr) else None
            if isinstance(target, ast.Name) and isinstance(note, ast.Constant):
                notes[owner.name, target.id] = " ".join(str(note.value).split())
    return notes
