# SPDX-License-Identifier: MIT
"""The schema and its description say what the document is."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, get_args, get_type_hints

from autotune.records import Session
from autotune.report import json_document
from autotune.report import schema as report_schema
from tests.support import sessions

DOCS = Path(__file__).parents[3] / "docs"


def test_the_schema_in_docs_is_that_of_the_records() -> None:
    """To bring it up to date: python -c 'from autotune.report.schema import schema_text; print(schema_text(),
    end="")'"""
    assert (DOCS / "session.schema.json").read_text() == report_schema.schema_text()


def test_the_document_has_exactly_the_fields_that_the_schema_names() -> None:
    schema = json.loads(report_schema.schema_text())
    assert _differences(json.loads(json_document.json_text(sessions.session())), schema, schema["$defs"]) == []


def _differences(value: Any, shape: dict[str, Any], defs: dict[str, Any], at: str = "session") -> list[str]:
    """Where the names of a document's fields are not those of its schema."""
    if "$ref" in shape:
        return _differences(value, defs[shape["$ref"].rpartition("/")[2]], defs, at)
    if "anyOf" in shape and isinstance(value, dict):
        return _differences(value, next(option for option in shape["anyOf"] if "$ref" in option), defs, at)
    if isinstance(value, list) and isinstance(shape.get("items"), dict) and "prefixItems" not in shape["items"]:
        return [
            d for number, item in enumerate(value) for d in _differences(item, shape["items"], defs, f"{at}[{number}]")
        ]
    if isinstance(value, dict) and "properties" in shape:
        odd = [f"{at}.{name}" for name in value.keys() ^ shape["properties"].keys()]
        inner = [
            _differences(item, shape["properties"].get(name, {}), defs, f"{at}.{name}") for name, item in value.items()
        ]
        return odd + [difference for differences in inner for difference in differences]
    return []


def test_the_description_names_every_field() -> None:
    text = (DOCS / "JSON.md").read_text()
    missing = [f"{cls.__name__}.{field.name}" for cls in _records(Session) for field in dataclasses.fields(cls)
               if f"`{field.name}`" not in text]  # fmt: skip
    assert missing == []
    assert f"version {json_document.SCHEMA_VERSION}" in text


def _records(cls: type) -> set[type]:
    """The record classes that a document of this class can hold."""
    found = {cls}
    for hint in get_type_hints(cls).values():
        for kind in (hint, *get_args(hint), *(inner for arg in get_args(hint) for inner in get_args(arg))):
            if dataclasses.is_dataclass(kind) and isinstance(kind, type) and kind not in found:
                found |= _records(kind)
    return found
