# SPDX-License-Identifier: MIT
"""The JSON document of a session."""

from __future__ import annotations

import json
import math

import pytest
from pydantic import TypeAdapter, ValidationError

from autotune.records import Session
from autotune.report import json_document
from autotune.wire import from_json
from tests.support import sessions


def test_json_reads_back_as_the_same_session() -> None:
    done = sessions.session()
    assert from_json(Session, json.loads(json_document.json_text(done))) == done


def test_json_is_strict_ascii_even_for_infinite_bounds_and_bytes_that_are_not_text() -> None:
    wide = sessions.result(sessions.FIFO, "undecided", speedup=sessions.interval(1.0, 0.0, math.inf))
    done = sessions.session(results=(wide,), workload=sessions.workload(command="\udcff \u6f22"))
    text = json_document.json_text(done)
    assert text.isascii()

    def refuse(name: str) -> None:
        raise AssertionError(name)

    document = json.loads(text, parse_constant=refuse)
    assert document["results"][0]["speedup"]["high"] > 1e308
    assert document["schema"] == json_document.SCHEMA_VERSION


def test_json_keeps_no_secret_of_the_environment() -> None:
    env = {"PATH": "/bin", "MAKEFLAGS": "-k", "ANTHROPIC_API_KEY": "sk-secret", "DB_PASSWORD": "hunter2"}
    text = json_document.json_text(sessions.session(workload=sessions.workload(env=env)))
    assert json.loads(text)["workload"]["env"] == {"PATH": "/bin", "MAKEFLAGS": "-k"}
    assert "secret" not in text
    assert "hunter2" not in text


def test_the_document_validates_and_a_broken_one_does_not() -> None:
    validate = TypeAdapter(Session).validate_json
    document = json.loads(json_document.json_text(sessions.session()))
    assert validate(json.dumps(document)) == sessions.session()
    document["results"][0]["verdict"] = "great"
    with pytest.raises(ValidationError, match="verdict"):
        validate(json.dumps(document))
