# SPDX-License-Identifier: MIT
"""The JSON document of a session (docs/JSON.md). Pure."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from typing import Any

from autotune.records import Session
from autotune.wire import to_json

SCHEMA_VERSION = 2
"""Version of the JSON document. Raised when a field changes its meaning or is removed, not when one is added."""

ENVIRONMENT_KEPT = frozenset(
    {"PATH", "SHELL", "LANG", "LC_ALL", "PYTHONHASHSEED"}
    | {"CC", "CXX", "CFLAGS", "CXXFLAGS", "LDFLAGS", "RUSTFLAGS"}
    | {"MAKEFLAGS", "CARGO_BUILD_JOBS", "GOMAXPROCS", "OMP_NUM_THREADS"}
)
"""Environment variables that the JSON document keeps: those that change how fast programs run. All others are left out,
since an environment may contain keys and passwords."""


def session_json(session: Session) -> dict[str, Any]:
    """Return the document that `--json` writes (docs/JSON.md). An infinite bound becomes the largest number that JSON
    can carry, NaN becomes null, and of the environment only `ENVIRONMENT_KEPT` is in it."""
    env = {name: value for name, value in session.workload.env.items() if name in ENVIRONMENT_KEPT}
    document = to_json(dataclasses.replace(session, workload=dataclasses.replace(session.workload, env=env)))
    finite: dict[str, Any] = _finite(document)
    return finite


def json_text(session: Session) -> str:
    """Return the document as ASCII text, ending in a newline."""
    return json.dumps(session_json(session), indent=2, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else math.copysign(sys.float_info.max, value)
    return value
