# SPDX-License-Identifier: MIT
"""No text of others is shown or kept before it was redacted: every event there is, every class of errors, what Python
prints by itself, and whoever prints or keeps text of a library."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import types
import typing
from pathlib import Path
from typing import Any

import pytest

from autotune import errors, events, secrecy
from autotune.commands import printing
from autotune.records import Output, Workload
from autotune.session.recorder import Recorder
from tests.support import sessions

SECRET = "of-no-form-that-is-known"
SAID = f"the library says {SECRET} and more"
EVENTS = typing.get_args(events.Event)
THEIRS = {Workload: sessions.workload(), Output: Output(SAID, "", 1, 0), bytes: SAID.encode()}
"""The user's own command and its output."""


@pytest.fixture(autouse=True)
def _with_a_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", f"\ufeff'{SECRET}'\n")
    monkeypatch.chdir(tmp_path)


def made(kind: Any) -> Any:
    """A value of a type in which every text says the secret."""
    if kind in THEIRS:
        return THEIRS[kind]
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal:
        return parts[0]
    if origin in (typing.Union, types.UnionType):
        return made(next(part for part in parts if part is not type(None)))
    if origin is tuple:
        return (made(parts[0]),) if parts[-1:] == (Ellipsis,) else tuple(map(made, parts))
    if origin is dict:
        return {made(parts[0]): made(parts[1])}
    if kind in (str, errors.AutotuneError, BaseException):
        return SAID if kind is str else errors.FetchError(SAID, hint=SAID, detail=SAID)
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        make: Any = kind
        return make(**{field.name: made(hints[field.name]) for field in dataclasses.fields(kind)})
    return kind(1)


def texts(value: Any, name: str = "") -> list[str]:
    """The texts in a value that are not ours or the user's, with the names of their fields."""
    if isinstance(value, str):
        return [] if name in secrecy.OWN else [value]
    if isinstance(value, errors.AutotuneError):
        return list(value.to_wire().values())
    if isinstance(value, (tuple, list)):
        return [text for item in value for text in texts(item, name)]
    if isinstance(value, dict):
        return [text for item in value.items() for text in texts(item, name)]
    if not dataclasses.is_dataclass(value) or isinstance(value, tuple(THEIRS)):
        return []
    return [text for field in dataclasses.fields(value) for text in texts(getattr(value, field.name), field.name)]


@pytest.mark.parametrize("kind", EVENTS, ids=lambda kind: kind.__name__)
def test_no_text_of_an_event_is_passed_on_with_a_secret(kind: Any) -> None:
    event = made(kind)
    seen: list[Any] = []
    with_secrets = [text for text in texts(event) if SECRET in text]
    Recorder(seen.append)(event)
    shown = next(one for one in seen if type(one) is kind)
    assert [text for text in texts(shown) if SECRET in text] == []
    assert len([text for text in texts(shown) if "[redacted: " in text]) >= len(with_secrets)


def test_the_events_do_have_texts_of_others() -> None:
    bare = [kind.__name__ for kind in EVENTS if not texts(made(kind))]
    assert set(bare) <= {"RoundStarted", "RunStarted", "OutputSeen", "RacePlanned", "BaselineKnown", "Attached"}


def test_what_is_spared_in_events_is_a_key_of_ours_or_the_users_own() -> None:
    assert secrecy.OWN.isdisjoint({"reason", "detail", "text", "why", "note", "message", "hint", "invalid", "problem"})


def classes(kind: type[errors.AutotuneError]) -> list[type[errors.AutotuneError]]:
    return [kind, *(found for sub in kind.__subclasses__() for found in classes(sub))]


@pytest.mark.parametrize("kind", classes(errors.AutotuneError), ids=lambda kind: kind.__name__)
def test_no_line_of_an_error_has_a_secret(kind: type[errors.AutotuneError]) -> None:
    line = printing.error_line(kind(SAID, hint=SAID, detail=SAID))
    assert SECRET not in line
    assert "[redacted: variable]" in line


PYTHON = """
import sys, threading, warnings
from autotune.secrecy import redact_python
redact_python()
SECRET = sys.argv[1]
warnings.warn(f"a library says {SECRET}", UserWarning)
def fails(): raise ValueError(f"a thread says {SECRET}")
thread = threading.Thread(target=fails); thread.start(); thread.join()
class Fails:
    def __del__(self): raise ValueError(f"a destructor says {SECRET}")
one = Fails(); del one
"""


def test_what_python_prints_by_itself_has_no_secret() -> None:
    done = subprocess.run([sys.executable, "-c", PYTHON, SECRET], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    for who in ("a library", "a thread", "a destructor"):
        assert f"{who} says [redacted: variable]" in done.stderr
    assert SECRET not in done.stderr
