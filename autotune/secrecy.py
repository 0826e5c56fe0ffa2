# SPDX-License-Identifier: MIT
"""Redaction of text that people see or a file keeps.

What always holds here: an error, a warning or a log passes through `redacted` wherever it becomes visible. The values
of the environment and of the directory's `.env` are redacted wherever they occur.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from autotune import config, events
from autotune.errors import AutotuneError, from_wire

SERVICE_PREFIX = "ANTHROPIC_"
"""Variables of `.env` that may hold a key of the model's service."""
LONGEST_REDACTED = 1 << 18
"""Longer logs (of the verifier, of a compiler) are searched for known secrets only; patterns would take seconds."""


def dotenv_keys(cwd: Path) -> dict[str, str]:
    """Read the variables of the model's service from the directory's `.env`."""
    return config.read_dotenv(cwd, SERVICE_PREFIX)


def known_secrets(cwd: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment together with the keys in `.env`, for a Redactor."""
    return {**environ, **{f"DOTENV_{name}": value for name, value in dotenv_keys(cwd).items()}}


def redacted(text: str) -> str:
    """Redact text that a library, a program or a service wrote: the secrets of the environment and of the directory's
    `.env`, and whatever looks like a secret. In a text longer than LONGEST_REDACTED, only known secrets are
    replaced."""
    from autotune.redact import Redactor

    if not text:
        return text
    redactor = Redactor(known_secrets(Path("."), os.environ))
    return redactor.text(text) if len(text) <= LONGEST_REDACTED else redactor.known(text)


def error_without_secrets(error: AutotuneError) -> AutotuneError:
    """Return the error, of the same class, with its texts redacted."""
    return from_wire({name: text if name == "class" else redacted(text) for name, text in error.to_wire().items()})


def event_without_secrets(event: Any) -> Any:
    """Redact the foreign text in an event for views and reports. The workload's own output stays: the user wants to see
    it."""
    if isinstance(event, (events.Finished, events.Unmeasured)):
        session = event.session
        warnings = tuple(redacted(warning) for warning in session.warnings)
        failure = None if session.failure is None else redacted(session.failure)
        return replace(event, session=replace(session, warnings=warnings, failure=failure))
    if isinstance(event, events.Problem):
        return replace(event, error=error_without_secrets(event.error))
    named = {
        events.Warned: ("text",),
        events.Notice: ("text",),
        events.PlannerChosen: ("why",),
        events.AttachFailed: ("reason", "detail"),
    }
    names = named.get(type(event), ())
    return replace(event, **{name: redacted(getattr(event, name)) for name in names}) if names else event
