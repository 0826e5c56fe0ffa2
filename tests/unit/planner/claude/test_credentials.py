# SPDX-License-Identifier: MIT
"""Whose key counts, where it is sent, and what is said of one that does not count."""

from __future__ import annotations

from pathlib import Path

import pytest

from autotune import secrecy
from autotune.errors import PlannerError
from autotune.planner.claude.credentials import VENDOR_URL, find_credentials, require
from autotune.redact import Redactor

SECRET = "sk-ant-" + "x1Y2z3" * 8
NAMES = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN")


@pytest.mark.parametrize("name", NAMES)
def test_the_users_own_key_and_address_are_used_as_they_wish(tmp_path: Path, name: str) -> None:
    found = find_credentials(tmp_path, {name: SECRET, "ANTHROPIC_BASE_URL": "http://my-gateway:8080"})
    assert found is not None
    assert (found.api_key or found.auth_token) == SECRET
    assert (found.base_url, found.origin) == ("http://my-gateway:8080", f"{name} in the environment")
    assert SECRET not in repr(found)


def test_of_two_of_ones_own_the_key_is_used() -> None:
    found = find_credentials(Path("/"), dict.fromkeys(NAMES, SECRET))
    assert found is not None
    assert (found.api_key, found.auth_token) == (SECRET, None)


@pytest.mark.parametrize("name", NAMES)
def test_a_key_of_the_directory_needs_the_users_word(tmp_path: Path, name: str) -> None:
    (tmp_path / ".env").write_text(f"{name}={SECRET}\n")
    assert find_credentials(tmp_path, {}) is None
    with pytest.raises(PlannerError, match=f"{name} in .env belongs to the directory") as caught:
        require("auto", tmp_path, {})
    assert "--planner claude" in caught.value.hint
    assert SECRET not in str(caught.value)
    found = require("claude", tmp_path, {})
    assert (found.api_key or found.auth_token, found.base_url) == (SECRET, VENDOR_URL)
    assert found.origin == f"{name} in .env"


@pytest.mark.parametrize("planner", ["auto", "claude"])
@pytest.mark.parametrize("line", ["ANTHROPIC_BASE_URL=http://evil", "export ANTHROPIC_BASE_URL='http://evil'"])
def test_an_address_of_the_directory_never_counts(tmp_path: Path, line: str, planner: str) -> None:
    (tmp_path / ".env").write_text(f"{line}\n{NAMES[0]}={SECRET}\n")
    found = require(planner, tmp_path, {NAMES[0]: "mine"})
    assert (found.api_key, found.base_url) == ("mine", VENDOR_URL)
    if planner == "claude":
        assert require(planner, tmp_path, {}).base_url == VENDOR_URL


def test_a_key_of_the_directory_is_not_sent_to_the_users_own_address_nor_their_session_elsewhere(
    tmp_path: Path,
) -> None:
    (tmp_path / ".env").write_text(f"{NAMES[0]}={SECRET}\n")
    with pytest.raises(PlannerError, match="names another address"):
        require("claude", tmp_path, {"ANTHROPIC_BASE_URL": "http://my-gateway"})


def test_no_key_at_all_says_how_to_set_one(tmp_path: Path) -> None:
    for planner in ("auto", "claude"):
        with pytest.raises(PlannerError, match=r"needs a key.*ANTHROPIC_API_KEY"):
            require(planner, tmp_path, {NAMES[0]: " \r\n"})


@pytest.mark.parametrize("around", ["\n", "\r\n", "\r", " ", "\t", "\x0b", "\u00a0", "\n\n  \n"])
@pytest.mark.parametrize("name", NAMES)
def test_white_space_around_a_value_is_no_part_of_it(tmp_path: Path, name: str, around: str) -> None:
    found = find_credentials(tmp_path, {name: around + SECRET + around, "ANTHROPIC_BASE_URL": f"http://h{around}"})
    assert found is not None
    assert (found.api_key or found.auth_token, found.base_url) == (SECRET, "http://h")


def test_a_dotenv_with_carriage_returns_is_read(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(f"A=1\r\n{NAMES[0]}={SECRET}\r\nB='x'\r\n".encode())
    assert require("claude", tmp_path, {}).api_key == SECRET


@pytest.mark.parametrize("inside", ["\n", "\r", "\t", " ", "\0", "\x1b[2J", "\x7f", "é", "\u200b", "\udcff", "\u2028"])
@pytest.mark.parametrize("where", ["environment", ".env"])
@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_key_is_refused_without_being_shown(tmp_path: Path, name: str, where: str, inside: str) -> None:
    damaged = SECRET[:20] + inside + SECRET[20:]
    if where == ".env":
        (tmp_path / ".env").write_bytes(f'{name}="{damaged}"\n'.encode("utf-8", "surrogateescape"))
    with pytest.raises(PlannerError) as caught:  # a line that breaks in a file leaves no key at all
        require("claude", tmp_path, {name: damaged} if where == "environment" else {})
    assert where == ".env" or "cannot be a key" in caught.value.message
    said = str(caught.value.to_wire())
    assert SECRET[:20] not in said
    assert SECRET[20:] not in said


BAD_ADDRESSES = [
    "not a url",
    "http://[",
    "ftp://x",
    "http://",
    "example.com",
    "http://h:99999",
    "http://h:x",
    "http:///x",
]
BAD_ADDRESSES += ["http://h\n.evil", "http://h\x1b", "file:///etc/passwd", "http://h\u00e9"]


@pytest.mark.parametrize("address", BAD_ADDRESSES)
def test_an_address_that_is_none_is_refused_without_being_shown(tmp_path: Path, address: str) -> None:
    with pytest.raises(PlannerError, match="ANTHROPIC_BASE_URL in the environment is not an address") as caught:
        require("auto", tmp_path, {NAMES[0]: SECRET, "ANTHROPIC_BASE_URL": address})
    assert address not in str(caught.value)


def test_keys_of_the_directory_are_known_to_the_redaction(tmp_path: Path) -> None:
    secret = "anything-that-has-no-known-form"
    (tmp_path / ".env").write_text(f"{NAMES[0]}={secret}\n")
    known = secrecy.known_secrets(tmp_path, {NAMES[0]: "another-one-that-has-no-form"})
    said = Redactor(known).text(f"a {secret} and another-one-that-has-no-form")
    assert "form" not in said
