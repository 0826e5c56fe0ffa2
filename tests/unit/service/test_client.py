# SPDX-License-Identifier: MIT
"""A client's connection: to a service of root or of the user, and to nobody else."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from autotune.errors import AutotuneError, BusyError, NoMachineError, PrivilegeError
from autotune.records import Identity
from autotune.service import client, peers
from autotune.service.client import NoDaemon, ServiceClient
from autotune.service.peers import PeerProcess
from tests.support.waiting import wait_until


@contextmanager
def saying(path: Path, *messages: Any, then_close: bool = False) -> Iterator[None]:
    """A service that says these messages to each who connects, whatever it is asked."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()

        def serve() -> None:
            kept = []
            while True:
                try:
                    one, _ = listening.accept()
                except OSError:
                    return
                kept.append(one)
                with suppress(OSError):  # it may be gone already
                    one.sendall(b"".join(json.dumps(message).encode() + b"\n" for message in messages))
                if then_close:
                    one.close()

        threading.Thread(target=serve, daemon=True).start()
        yield
        listening.shutdown(socket.SHUT_RDWR)


def hello(leases: bool) -> dict[str, Any]:
    return {"id": 0, "ok": {"version": 1, "leases": leases, "lease": None}}


@pytest.fixture(autouse=True)
def _nowhere_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AUTOTUNE_SOCKET", str(tmp_path / "socket"))


def test_nobody_there_is_said_with_what_to_do(tmp_path: Path) -> None:
    for path in (None, tmp_path / "socket", tmp_path / ("x" * 200)):
        with pytest.raises(NoDaemon) as caught:
            client.find(path)
        assert "autotune daemon" in caught.value.hint


def test_a_refusal_that_comes_before_any_request_is_raised(tmp_path: Path) -> None:
    refused = {"id": 0, "error": BusyError("the daemon has too many connections").to_wire()}
    with saying(tmp_path / "socket", refused, then_close=True), pytest.raises(BusyError, match="too many connections"):
        client.find()


@pytest.mark.parametrize("message", [7, {"id": 0, "ok": None}, {"id": 0, "error": {}}, "text"])
def test_a_service_that_talks_nonsense_is_an_error_in_one_line(tmp_path: Path, message: Any) -> None:
    with saying(tmp_path / "socket", message, then_close=True):
        try:
            found = client.find()
        except AutotuneError:
            return
        assert not found.grants_leases
        found.close()


def test_somebody_elses_service_is_not_talked_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = PeerProcess(1, Identity(os.geteuid() + 4242, 1))
    monkeypatch.setattr(peers, "of", lambda _socket: other)
    with (
        saying(tmp_path / "socket", hello(True)),
        pytest.raises(PrivilegeError, match=f"is user {other.identity.uid}'s"),
    ):
        client.find()


def test_only_one_that_grants_leases_is_found_for_a_lease(tmp_path: Path) -> None:
    with saying(tmp_path / "socket", hello(False)), pytest.raises(NoMachineError, match="no daemon grants leases"):
        client.leasing()


def test_one_that_grants_leases_is_found(tmp_path: Path) -> None:
    with saying(tmp_path / "socket", hello(True)):
        found = client.leasing()
        assert found.grants_leases
        assert not found.is_closed
        found.close()
        assert found.is_closed


def test_one_that_is_gone_is_seen_without_asking(tmp_path: Path) -> None:
    with saying(tmp_path / "socket", hello(True), then_close=True):
        found = ServiceClient(tmp_path / "socket")
        wait_until(lambda: found.is_closed)
        with pytest.raises(NoDaemon, match="failed"):
            found.request("status")
        found.beat()
        found.close()
