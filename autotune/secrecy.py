# SPDX-License-Identifier: MIT
"""Redaction of text that people see or a file keeps.

What always holds here: every text that is not ours (of a library, a program, a service, the kernel) passes through
`redacted` before it is shown or kept: errors and events here, logs, and what Python prints by itself. The values of the
environment and of the directory's `.env` are redacted wherever they occur. tests/contract/test_secrecy.py holds it for
every event and error there is.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shlex
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from autotune import config, events
from autotune.errors import AutotuneError, from_wire
from autotune.records import Output, Workload

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
    return _current()(text) if text else text


def redacted_arguments(arguments: Sequence[str]) -> tuple[str, ...]:
    """Redact the arguments of a program, whatever they are: as one command line, in which a word tells that the next
    one is secret, and each by itself, since quotes hide what is in a word that is a command line itself."""
    line = " ".join(map(_quoted, arguments))
    safe = redacted(line)
    words = arguments if safe == line else _split(safe)
    return tuple(word if _quoted(word) == word else redacted(word) for word in words)


def _quoted(word: str) -> str:
    """Quote a word for a command line; of NAME=VALUE the value, to the end of which a secret goes."""
    name, equals, value = word.partition("=")
    return f"{name}={shlex.quote(value)}" if equals and shlex.quote(name) == name else shlex.quote(word)


def _split(line: str) -> Sequence[str]:
    try:
        return shlex.split(line)
    except ValueError:  # a quote was part of the secret
        return (line,)


def error_without_secrets(error: AutotuneError) -> AutotuneError:
    """Return the error, of the same class, with its texts redacted."""
    redact = _current()
    return from_wire({name: text if name == "class" else redact(text) for name, text in error.to_wire().items()})


def event_without_secrets(event: Any) -> Any:
    """Redact every text in an event for views, reports and the knowledge, whoever wrote it. Spared are the user's own
    command and its output, which the user wants to see, and names that code compares (OWN)."""
    if isinstance(event, events.OutputSeen):
        return event
    return _without_secrets(event, _current())


OWN = frozenset(
    {
        "candidate",
        "scheduler",
        "knobs",
        "params",
        "against",
        "profile",
        "order",
        "winner",
        "metric",
        "planner",
        "ops",
        "expected_ops",
        "transcript",
    }
    | {"phase", "stream", "kind", "verdict", "prediction", "state", "what", "metric_matches", "autotune_version"}
)
"""Fields whose texts are ours: keys of candidates, names of phases and verdicts, and what `--metric` is."""


def _without_secrets(value: Any, redact: Callable[[str], str]) -> Any:
    """Redact the texts in a record; return the same object when there is nothing to redact."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, AutotuneError):
        return error_without_secrets(value)
    if isinstance(value, (tuple, list)):
        changed = type(value)(_without_secrets(item, redact) for item in value)
        return value if changed == value else changed
    if isinstance(value, dict):
        return {redact(key): _without_secrets(item, redact) for key, item in value.items()}
    if not is_dataclass(value) or isinstance(value, (Workload, Output, type)):
        return value
    before = {field.name: getattr(value, field.name) for field in fields(value) if field.name not in OWN}
    after = {name: _without_secrets(one, redact) for name, one in before.items()}
    changes = {name: one for name, one in after.items() if one is not before[name] and one != before[name]}
    return replace(value, **changes) if changes else value


def _current() -> Callable[[str], str]:
    """Return the redaction by what is secret now."""
    return _redaction(tuple(sorted(known_secrets(Path("."), os.environ).items())))


@functools.lru_cache(maxsize=2)
def _redaction(known: tuple[tuple[str, str], ...]) -> Callable[[str], str]:
    from autotune.redact import Redactor

    redactor = Redactor(dict(known))

    @functools.lru_cache(maxsize=1024)
    def redact(text: str) -> str:
        return redactor.text(text) if len(text) <= LONGEST_REDACTED else redactor.known(text)

    return redact


# --- what Python itself prints -----------------------------------------------------------------------------


def redact_python() -> None:
    """Redact what Python prints by itself: warnings of libraries, and exceptions of threads and destructors."""

    def warned(message: Warning | str, category: type[Warning], *_place: Any, **_named: Any) -> None:
        _print(f"{category.__name__}: {message}\n")

    def failed(what: Any) -> None:
        if what.exc_type is not SystemExit:
            _print("".join(traceback.format_exception(what.exc_type, what.exc_value, what.exc_traceback)))

    warnings.showwarning = warned
    threading.excepthook = failed
    sys.unraisablehook = failed


def _print(text: str) -> None:
    with contextlib.suppress(Exception):
        print(redacted(text), file=sys.stderr, end="", flush=True)
