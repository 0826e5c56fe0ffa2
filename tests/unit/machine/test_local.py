# SPDX-License-Identifier: MIT
"""Whom a workload runs as when autotune runs as root: the user who asked, and never root in that user's place."""

from __future__ import annotations

import os
import pwd

import pytest

from autotune.errors import PrivilegeError
from autotune.machine.local import invoking_identity

USER = pwd.getpwnam("nobody")


@pytest.fixture(autouse=True)
def as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SUDO_UID", "SUDO_USER", "DOAS_USER", "PKEXEC_UID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 0)


def test_root_that_nobody_made_root_is_root() -> None:
    assert invoking_identity().uid == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SUDO_UID", str(USER.pw_uid)),
        ("PKEXEC_UID", str(USER.pw_uid)),
        ("DOAS_USER", "nobody"),
        ("SUDO_USER", "nobody"),
    ],
)
def test_the_invoking_user_is_found(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    found = invoking_identity()
    assert (found.uid, found.gid) == (USER.pw_uid, USER.pw_gid)
    assert USER.pw_gid in found.groups
    assert 0 not in found.groups


@pytest.mark.parametrize("name", ["SUDO_UID", "SUDO_USER", "PKEXEC_UID", "DOAS_USER"])
@pytest.mark.parametrize("value", ["54321", "-1", "99999999999999999999", "no-such-user", " ", "0x0", "0_0", "\u00b2"])
def test_a_user_who_cannot_be_found_is_an_error_and_never_root(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(PrivilegeError, match=f"{name}=.* names no account") as raised:
        invoking_identity()
    assert f"unset {name}" in raised.value.hint


@pytest.mark.parametrize(
    ("root", "user"),
    [
        ({"SUDO_UID": "0"}, {"DOAS_USER": "nobody"}),
        ({"SUDO_UID": "0", "SUDO_USER": "root"}, {"PKEXEC_UID": str(USER.pw_uid)}),
        ({"DOAS_USER": "root"}, {"SUDO_UID": str(USER.pw_uid), "SUDO_USER": "nobody"}),
        ({"PKEXEC_UID": "0"}, {"DOAS_USER": "nobody"}),
    ],
)
def test_who_became_root_twice_is_the_user_and_not_root(
    monkeypatch: pytest.MonkeyPatch, root: dict[str, str], user: dict[str, str]
) -> None:
    """As in `doas sudo -E autotune ...`, where sudo was called by root."""
    for name, value in {**root, **user}.items():
        monkeypatch.setenv(name, value)
    assert invoking_identity().uid == USER.pw_uid


def test_of_two_invoking_users_one_who_cannot_be_found_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_UID", "0")
    monkeypatch.setenv("DOAS_USER", "no-such-user")
    with pytest.raises(PrivilegeError, match="DOAS_USER"):
        invoking_identity()


def test_whoever_is_not_root_is_who_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 4242)
    monkeypatch.setenv("SUDO_UID", "54321")
    assert invoking_identity().uid == 4242
