# SPDX-License-Identifier: MIT
"""Who a job runs as: the one whom the kernel names, and never root."""

from __future__ import annotations

import os
from typing import Any

import pytest

from autotune.errors import PrivilegeError, UsageError
from autotune.records import Identity
from autotune.service.submitting import job_of, owner_of

REQUEST: dict[str, Any] = {"command": "make", "words": ["--", "make"], "cwd": "/", "env": {}}
USER = Identity(4242, 4343, (7,))


@pytest.fixture(autouse=True)
def _as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)


def test_it_runs_as_the_peer_whoever_that_names() -> None:
    for named in ({}, {"uid": 0, "gid": 0}, {"uid": 1000, "gid": 1000}):
        assert job_of({**REQUEST, **named}, USER).owner == USER


def test_root_names_the_user() -> None:
    found = owner_of({**REQUEST, "uid": 54321, "gid": 54322}, Identity(0, 0, (0, 4)))
    assert (found.uid, found.gid) == (54321, 54322)
    assert 0 not in found.groups


@pytest.mark.parametrize("named", [{}, {"uid": 0, "gid": 0}, {"uid": 0, "gid": 1000}])
def test_no_session_runs_as_root(named: dict[str, int]) -> None:
    with pytest.raises(PrivilegeError, match="no session as root"):
        job_of({**REQUEST, **named}, Identity(0, 0))


@pytest.mark.parametrize("uid", [-1, 1 << 32, "4242", True, 1.0])
def test_a_user_is_a_number(uid: Any) -> None:
    with pytest.raises(UsageError):
        job_of({**REQUEST, "uid": uid, "gid": 4242}, Identity(0, 0))


def test_a_service_of_a_user_runs_nothing_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(PrivilegeError, match="sessions of user 1000 only"):
        job_of(REQUEST, USER)
