# SPDX-License-Identifier: MIT
"""A client's connection: what is cut off, and when."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest

from autotune.errors import BusyError
from autotune.records import Identity
from autotune.service import connection as tested
from autotune.service.connection import ClientGone, Connection
from autotune.service.peers import PeerProcess


class Both:
    """A connection and its client's end, with a clock."""

    def __init__(self) -> None:
        self.theirs, ours = socket.socketpair()
        self.now_s = 0.0
        self.connection = Connection(ours, PeerProcess(1, Identity(1, 1)), now=lambda: self.now_s)


@pytest.fixture
def both() -> Iterator[Both]:
    made = Both()
    yield made
    made.connection.close()
    made.theirs.close()


def test_requests_are_whole_lines(both: Both) -> None:
    assert list(both.connection.lines()) == []
    both.theirs.sendall(b"one\ntw")
    assert list(both.connection.lines()) == [b"one"]
    both.theirs.sendall(b"o\n")
    assert list(both.connection.lines()) == [b"two"]


def test_the_end_of_the_client_is_seen(both: Both) -> None:
    both.theirs.close()
    with pytest.raises(ClientGone, match="end of file"):
        list(both.connection.lines())


def test_a_half_line_has_a_time_that_more_bytes_do_not_prolong(both: Both) -> None:
    both.theirs.sendall(b"{")
    list(both.connection.lines())
    both.now_s = tested.HALF_LINE_S
    both.theirs.sendall(b" ")
    list(both.connection.lines())
    assert both.connection.overdue() == ""
    both.now_s += 0.1
    assert "not complete" in both.connection.overdue()


def test_one_that_is_idle_is_overdue_unless_it_watches(both: Both) -> None:
    both.now_s = tested.IDLE_S + 1
    assert "nothing was asked" in both.connection.overdue()
    both.connection.watches = 1
    assert both.connection.overdue() == ""
    both.connection.watches, both.connection.leases = None, True
    assert "had the lease and said nothing" in both.connection.overdue()
    both.theirs.sendall(b"{}\n")
    list(both.connection.lines())
    both.now_s += tested.SILENT_LEASE_S
    assert both.connection.overdue() == ""


def test_too_many_requests_end_it(both: Both) -> None:
    both.theirs.sendall(b"\n" * 1000)
    with pytest.raises(ClientGone, match="too many requests"):
        list(both.connection.lines())


def test_a_client_that_does_not_read_is_given_up_before_memory_is(both: Both) -> None:
    def answer_for_ever() -> None:
        for _ in range(1000):
            both.connection.answer(1, "x" * 10_000)

    with pytest.raises(ClientGone, match="does not read"):
        answer_for_ever()


def test_answers_wait_until_they_are_read(both: Both) -> None:
    both.connection.answer(1, "x" * 900_000)
    assert both.connection.wants_to_write
    got = b""
    while not got.endswith(b"\n"):
        got += both.theirs.recv(1 << 16)
        both.connection.flush()
    assert json.loads(got) == {"id": 1, "ok": "x" * 900_000}
    assert not both.connection.wants_to_write


def test_an_error_travels_with_its_class(both: Both) -> None:
    both.connection.refuse(7, BusyError("taken", hint="wait"))
    found = json.loads(both.theirs.recv(4096))
    assert (found["id"], found["error"]["class"], found["error"]["hint"]) == (7, "BusyError", "wait")
