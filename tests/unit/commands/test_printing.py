# SPDX-License-Identifier: MIT
"""What is said of an error, wherever its text came from, holds no secret."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from autotune import events, secrecy
from autotune.commands import printing
from autotune.errors import AutotuneError, FetchError
from tests.support.sessions import session

SECRET = "a1B2c3D4e5F6g7H8"


@pytest.fixture(autouse=True)
def _with_secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", f"{SECRET}\r\n")
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("ANTHROPIC_AUTH_TOKEN=of-the-directory\n")


@pytest.mark.parametrize(
    "quoted",
    [SECRET, f"b'{SECRET}\\r\\n'", f"{SECRET}\r\n", "of-the-directory", "Authorization: Bearer abcDEF123abcDEF123"],
)
def test_no_line_of_an_error_quotes_a_secret(quoted: str) -> None:
    line = printing.error_line(FetchError(f"Illegal header value {quoted}", hint=f"use {quoted}"))
    assert line.startswith("autotune: vm setup: Illegal header value ")
    assert not any(secret in line for secret in (SECRET, "of-the-directory", "abcDEF123"))
    assert "\n" not in line


def test_a_line_without_secrets_stays_as_it_is() -> None:
    error = AutotuneError("ANTHROPIC_API_KEY in .env cannot be a key: spaces are inside", hint="set it again")
    assert printing.error_line(error) == (
        "autotune: ANTHROPIC_API_KEY in .env cannot be a key: spaces are inside. Set it again."
    )


def test_events_lose_secrets_before_they_are_shown_or_kept() -> None:
    said = f"it says {SECRET}"
    for event in (
        events.Warned(said),
        events.PlannerChosen("offline", said),
        events.AttachFailed("scx_x", said, said),
        events.AttachFailed("scx_x", said, said * 100_000),
        events.Finished(replace(session(), failure=said)),
    ):
        assert SECRET not in repr(secrecy.event_without_secrets(event))


def test_the_output_that_a_user_wants_to_see_stays() -> None:
    event = events.OutputSeen("stdout", SECRET.encode())
    assert secrecy.event_without_secrets(event) is event


def test_a_directory_that_is_gone_costs_no_error_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert SECRET not in printing.error_line(AutotuneError(SECRET))
