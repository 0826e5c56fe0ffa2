# SPDX-License-Identifier: MIT
"""Which way leads to root: being it, a daemon, or sudo, in this order."""

from __future__ import annotations

import os
from typing import Any

import pytest

from autotune.errors import AutotuneError, NoMachineError, PrivilegeError
from autotune.machine import ways
from autotune.service import client, leased


class Answering:
    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Any:
    def set_up(uid: int, daemon: AutotuneError | None, sudo: str | None) -> ways.Way:
        def leasing() -> Answering:
            if daemon is not None:
                raise daemon
            return Answering()

        monkeypatch.setattr(os, "geteuid", lambda: uid)
        monkeypatch.setattr(client, "leasing", leasing)
        monkeypatch.setattr(ways, "privilege_problem", lambda: sudo)
        return ways.way()

    return set_up


NONE = NoMachineError("no daemon grants leases here")
REFUSED = PrivilegeError("you may not use the daemon")


@pytest.mark.parametrize(
    ("uid", "daemon", "sudo", "name"),
    [
        (0, None, None, "root"),
        (0, NONE, "no sudo", "root"),
        (7, None, None, "daemon"),
        (7, None, "no sudo", "daemon"),
        (7, NONE, None, "sudo"),
        (7, REFUSED, None, "sudo"),
        (7, NONE, "no sudo", None),
    ],
)
def test_the_first_that_works_is_taken(
    here: Any, uid: int, daemon: AutotuneError | None, sudo: str | None, name: str | None
) -> None:
    found = here(uid, daemon, sudo)
    assert found.name == name
    assert bool(found.problem) == (name is None)
    assert found.text


def test_a_daemon_that_refuses_is_named_where_nothing_else_works(here: Any) -> None:
    assert here(7, NONE, "no sudo").problem == "no sudo"
    assert here(7, REFUSED, "no sudo").problem == "no sudo; you may not use the daemon"


@pytest.mark.parametrize(("daemon", "made"), [(None, "leased"), (NONE, "own")])
def test_what_attaches_is_the_daemon_where_that_is_the_way(
    here: Any, monkeypatch: pytest.MonkeyPatch, daemon: AutotuneError | None, made: str
) -> None:
    here(7, daemon, None)
    monkeypatch.setattr(leased, "LeasedHolder", lambda **_options: "leased")
    monkeypatch.setattr(ways, "HolderClient", lambda **_options: "own")
    found: Any = ways.holder()
    assert found == made
